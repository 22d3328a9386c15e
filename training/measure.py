"""Figures of a model on labelled items, by the very functions that scoring uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from escalation.calibration import Calibration
from escalation.evaluation.fitting import direction_class
from escalation.evaluation.labelled import QUADS
from escalation.evaluation.rows import IOU, overlap
from escalation.evidence import (
    EVENT_SIGNALS,
    Phrase,
    SentenceFigures,
    TokenFigures,
    choose_directions,
    choose_label,
    find_phrases,
    read_logits,
    score_article,
    score_sentences,
)
from escalation.reading import Reader, Reading, read
from escalation.signals import ESCALATION, LABELS, SIGNALS
from training.data import Item, Span, Unit

BATCH = 64  # items read at once


@dataclass(frozen=True)
class SentenceReading:
    """A labelled sentence as the model reads it; phrases in characters of the sentence."""

    item: Item
    unit: Unit
    phrases: tuple[tuple[int, int, int, int], ...]  # start, end, signal, status
    direction: NDArray[np.float64]  # (2,)
    carried: NDArray[np.bool_]  # (2,)
    scope: float
    signal: NDArray[np.float64]  # (16,)
    score: float
    event: int  # the likeliest, as a signal


@dataclass(frozen=True)
class ItemReading:
    """A labelled item as the model reads it."""

    item: Item
    sentences: tuple[SentenceReading, ...]
    figures: SentenceFigures
    tokens: TokenFigures
    bounds: NDArray[np.int64]
    phrases: tuple[Phrase, ...]


def measurable(items: Sequence[Item]) -> list[Item]:
    """Items that a figure can be had of: all but the noisy NGEC articles, whose labels only train."""
    return [item for item in items if item.source != "ngec"]


def read_raw(reader: Reader, items: Sequence[Item]) -> list[Reading]:
    """Runs the model over items; each unit is a sentence as labelled, so nothing depends on the sentence splitter."""
    return [
        reading
        for start in range(0, len(items), BATCH)
        for reading in read(reader, [[unit.text for unit in item.units] for item in items[start : start + BATCH]])
    ]


def interpret(item: Item, reading: Reading, calibration: Calibration) -> ItemReading:
    """Turns what was read of an item into figures."""
    tokens = read_logits(reading.logits)
    found = find_phrases(tokens, reading.words, reading.is_word, reading.bounds, calibration)
    flat = [phrase for phrases in found for phrase in phrases]
    figures = score_sentences(tokens, reading.bounds, flat, calibration)
    sentences = []
    for index, unit in enumerate(item.units):
        offsets, begin = reading.tokens[index].offsets, int(reading.bounds[index])
        spans = tuple((int(offsets[p.first - begin, 0]), int(offsets[p.last - 1 - begin, 1]), p.signal, p.status) for p in found[index])
        scope, score = float(figures.scope[index]), float(figures.score[index])
        event = EVENT_SIGNALS[int(figures.event[index].argmax())]
        sentences.append(SentenceReading(item, unit, spans, figures.direction[index], figures.carried[index], scope, figures.signal[index], score, event))
    return ItemReading(item, tuple(sentences), figures, tokens, reading.bounds, tuple(flat))


def interpret_all(items: Sequence[Item], readings: Sequence[Reading], calibration: Calibration) -> list[ItemReading]:
    """`interpret` for each item."""
    return [interpret(item, reading, calibration) for item, reading in zip(items, readings, strict=True)]


def match_spans(found: Sequence[tuple[int, int, int, int]], gold: Sequence[Span], *, signal: bool) -> list[tuple[tuple[int, int, int, int], Span]]:
    """Pairs found and gold spans one to one: IoU at least 0.5 and the same direction (or, with `signal`, the same signal); best overlap first."""
    pairs = []
    for f in found:
        for g in gold:
            same = f[2] == g.signal if signal else SIGNALS[f[2]].direction == SIGNALS[g.signal].direction
            value = overlap((f[0], f[1]), (g.start, g.end))
            if same and value >= IOU:
                pairs.append((value, f, g))
    taken_found: set[tuple[int, int, int, int]] = set()
    taken_gold: set[Span] = set()
    matched = []
    for _, f, g in sorted(pairs, key=lambda pair: -pair[0]):
        if f not in taken_found and g not in taken_gold:
            taken_found.add(f)
            taken_gold.add(g)
            matched.append((f, g))
    return matched


def phrase_figures(sentences: Sequence[SentenceReading]) -> dict[str, float]:
    """Span F1 by direction and by signal, and how often the status of a matched span is right."""
    n_found = n_gold = by_direction = by_signal = status = 0
    for sentence in sentences:
        gold = sentence.unit.spans or ()
        matched = match_spans(sentence.phrases, gold, signal=False)
        n_found, n_gold, by_direction = n_found + len(sentence.phrases), n_gold + len(gold), by_direction + len(matched)
        by_signal += len(match_spans(sentence.phrases, gold, signal=True))
        status += sum(f[3] == g.status for f, g in matched)
    return {
        "span_f1": 2 * by_direction / max(1, n_found + n_gold),
        "span_precision": by_direction / max(1, n_found),
        "span_recall": by_direction / max(1, n_gold),
        "span_signal_f1": 2 * by_signal / max(1, n_found + n_gold),
        "status_accuracy": status / max(1, by_direction),
    }


def named_directions(sentence: SentenceReading, calibration: Calibration) -> NDArray[np.bool_]:
    """Which directions its label names, `(2,)`, its scope apart."""
    return choose_directions(sentence.direction, sentence.carried, calibration.sentence_thresholds, calibration)


def direction_f1(sentences: Sequence[SentenceReading], calibration: Calibration) -> float:
    """Macro-F1 of the four-class direction."""
    gold = [direction_class(bool(s.unit.escalation), bool(s.unit.de_escalation)) for s in sentences]
    guess = [direction_class(*named_directions(s, calibration)) for s in sentences]
    return float(f1_score(gold, guess, labels=[0, 1, 2, 3], average="macro", zero_division=0.0))


def event_figures(sentences: Sequence[SentenceReading]) -> dict[str, float]:
    """Macro-F1 over gold PLOVER labels: root (15), quad (4), binary (conflict against cooperation); the likeliest event decides."""
    gold = np.array([s.unit.event for s in sentences])
    guess = np.array([s.event for s in sentences])
    quad = np.array([QUADS.index(signal.quad) for signal in SIGNALS])
    conflict = np.array([signal.direction == ESCALATION for signal in SIGNALS])
    return {
        "event_root_f1": float(f1_score(gold, guess, average="macro")),
        "event_quad_f1": float(f1_score(quad[gold], quad[guess], average="macro")),
        "event_binary_f1": float(f1_score(conflict[gold], conflict[guess], average="macro")),
    }


def measure(items: Sequence[Item], readings: Sequence[Reading], calibration: Calibration | None = None) -> dict[str, float]:
    """All figures of labelled items; a kind of label that no item has is left out.

    `steer`, the mean of the direction and span figures, chooses the best epoch. The PLOVER root figure is left out: dev has 98 coded rows for 15
    roots, and it rises and falls by 0.09 from epoch to epoch.
    """
    calibration = calibration or Calibration()
    sentences = [s for reading in interpret_all(items, readings, calibration) for s in reading.sentences]
    figures: dict[str, float] = {}
    for name, real in (("corpus", False), ("real", True)):
        part = [s for s in sentences if s.unit.spans is not None and (s.item.source != "corpus") == real]
        if part:
            figures[f"{name}_sentences"] = len(part)
            figures[f"{name}_direction_f1"] = direction_f1(part, calibration)
            figures |= {f"{name}_{key}": value for key, value in phrase_figures(part).items()}
            gold = np.array([s.unit.severity or 0 for s in part]) / 10
            scores = np.array([s.score for s in part])
            figures[f"{name}_severity_pearson"] = float(np.corrcoef(gold, scores)[0, 1]) if gold.std() and scores.std() else 0.0
            figures[f"{name}_severity_error"] = float(np.abs(gold - scores).mean())
    if outside := [s for s in sentences if s.item.source == "ag"]:
        figures["outside_in_scope"] = float(np.mean([s.scope >= calibration.scope_threshold for s in outside]))
        figures["outside_alarm"] = float(np.mean([bool(named_directions(s, calibration).any()) for s in outside]))
    if inside := [s for s in sentences if s.unit.in_scope and s.unit.spans is not None]:
        figures["inside_in_scope"] = float(np.mean([s.scope >= calibration.scope_threshold for s in inside]))
    if coded := [s for s in sentences if s.unit.event is not None and s.item.source == "plv"]:
        figures |= event_figures(coded)
    steering = [figures[k] for k in ("corpus_direction_f1", "real_direction_f1", "corpus_span_f1", "real_span_f1") if k in figures]
    figures["steer"] = float(np.mean(steering)) if steering else 0.0
    return figures


def measure_articles(items: Sequence[Item], readings: Sequence[Reading], calibration: Calibration) -> dict[str, float]:
    """Figures of whole articles of at least two sentences: direction, severity, scope; and how often the interval holds the severity of any labelled text."""
    read_figures = [(a.item, score_article(a.figures, calibration)) for a in interpret_all(items, readings, calibration)]
    figures: dict[str, float] = {}
    if chosen := [(item, f) for item, f in read_figures if item.label is not None and len(item.units) > 1]:
        inside = [f.scope >= calibration.scope_threshold for _, f in chosen]
        named = [choose_directions(f.direction, f.carried, calibration.article_thresholds, calibration) for _, f in chosen]
        labels = [choose_label(directions, in_scope=i) for directions, i in zip(named, inside, strict=True)]
        scores, gold = np.array([f.score for _, f in chosen]), np.array([(item.severity or 0) / 10 for item, _ in chosen])
        figures["articles"] = len(chosen)
        figures["article_direction_f1"] = float(f1_score([i.label for i, _ in chosen], labels, labels=list(LABELS), average="macro", zero_division=0.0))
        figures["article_direction_accuracy"] = float(np.mean([i.label == label for (i, _), label in zip(chosen, labels, strict=True)]))
        figures["article_severity_pearson"] = float(np.corrcoef(gold, scores)[0, 1]) if gold.std() and scores.std() else 0.0
        figures["article_scope_accuracy"] = float(np.mean([bool(item.in_scope) == i for (item, _), i in zip(chosen, inside, strict=True)]))
    if graded := [abs(f.score - item.severity / 10) for item, f in read_figures if item.severity is not None]:
        figures["article_interval_coverage"] = float(np.mean(np.array(graded) <= calibration.article_interval))
    if outside := [f for item, f in read_figures if item.source == "ag"]:
        figures["outside_articles_in_scope"] = float(np.mean([f.scope >= calibration.scope_threshold for f in outside]))
    return figures
