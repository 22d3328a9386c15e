"""Fits the numbers of `escalation.calibration` to labelled items that training did not see.

Few parameters, each by a standard method: Platt's logistic maps for probabilities, maximum likelihood for the events, a grid for the sentence weights,
thresholds by macro-F1, split conformal prediction for the intervals.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from escalation.calibration import Array, Calibration, logistic, logit
from escalation.evaluation.fitting import allowed_events, best_thresholds, conformal_width, fit_event_map, fit_logistic
from escalation.evidence import article_features, event_inputs, score_article, weigh_sentences
from escalation.reading import Reading
from training.data import Item
from training.measure import ItemReading, SentenceReading, direction_f1, interpret, interpret_all, phrase_figures

NEEDED = 20  # labels of a kind: below, the two to four parameters of a map follow single labels
PHRASE_THRESHOLDS, SWITCH_COSTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7), (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
BOUND_COST = 0.005  # of macro-F1: what a reader may pay for labels that all have their reason (training/LOG.md)
POWERS, DECAYS, DOUBTS = (0.5, 1.0, 2.0), (0.0, 0.5, 1.0, 2.0), (0.02, 0.05, 0.1, 0.2, 0.3, 0.6)


def sentence_directions(sentences: Sequence[SentenceReading]) -> tuple[Array, NDArray[np.int64]]:
    """Direction probabilities as read, `(n, 2)`, and gold labels, `(n, 2)`."""
    return np.stack([s.direction for s in sentences]), np.array([[s.unit.escalation or 0, s.unit.de_escalation or 0] for s in sentences])


def fit_sentences(sentences: Sequence[SentenceReading], base: Calibration) -> Calibration:
    """Sentence maps, thresholds and interval; `sentences` are read with identity maps."""
    labelled = [s for s in sentences if s.unit.escalation is not None]
    phrased = [s for s in labelled if s.unit.spans is not None]
    raw, gold = sentence_directions(labelled)
    maps = [fit_logistic(logit(raw[:, [column]]), gold[:, column]) for column in (0, 1)]
    scoped = [s for s in sentences if s.unit.in_scope is not None]
    scope = fit_logistic(logit(np.array([[s.scope] for s in scoped])), np.array([int(bool(s.unit.in_scope)) for s in scoped]))
    signals = np.concatenate([s.signal for s in phrased])
    spoken = np.concatenate([np.isin(np.arange(len(s.signal)), [span.signal for span in s.unit.spans or ()]) for s in phrased]).astype(np.int64)
    probabilities = np.stack([logistic(maps[column], logit(raw[:, column])) for column in (0, 1)], axis=1)
    inside = np.array([s.unit.spans is not None for s in labelled])
    errors = np.array([abs(s.score - (s.unit.severity or 0) / 10) for s in phrased])
    return dataclasses.replace(
        base,
        sentence_escalation=maps[0],
        sentence_de_escalation=maps[1],
        sentence_scope=scope,
        sentence_signal=fit_logistic(logit(signals[:, None]), spoken),
        sentence_thresholds=best_thresholds(probabilities[inside], gold[inside]),
        sentence_interval=conformal_width(errors),
    )


def bind_labels(sentences: Sequence[SentenceReading], fitted: Calibration) -> Calibration:
    """Binds labels to phrases, for a label without a highlight has no reason to show; unless the labels of sentences with phrase labels lose more than
    `BOUND_COST` by it, as those of a model do that learnt of sentences alone and marks few phrases."""
    phrased = [s for s in sentences if s.unit.spans is not None and s.unit.escalation is not None]
    bound = dataclasses.replace(fitted, phrase_bound=True)
    return bound if phrased and direction_f1(phrased, bound) >= direction_f1(phrased, fitted) - BOUND_COST else fitted


def fit_events(readings: Sequence[ItemReading], base: Calibration) -> Calibration:
    """The slopes of the events; with fewer than `NEEDED` coded sentences they stay as `base` has them."""
    found = [(reading, index, unit) for reading in readings for index, unit in enumerate(reading.item.units) if (unit.event, unit.quad) != (None, None)]
    if len(found) < NEEDED or not found[0][0].tokens.event.shape[1]:
        return base
    inputs = {id(reading): event_inputs(reading.tokens, reading.bounds, reading.figures.signal) for reading, _, _ in found}
    by_event, by_signal = (np.stack([inputs[id(reading)][column][index] for reading, index, _ in found]) for column in (0, 1))
    allowed = np.stack([allowed_events(unit.event, unit.quad) for _, _, unit in found])
    return dataclasses.replace(base, event_map=fit_event_map(by_event, by_signal, allowed))


def fit_weights(articles: Sequence[ItemReading], singles: Sequence[SentenceReading], base: Calibration) -> Calibration:
    """The sentence weights with the least squared error of the score, over articles and, together counting as much, over sentences scored alone."""
    gold = np.array([(a.item.severity or 0) / 10 for a in articles])
    alone = np.array([(s.unit.severity or 0) / 10 for s in singles])

    def error(candidate: Calibration) -> float:
        scores = np.array([weigh_sentences(a.figures.direction, candidate) @ a.figures.score for a in articles])
        single = np.array([weigh_sentences(s.direction[None], candidate)[0] * s.score for s in singles])
        return float(((scores - gold) ** 2).mean() + ((single - alone) ** 2).mean())

    grid = itertools.product(POWERS, DECAYS, DOUBTS)
    return min((dataclasses.replace(base, relevance_power=p, position_decay=d, doubt=c) for p, d, c in grid), key=error)


def fit_interval(readings: Sequence[ItemReading], base: Calibration) -> Calibration:
    """The interval of a text's score, from the errors of all texts with a severity, short ones too, as a user gets their scores: by the model's own scope."""
    errors = [abs(score_article(r.figures, base).score - r.item.severity / 10) for r in readings if r.item.severity is not None]
    return dataclasses.replace(base, article_interval=conformal_width(np.array(errors)))


@dataclasses.dataclass(frozen=True)
class Case:
    """An article, or a sentence taken as an article of one sentence."""

    direction: Array  # (n_sentences, 2)
    scope: Array  # (n_sentences,)
    gold: tuple[int, int]
    in_scope: int
    weight: float


def make_cases(articles: Sequence[ItemReading], singles: Sequence[ItemReading]) -> list[Case]:
    """Articles with their labels and, together weighing as much, lone sentences: short input is read as its sentence would be."""
    cases = [
        Case(a.figures.direction, a.figures.scope, (int(a.item.label in ("escalation", "mixed")), int(a.item.label in ("de-escalation", "mixed"))),
             int(bool(a.item.in_scope)), 1.0)
        for a in articles
    ]  # fmt: skip
    lone = [
        Case(s.direction[None], np.array([s.scope]), (s.unit.escalation or 0, s.unit.de_escalation or 0), int(bool(s.unit.in_scope)), 0.0)
        for item in singles
        for s in item.sentences
        if s.unit.escalation is not None and s.unit.in_scope is not None
    ]
    share = len(cases) / max(1, len(lone))
    return cases + [dataclasses.replace(case, weight=share) for case in lone]


def fit_articles(cases: Sequence[Case], base: Calibration) -> Calibration:
    """Article maps and thresholds."""
    features = [article_features(c.direction, c.scope, weigh_sentences(c.direction, base)) for c in cases]
    direction, scope = np.stack([f[0] for f in features]), np.stack([f[1] for f in features])
    gold, weight = np.array([c.gold for c in cases]), np.array([c.weight for c in cases])
    columns = ([0, 1, 2, 3], [1, 0, 3, 2])
    maps = [fit_logistic(direction[:, chosen], gold[:, index], weight) for index, chosen in enumerate(columns)]
    scope_map = fit_logistic(scope, np.array([c.in_scope for c in cases]), weight)
    probabilities = np.stack([logistic(maps[i], *(direction[:, c] for c in columns[i])) for i in (0, 1)], axis=1)
    return dataclasses.replace(
        base,
        article_escalation=maps[0],
        article_de_escalation=maps[1],
        article_scope=scope_map,
        article_thresholds=best_thresholds(probabilities, gold, weight),
    )


def fit_calibration(items: Sequence[Item], raw: Sequence[Reading], start: Calibration | None = None) -> Calibration:
    """Fits everything.

    Args:
        items: labelled items that training did not see, articles among them.
        raw: what the model, as it will be shipped, reads of them (`training.measure.read_raw`).
        start: the calibration of the model that the run began with, whose event map stays where too few events are coded.

    Raises:
        ValueError: too few labels of one kind.
    """
    phrased = [(item, reading) for item, reading in zip(items, raw, strict=True) if item.units[0].spans is not None]

    def span_f1(candidate: Calibration) -> float:
        return phrase_figures([s for item, reading in phrased for s in interpret(item, reading, candidate).sentences])["span_f1"]

    grid = itertools.product(PHRASE_THRESHOLDS, SWITCH_COSTS)
    begin = Calibration(event_map=start.event_map) if start is not None else Calibration()
    base = max((dataclasses.replace(begin, phrase_threshold=threshold, switch_cost=cost) for threshold, cost in grid), key=span_f1)
    fitted = fit_sentences([s for reading in interpret_all(items, raw, base) for s in reading.sentences], base)
    readings = interpret_all(items, raw, fitted)
    fitted = fit_events(readings, fitted)
    fitted = bind_labels([s for reading in readings for s in reading.sentences], fitted)
    articles = [r for r in readings if r.item.label is not None and len(r.item.units) > 1]
    singles = [s for reading in readings for s in reading.sentences if s.unit.severity is not None and s.unit.in_scope]
    fitted = fit_weights(articles, singles, fitted)
    fitted = fit_articles(make_cases(articles, readings), fitted)
    return fit_interval(readings, fitted)
