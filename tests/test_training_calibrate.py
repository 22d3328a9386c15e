"""What the export fits: when labels are bound to highlights, and the interval of a text's score."""

from __future__ import annotations

import numpy as np
import pytest

from escalation.calibration import Calibration
from escalation.evidence import DIRECTION_LOGITS, EVENT_LOGITS, EVENT_SIGNALS, N_LOGITS, SCOPE_LOGIT, Phrase, read_logits, score_sentences
from escalation.signals import EVENTS, SIGNALS
from training.calibrate import bind_labels, fit_events, fit_interval
from training.data import QUADS, Item, Unit
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


def read_event(gold: str, by_event: str, by_signal: str, *, quad_alone: bool = False, columns: int = N_LOGITS) -> ItemReading:
    """A text of one token whose event is coded as `gold`, whose event logits speak for one event and whose signals for another."""
    logits = np.zeros((1, N_LOGITS), np.float32)
    logits[0, EVENT_LOGITS.start + EVENTS.index(by_event)] = 9.0
    logits[0, 1 + EVENT_SIGNALS[EVENTS.index(by_signal)]] = 6.0
    event = EVENT_SIGNALS[EVENTS.index(gold)]
    unit = Unit("A sentence.", quad=QUADS.index(SIGNALS[event].quad)) if quad_alone else Unit("A sentence.", event=event)
    tokens, bounds = read_logits(logits[:, :columns]), np.array([0, 1])
    return ItemReading(Item("a", "plv", "dev", (unit,)), (), score_sentences(tokens, bounds, [], Calibration()), tokens, bounds, ())


def test_the_events_are_fitted_to_what_coders_chose() -> None:
    """The events' own logits are sure of themselves and wrong in half of the texts; the signals are wrong in fewer."""
    texts = [read_event("sanction", "sanction", "sanction"), read_event("sanction", "reject", "sanction")] * 10 + [read_event("aid", "aid", "yield")] * 2
    fitted = fit_events(texts, Calibration())
    sanction = EVENTS.index("sanction")
    for calibration, right in ((Calibration(), False), (fitted, True)):
        figures = score_sentences(texts[1].tokens, texts[1].bounds, [], calibration)
        assert (figures.event[0].argmax() == sanction) == right
    unsure = fit_events([read_event("aid", "aid", "accuse")] * 30 + [read_event("accuse", "aid", "yield")] * 10, Calibration()).event_map
    assert unsure[0] < 0.5  # 9 logits are too many for three of four
    assert unsure[1] == 0.0  # never against what the signals say


def test_quad_classes_count_where_the_event_is_unknown() -> None:
    near, far = read_event("reject", "accuse", "accuse", quad_alone=True), read_event("aid", "aid", "accuse", quad_alone=True)
    assert fit_events([near, far] * 10, Calibration()).event_map[0] > 0.5  # "accuse" is of the class of "reject"
    assert fit_events([read_event("reject", "accuse", "accuse"), read_event("aid", "accuse", "accuse")] * 10, Calibration()).event_map[0] < 0.1


def test_without_coded_events_or_logits_of_events_the_map_stays() -> None:
    base = Calibration()
    assert fit_events([read_text(6.0, in_scope=True, phrase=True)], base) is base
    assert fit_events([read_event("aid", "aid", "aid", columns=EVENT_LOGITS.start)] * 20, base) is base


def test_a_few_coded_sentences_do_not_move_the_events() -> None:
    """Nineteen that both speak against would make all events equally likely; and where all are right, nobody is made sure without end."""
    base = Calibration(event_map=(0.7, 0.3))
    wrong = read_event("aid", "attack", "accuse")
    assert fit_events([wrong] * 19, base) is base
    assert fit_events([wrong] * 20, base).event_map[0] < 0.1
    assert max(fit_events([read_event("aid", "aid", "aid")] * 100, base).event_map) < 3.0
