"""What the export fits: when labels are bound to highlights, and the interval of a text's score."""

from __future__ import annotations

import numpy as np
import pytest

from escalation.calibration import Calibration
from escalation.evidence import DIRECTION_LOGITS, N_LOGITS, SCOPE_LOGIT, Phrase, read_logits, score_sentences
from training.calibrate import bind_labels, fit_interval
from training.data import Item, Unit
from training.measure import ItemReading, SentenceReading

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


def read_text(severity: float | None, *, in_scope: bool, phrase: bool) -> ItemReading:
    """A text of one sentence that is labelled in scope, read as in scope or not, with a word of evidence or without."""
    logits = np.zeros((2, N_LOGITS), np.float32)
    logits[:, 0] = 9.0
    logits[0, 1] = 18.0 if phrase else 0.0
    logits[:, DIRECTION_LOGITS] = -9.0
    logits[0, DIRECTION_LOGITS.start] = 9.0
    logits[:, SCOPE_LOGIT] = 9.0 if in_scope else -9.0
    tokens, bounds = read_logits(logits), np.array([0, 2])
    figures = score_sentences(tokens, bounds, [Phrase(0, 1, 0, 0)] if phrase else [], Calibration())
    return ItemReading(Item("a", "corpus", "dev", (Unit("A sentence."),), "escalation", severity, True), (), figures, tokens, bounds, ())


def test_the_interval_of_a_text_is_fitted_on_scores_as_a_user_gets_them() -> None:
    """What the model takes for sport has the score 0, whatever its label says; a text of one sentence counts, one without a severity does not."""
    missed = [read_text(6.0, in_scope=False, phrase=True)] * 10
    assert fit_interval(missed, Calibration()).article_interval == pytest.approx(0.6)
    seen = fit_interval([read_text(6.0, in_scope=True, phrase=True)] * 10, Calibration()).article_interval
    assert 0.0 < seen < 0.55
    assert fit_interval([*missed, *[read_text(None, in_scope=True, phrase=False)] * 100], Calibration()).article_interval == pytest.approx(0.6)
    assert fit_interval(missed[:8], Calibration()).article_interval == 1.0  # too few to hold nine in ten
