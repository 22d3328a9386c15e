"""The few fits that calibration is made of: Platt's maps, the slopes of the events, thresholds by macro-F1, split conformal widths."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from escalation.calibration import Array
from escalation.evaluation.labelled import QUADS
from escalation.evidence import EVENT_SIGNALS
from escalation.signals import SIGNALS

COVERAGE = 0.9
THRESHOLDS = np.arange(0.2, 0.81, 0.05)
STRENGTH = 10.0  # inverse of the L2 penalty: the maps have two to four parameters
QUAD_OF_EVENT = np.array([QUADS.index(SIGNALS[signal].quad) for signal in EVENT_SIGNALS])


def fit_logistic(features: Array, target: NDArray[np.int64], weight: Array | None = None) -> tuple[float, ...]:
    """Coefficients `(intercept, slope, ...)` of a logistic regression.

    Raises:
        ValueError: all targets are the same; more labels are needed.
    """
    if len(np.unique(target)) < 2:
        raise ValueError(f"calibration needs sentences of both kinds, got {len(target)} of one kind; label more text")
    model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(features, target, sample_weight=weight)
    return tuple(float(value) for value in [model.intercept_[0], *model.coef_[0]])


def allowed_events(event: int | None, quad: int | None) -> NDArray[np.bool_]:
    """Which of the 15 events a label allows: the one signal `event`, or those of the quad class."""
    return np.array(EVENT_SIGNALS) == event if event is not None else np.asarray(quad == QUAD_OF_EVENT)


def fit_event_map(by_event: Array, by_signal: Array, allowed: NDArray[np.bool_]) -> tuple[float, float]:
    """The two slopes of `Calibration.event_map`, at least 0 each, by maximum likelihood with `fit_logistic`'s penalty, towards (1, 0).

    Args:
        by_event: `(n, 15)` mean event logits of sentences (`escalation.evidence.event_inputs`).
        by_signal: `(n, 15)` logarithms of their signals' probabilities.
        allowed: `(n, 15)` which events each label allows.
    """
    own = np.array([1.0, 0.0])

    def loss(slopes: Array) -> float:
        logits = slopes[0] * by_event + slopes[1] * by_signal
        surprise = logsumexp(logits, axis=1) - logsumexp(logits, axis=1, b=allowed)
        return float(surprise.mean() + ((slopes - own) ** 2).sum() / (2 * STRENGTH * len(allowed)))

    found = minimize(loss, own, method="L-BFGS-B", bounds=[(0.0, None)] * 2)
    return float(found.x[0]), float(found.x[1])


def conformal_width(errors: Array) -> float:
    """Half width that holds 90 % of new cases: the ⌈(n + 1) · 0.9⌉-th smallest error (Lei et al. 2018), 1 where there are too few."""
    rank = int(np.ceil((len(errors) + 1) * COVERAGE))
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else 1.0


def direction_class(escalation: bool, de_escalation: bool) -> int:
    """0 neutral, 1 escalation, 2 de-escalation, 3 mixed."""
    return int(escalation) + 2 * int(de_escalation)


def best_thresholds(probabilities: Array, gold: NDArray[np.int64], weight: Array | None = None) -> tuple[float, float]:
    """The pair of thresholds with the best macro-F1 of the four-class direction.

    Args:
        probabilities: `(n, 2)`.
        gold: `(n, 2)` 0 or 1.
        weight: `(n,)` of each case; None is 1.
    """
    classes = [direction_class(*row) for row in gold]
    present = sorted(set(classes))

    def quality(pair: tuple[float, float]) -> float:
        guess = [direction_class(*row) for row in probabilities >= np.array(pair)]
        return float(f1_score(classes, guess, labels=present, average="macro", sample_weight=weight, zero_division=0.0))

    found = max(itertools.product(THRESHOLDS, THRESHOLDS), key=lambda pair: (round(quality(pair), 4), -abs(pair[0] - 0.5) - abs(pair[1] - 0.5)))
    return round(float(found[0]), 2), round(float(found[1]), 2)
