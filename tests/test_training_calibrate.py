"""What the export fits: when labels are bound to highlights."""

from __future__ import annotations

import numpy as np
import pytest

from escalation.calibration import Calibration
from training.calibrate import bind_labels
from training.data import Item, Unit
from training.measure import SentenceReading

ITEM = Item("a", "corpus", "dev", ())


def read_as(gold: tuple[int, int], named: tuple[int, int], carried: tuple[int, int], *, phrases: bool = True) -> SentenceReading:
    """A sentence that is read as `named`, with highlights for `carried`."""
    unit = Unit("A sentence.", () if phrases else None, *gold)
    direction = np.where(named, 0.9, 0.1)
    return SentenceReading(ITEM, unit, (), direction, np.array(carried, dtype=bool), 1.0, np.zeros(16), 0.0, 0)


def readings(unmarked: int, *, phrases: bool = True) -> list[SentenceReading]:
    """A hundred sentences of each label, all named rightly, `unmarked` of the escalatory ones without a highlight."""
    kinds = ((1, 0), (0, 1), (1, 1), (0, 0))
    right = [read_as(kind, kind, kind, phrases=phrases) for kind in kinds for _ in range(100)]
    return [read_as((1, 0), (1, 0), (0, 0), phrases=phrases)] * unmarked + right[unmarked:]


@pytest.mark.parametrize(("unmarked", "bound"), [(0, True), (1, True), (3, False), (30, False)])
def test_labels_are_bound_to_highlights_unless_they_lose_more_than_half_a_point(unmarked: int, bound: bool) -> None:
    """One of a hundred costs 0.0025 of the macro-F1, three cost 0.0075."""
    assert bind_labels(readings(unmarked), Calibration()).phrase_bound is bound


def test_without_phrase_labels_nothing_is_bound() -> None:
    assert not bind_labels(readings(0, phrases=False), Calibration()).phrase_bound
    assert not bind_labels([], Calibration()).phrase_bound
