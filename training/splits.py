"""Leak-free splits: by article, scenario and template, with near-duplicates kept together."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}
SHINGLE = 5  # words
NEAR = 0.5  # share of the shorter text's shingles that two near-duplicates have in common (containment)


def shingles(text: str) -> set[str]:
    """Runs of five words, lower case; a shorter text is one shingle."""
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))}


def group(texts: Sequence[str], keys: Sequence[str]) -> list[int]:
    """Groups texts that share a key or are near-duplicates.

    Args:
        texts: the texts, names filled in or not.
        keys: one for each text, such as its scenario or template; texts of one key stay together.

    Returns:
        A group number for each text: the index of its group's first text.
    """
    parent = list(range(len(texts)))

    def find(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def unite(a: int, b: int) -> None:
        a, b = sorted((find(a), find(b)))
        parent[b] = a

    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        unite(index, first.setdefault(key, index))
    sets = [shingles(text) for text in texts]
    holders: dict[str, list[int]] = defaultdict(list)
    for index, found in enumerate(sets):
        shared: Counter[int] = Counter()
        for shingle in found:
            shared.update(holders[shingle])
            holders[shingle].append(index)
        for other, count in shared.items():
            if count >= NEAR * min(len(found), len(sets[other])):
                unite(index, other)
    return [find(index) for index in range(len(texts))]


def choose_split(key: str) -> str:
    """`"train"`, `"dev"` or `"test"` for a group, by the SHA-256 of its key: stable, whatever is added later."""
    point = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 16**8
    for name, share in SHARES.items():
        if point < share:
            return name
        point -= share
    return "test"


def split(texts: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The split of each text: that of its group, which is named after the first key (in text order) of the group."""
    return [choose_split(keys[first]) for first in group(texts, keys)]
