"""Parts of the texts for which figures are given apart: topic, source, year, length, position in the article."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from escalation.evaluation.labelled import SLICE_FIELDS, LabelledText, Labels

SMALLEST = 20  # rows below which a slice's figures say nothing
MOST_VALUES = 12  # values of a field that are shown, the most frequent
LENGTHS = ((0, 10), (10, 20), (20, 40), (40, 200), (200, 1_000_000))  # words
POSITIONS = ("first sentence", "first third", "middle third", "last third")


def length_slice(words: int) -> str:
    """The name of a length in words."""
    for low, high in LENGTHS:
        if words < high:
            return f"{low + 1} to {high} words" if high < LENGTHS[-1][1] else f"over {low} words"
    return f"over {LENGTHS[-1][0]} words"


def position_slice(number: int, count: int) -> str:
    """The name of a sentence's place among `count`; the first stands for itself, since news is told there."""
    return POSITIONS[0] if number == 0 else POSITIONS[1 + min(2, 3 * number // count)]


def year_slice(value: str) -> str:
    """The decade of a year; the value itself where it is none."""
    return f"{value[:3]}0s" if len(value) == 4 and value.isdigit() else value


def facts_of(text: LabelledText) -> dict[str, str]:
    """A text's own facts, years as decades."""
    return {name: year_slice(value) if name == "year" else value for name, value in text.facts.items()}


def name_rows(texts: Sequence[LabelledText], level: str) -> list[dict[str, str]]:
    """The slices that each row of `rows.make_levels` belongs to, by field."""
    named = []
    for text in texts:
        facts = facts_of(text)
        if level == "texts":
            if text.labels != Labels():
                named.append({**facts, "length": length_slice(len(text.text.split()))})
            continue
        for number, sentence in enumerate(text.sentences):
            found = {**facts, "length": length_slice(len(text.text[sentence.start : sentence.end].split()))}
            if len(text.sentences) > 2:
                found["position"] = position_slice(number, len(text.sentences))
            named.append(found)
    return named


def find_slices(named: Sequence[dict[str, str]]) -> list[tuple[str, str, np.ndarray]]:
    """Fields, values and the rows that have them; values with fewer than `SMALLEST` rows are left out, and fields with one value."""
    found = []
    for field in (*SLICE_FIELDS, "length", "position"):
        values: dict[str, list[int]] = {}
        for index, facts in enumerate(named):
            if field in facts:
                values.setdefault(facts[field], []).append(index)
        large = {value: rows for value, rows in values.items() if len(rows) >= SMALLEST}
        if len(values) < 2:
            continue
        shown = sorted(large, key=lambda value: -len(large[value]))[:MOST_VALUES]
        order = {name: place for place, name in enumerate([*(length_slice(high - 1) for _, high in LENGTHS), *POSITIONS])}
        found += [(field, value, np.array(large[value])) for value in sorted(shown, key=lambda value: (order.get(value, 99), value))]
    return found
