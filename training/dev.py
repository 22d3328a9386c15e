"""Dev figures of everything that a run measures on: `training.measure` for the shipped corpora, and the same for data of one's own, whatever labels it has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import f1_score

from escalation.calibration import Calibration
from escalation.evaluation.fitting import direction_class
from escalation.evaluation.labelled import QUADS
from escalation.reading import Reading
from escalation.signals import SIGNALS
from training.data import Item
from training.measure import SentenceReading, interpret_all, measure, named_directions, phrase_figures
from training.own import SOURCE

STEER = "steer"  # the figure that chooses the best epoch
STEERING = ("own_direction_f1", "own_escalation_f1", "own_de_escalation_f1", "own_span_f1", "own_event_root_f1", "own_event_quad_f1")
LAST_RESORT = ("own_severity_pearson", "own_scope_accuracy")  # where none of the above can be had


def own_direction(sentences: Sequence[SentenceReading], calibration: Calibration) -> dict[str, float]:
    """Macro-F1 of the direction over the classes that labels or model name; where only one half is labelled, F1 of that half."""
    figures: dict[str, float] = {}
    if both := [s for s in sentences if s.unit.escalation is not None and s.unit.de_escalation is not None]:
        gold = [direction_class(bool(s.unit.escalation), bool(s.unit.de_escalation)) for s in both]
        guess = [direction_class(*named_directions(s, calibration)) for s in both]
        return {"own_sentences": len(both), "own_direction_f1": float(f1_score(gold, guess, average="macro", zero_division=0.0))}
    for column, name in enumerate(("escalation", "de_escalation")):
        if half := [s for s in sentences if getattr(s.unit, name) is not None]:
            guess = [int(named_directions(s, calibration)[column]) for s in half]
            figures["own_sentences"] = len(half)
            figures[f"own_{name}_f1"] = float(f1_score([getattr(s.unit, name) for s in half], guess, zero_division=0.0))
    return figures


def own_events(sentences: Sequence[SentenceReading]) -> dict[str, float]:
    """Macro-F1 of PLOVER root and quad class, each over the texts that are labelled with it."""
    quad_of = np.array([QUADS.index(signal.quad) for signal in SIGNALS])
    figures: dict[str, float] = {}
    if coded := [s for s in sentences if s.unit.event is not None]:
        guess = [s.event for s in coded]
        figures["own_event_root_f1"] = float(f1_score([s.unit.event for s in coded], guess, average="macro", zero_division=0.0))
    if coded := [s for s in sentences if s.unit.quad is not None]:
        quads = [quad_of[s.event] for s in coded]
        figures["own_event_quad_f1"] = float(f1_score([s.unit.quad for s in coded], quads, average="macro", zero_division=0.0))
    return figures


def measure_own(items: Sequence[Item], readings: Sequence[Reading], calibration: Calibration) -> dict[str, float]:
    """Figures of data of one's own, by what is labelled; named `own_…`."""
    sentences = [s for reading in interpret_all(items, readings, calibration) for s in reading.sentences]
    figures = own_direction(sentences, calibration) | own_events(sentences)
    if phrased := [s for s in sentences if s.unit.spans is not None]:
        figures |= {f"own_{name}": value for name, value in phrase_figures(phrased).items()}
    graded = [s for s in sentences if s.unit.severity is not None]
    if len({s.unit.severity for s in graded}) > 1:  # a neutral label implies severity 0; that alone is nothing to measure
        gold, scores = np.array([(s.unit.severity or 0.0) / 10 for s in graded]), np.array([s.score for s in graded])
        figures["own_severity_pearson"] = float(np.corrcoef(gold, scores)[0, 1]) if scores.std() else 0.0
        figures["own_severity_error"] = float(np.abs(gold - scores).mean())
    if scoped := [s for s in sentences if s.unit.in_scope is not None]:
        figures["own_scope_accuracy"] = float(np.mean([(s.scope >= calibration.scope_threshold) == s.unit.in_scope for s in scoped]))
    return figures


def measure_dev(items: Sequence[Item], readings: Sequence[Reading], calibration: Calibration | None = None) -> dict[str, float]:
    """All figures of labelled items.

    `steer` chooses the best epoch: that of `training.measure` for the shipped corpora, the mean of the direction, span and event figures for data of one's own,
    the mean of the two where a run has both.
    """
    pairs = list(zip(items, readings, strict=True))
    shipped, own = [p for p in pairs if p[0].source != SOURCE], [p for p in pairs if p[0].source == SOURCE]
    figures: dict[str, float] = {}
    steering = []
    if shipped:
        figures = measure([item for item, _ in shipped], [reading for _, reading in shipped], calibration)
        steering.append(figures[STEER])
    if own:
        found = measure_own([item for item, _ in own], [reading for _, reading in own], calibration or Calibration())
        names = [name for name in STEERING if name in found] or [name for name in LAST_RESORT if name in found]
        if names:
            steering.append(float(np.mean([found[name] for name in names])))
        figures |= found
    figures[STEER] = float(np.mean(steering)) if steering else 0.0
    return figures
