"""Near-duplicates across the splits, and against a set that measures: neither may be there."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from training.data import Dataset
from training.splits import NEAR, shingles


def labelled_texts(dataset: Dataset) -> list[tuple[str, str, str]]:
    """`(id, split, text)` of everything that trains or measures."""
    return [(item.id, split, " ".join(unit.text for unit in item.units)) for split in ("train", "dev", "test") for item in dataset.of_split(split)]


def read_evaluation(path: Path) -> list[tuple[str, str, str]]:
    """`(id, "evaluation", text)` of the rows of a JSON Lines file with a field `text`.

    Raises:
        ValueError: a row has no text; the message gives file and line.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        if not isinstance(row.get("text"), str):
            raise ValueError(f"{path.name} line {number}: field 'text' must be text, got {row.get('text')!r}")
        rows.append((str(row.get("id", number)), "evaluation", row["text"]))
    return rows


def find_straddling(texts: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str, str]]:
    """Pairs of near-duplicates that stand in different splits.

    Two texts are near-duplicates when the shorter shares at least half of its five-word shingles with the other, as in `training.splits`.

    Returns:
        `(id, split, other id, other split)`.
    """
    holders: dict[str, list[int]] = defaultdict(list)
    sets = [shingles(text) for _, _, text in texts]
    found = []
    for index, own in enumerate(sets):
        shared: dict[int, int] = defaultdict(int)
        for shingle in own:
            for other in holders[shingle]:
                shared[other] += 1
            holders[shingle].append(index)
        for other, count in shared.items():
            if texts[other][1] != texts[index][1] and count >= NEAR * min(len(own), len(sets[other])):
                found.append((texts[other][0], texts[other][1], texts[index][0], texts[index][1]))
    return found
