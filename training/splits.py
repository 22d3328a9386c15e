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


def settle(splits: Sequence[str], groups: Sequence[int], keys: Sequence[str], first: int) -> tuple[list[str], tuple[str, ...]]:
    """Gives texts from number `first` on, a user's own, a train and a dev part where chance gave them none, as it does with twenty rows.

    Whole groups move, in the order of their keys' SHA-256 sums; groups that hold an earlier text stay, since that one's split is fixed.

    Args:
        splits: of all texts, by chance.
        groups: as `group` gives them.
        keys: of all texts.
        first: number of the first of the user's own.

    Returns:
        The splits, and a note on each move.

    Raises:
        ValueError: there are not two groups of own texts that can move.
    """
    settled, notes = list(splits), []
    own = range(first, len(splits))
    free = sorted({g for g in groups if g >= first}, key=lambda g: hashlib.sha256(keys[g].encode()).hexdigest())
    for wanted in ("train", "dev"):
        if not own or wanted in (settled[index] for index in own):
            continue
        # Not all of it: the first group stays to measure, or the last that trains stays to train.
        staying = free[:1] if wanted == "train" else [g for g in free if settled[g] == "train"][-1:]
        movable = [g for g in free if g not in staying]
        if not movable:
            remedy = "give at least two that differ, and better two hundred"
            raise ValueError(f"{len(own)} texts of your own hold {len(free)} that differ from each other and from the corpora; {remedy}")
        moved = movable if wanted == "train" else movable[: max(1, round(SHARES[wanted] * len(free)))]
        chosen = [index for index in own if groups[index] in moved]
        for index in chosen:
            settled[index] = wanted
        notes.append(f"{len(chosen)} of {len(own)} own texts were moved to {wanted}, since the split by chance left it none")
    return settled, tuple(notes)
