"""The figures: each a function of rows, with the rows that it needs; metrics are scikit-learn's and SciPy's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, average_precision_score, brier_score_loss, f1_score

from escalation.evaluation.rows import COUNTS, QUAD_OF_SIGNAL, Array, Rows
from escalation.signals import LABELS

BINS = 10  # of the reliability diagram and of ECE: equally wide (Guo et al., ICML 2017)
RAREST = 1e-6  # a gold event's probability counts as at least this in the log loss: one text can't make it infinite
NAN = float("nan")


@dataclass(frozen=True)
class Metric:
    """One figure.

    Attributes:
        key: its name in reports.
        title: in words, for people.
        group: what it tells of: direction, severity, scope, events, phrases, calibration.
        needs: rows to `(n,)` bool, which rows it can be had of.
        compute: those rows to its value; NaN where it is undefined.
        better: 1 where larger is better, −1 where smaller is.
    """

    key: str
    title: str
    group: str
    needs: Callable[[Rows], NDArray[np.bool_]]
    compute: Callable[[Rows], float]
    better: int = 1


def macro_f1(gold: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """Macro-F1 over the classes that occur in `gold`; a prediction of any other class is a miss."""
    return float(f1_score(gold, found, labels=np.unique(gold), average="macro", zero_division=0.0)) if len(gold) else NAN


def labelled(rows: Rows) -> NDArray[np.bool_]:
    """Rows with a gold and a predicted label."""
    return (rows.gold >= 0) & (rows.label >= 0)


def measured(rows: Rows) -> NDArray[np.bool_]:
    """Rows with a severity and a score."""
    return ~np.isnan(rows.severity) & ~np.isnan(rows.score)


def correlation(rows: Rows, function: Callable[[Array, Array], tuple[float, float]]) -> float:
    """Correlation of score and severity; NaN where one of them is constant."""
    if len(rows) < 3 or not np.ptp(rows.severity) or not np.ptp(rows.score):
        return NAN
    return float(function(rows.severity, rows.score)[0])


def outside(rows: Rows) -> NDArray[np.bool_]:
    """Rows labelled out of scope of which the model says whether they are."""
    return np.equal(rows.gold_scope, 0) & ~np.isnan(rows.scope)


def inside(rows: Rows) -> NDArray[np.bool_]:
    """Rows labelled in scope of which the model says whether they are."""
    return np.equal(rows.gold_scope, 1) & ~np.isnan(rows.scope)


def alarm(rows: Rows) -> float:
    """Share of rows that are given a direction."""
    return float(np.mean(rows.label != LABELS.index("neutral"))) if len(rows) else NAN


def conflict(quad: NDArray[np.int64]) -> NDArray[np.int64]:
    """1 for the two conflict classes, 0 for the two cooperation classes."""
    return (quad < 2).astype(np.int64)


def phrased(rows: Rows) -> NDArray[np.bool_]:
    """Rows with gold and predicted phrases (either may be none)."""
    return ~np.isnan(rows.phrases[:, 0])


def ratio(over: str, *under: str, factor: float = 1.0) -> Callable[[Rows], float]:
    """Sum of one count over the sum of others; NaN where that is 0."""

    def compute(rows: Rows) -> float:
        totals = dict(zip(COUNTS, rows.phrases.sum(axis=0), strict=True))
        below = sum(totals[name] for name in under)
        return float(factor * totals[over] / below) if below else NAN

    return compute


def rationale(rows: Rows) -> float:
    """Area under the precision-recall curve of the tokens' evidence against gold phrases (ERASER: DeYoung et al., ACL 2020, section 4)."""
    tokens = np.concatenate([np.zeros((2, 0)), *rows.tokens], axis=1)
    return float(average_precision_score(tokens[1], tokens[0])) if tokens[1].any() else NAN


def directed(column: int) -> Callable[[Rows], NDArray[np.bool_]]:
    """Rows with a gold and a predicted probability of a direction."""
    return lambda rows: ~np.isnan(rows.gold_direction[:, column]) & ~np.isnan(rows.probability[:, column])


def both_directed(rows: Rows) -> NDArray[np.bool_]:
    """Rows with both."""
    return directed(0)(rows) & directed(1)(rows)


@dataclass(frozen=True)
class Bin:
    """A bin of the reliability diagram."""

    low: float
    high: float
    count: int
    predicted: float  # mean probability
    happened: float  # share of gold labels that are 1


def reliability(probability: Array, gold: Array) -> tuple[Bin, ...]:
    """Bins of equal width that hold anything; a probability on an edge belongs to the upper bin, 1 to the last."""
    number = np.minimum((probability * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(b / BINS, (b + 1) / BINS, int((number == b).sum()), float(probability[number == b].mean()), float(gold[number == b].mean()))
        for b in range(BINS)
        if (number == b).any()
    )


def calibration_error(probability: Array, gold: Array) -> float:
    """Expected calibration error: the bins' |predicted − happened|, weighted by count (Guo et al., ICML 2017)."""
    return sum(b.count * abs(b.predicted - b.happened) for b in reliability(probability, gold)) / len(gold) if len(gold) else NAN


def mean_of_directions(function: Callable[[Array, Array], float]) -> Callable[[Rows], float]:
    """Mean over the two directions of a function of (gold, probability)."""
    return lambda rows: float(np.mean([function(rows.gold_direction[:, c], rows.probability[:, c]) for c in (0, 1)])) if len(rows) else NAN


def confidence(rows: Rows) -> Array:
    """How sure the model is of its label: the smaller distance of the two probabilities from ½, as a probability."""
    return np.asarray(0.5 + np.abs(rows.probability - 0.5).min(axis=1))


def risk_coverage(rows: Rows) -> tuple[Array, Array]:
    """Share of rows answered, surest first, and share of wrong labels among them (El-Yaniv and Wiener, JMLR 2010)."""
    wrong = (rows.gold != rows.label)[np.argsort(-confidence(rows), kind="stable")]
    answered = np.arange(1, len(rows) + 1)
    return answered / max(1, len(rows)), np.cumsum(wrong) / answered


def area_under_risk(rows: Rows) -> float:
    """Mean of the risk over all coverages."""
    return float(risk_coverage(rows)[1].mean()) if len(rows) else NAN


def sure(rows: Rows) -> NDArray[np.bool_]:
    """Rows with labels and probabilities."""
    return labelled(rows) & ~np.isnan(rows.probability).any(axis=1)


def evented(rows: Rows) -> NDArray[np.bool_]:
    """Rows with a gold and a predicted event."""
    return (rows.gold_event >= 0) & (rows.event >= 0)


def believed(rows: Rows) -> NDArray[np.bool_]:
    """Rows with a gold event and probabilities of the events."""
    return evented(rows) & ~np.isnan(rows.event_probability)


def quadded(rows: Rows) -> NDArray[np.bool_]:
    """Rows with a gold quad class and a predicted event."""
    return (rows.gold_quad >= 0) & (rows.event >= 0)


METRICS: Sequence[Metric] = (
    Metric("direction_f1", "Direction, four classes, macro-F1", "direction", labelled, lambda r: macro_f1(r.gold, r.label)),
    Metric(
        "direction_accuracy", "Direction, accuracy", "direction", labelled, lambda r: float(accuracy_score(r.gold, r.label)) if len(r) else NAN
    ),
    Metric("severity_pearson", "Severity, Pearson", "severity", measured, lambda r: correlation(r, pearsonr)),
    Metric("severity_spearman", "Severity, Spearman", "severity", measured, lambda r: correlation(r, spearmanr)),
    Metric(
        "severity_error", "Severity, mean error (of 10)", "severity", measured,
        lambda r: float(10 * np.abs(r.score - r.severity).mean()) if len(r) else NAN, -1,
    ),
    Metric("scope_false_alarm", "Out of scope, called in scope", "scope", outside, lambda r: float(r.scope.mean()) if len(r) else NAN, -1),
    Metric("direction_false_alarm", "Out of scope, given a direction", "scope", lambda r: (r.gold_scope == 0) & (r.label >= 0), alarm, -1),
    Metric("scope_recall", "In scope, called in scope", "scope", inside, lambda r: float(r.scope.mean()) if len(r) else NAN),
    Metric("event_binary_f1", "PLOVER binary, macro-F1", "events", quadded, lambda r: macro_f1(conflict(r.gold_quad), conflict(QUAD_OF_SIGNAL[r.event]))),
    Metric("event_quad_f1", "PLOVER quad class, macro-F1", "events", quadded, lambda r: macro_f1(r.gold_quad, QUAD_OF_SIGNAL[r.event])),
    Metric("event_root_f1", "PLOVER root, macro-F1", "events", evented, lambda r: macro_f1(r.gold_event, r.event)),
    Metric(
        "event_ece", "PLOVER root, expected calibration error", "events", believed,
        lambda r: calibration_error(r.event_probability, (r.gold_event == r.event).astype(np.float64)), -1,
    ),
    Metric(
        "event_log_loss", "PLOVER root, log loss", "events", believed,
        lambda r: float(-np.log(np.maximum(r.gold_event_probability, RAREST)).mean()) if len(r) else NAN, -1,
    ),
    Metric("span_f1", "Phrases, F1 (IoU ≥ 0.5, direction)", "phrases", phrased, ratio("matched", "found", "gold", factor=2)),
    Metric("span_precision", "Phrases, precision (IoU ≥ 0.5, direction)", "phrases", phrased, ratio("matched", "found")),
    Metric("span_recall", "Phrases, recall (IoU ≥ 0.5, direction)", "phrases", phrased, ratio("matched", "gold")),
    Metric("span_exact_f1", "Phrases, F1 (exact offsets, direction)", "phrases", phrased, ratio("exact", "found", "gold", factor=2)),
    Metric("span_exact_precision", "Phrases, precision (exact offsets, direction)", "phrases", phrased, ratio("exact", "found")),
    Metric("span_exact_recall", "Phrases, recall (exact offsets, direction)", "phrases", phrased, ratio("exact", "gold")),
    Metric("span_char_f1", "Phrases, F1 by character", "phrases", phrased, ratio("chars_both", "chars_found", "chars_gold", factor=2)),
    Metric("span_char_precision", "Phrases, precision by character", "phrases", phrased, ratio("chars_both", "chars_found")),
    Metric("span_char_recall", "Phrases, recall by character", "phrases", phrased, ratio("chars_both", "chars_gold")),
    Metric("span_signal_f1", "Phrases, F1 (IoU ≥ 0.5, signal)", "phrases", phrased, ratio("signal", "found", "gold", factor=2)),
    Metric("span_signal_status_f1", "Phrases, F1 (IoU ≥ 0.5, signal and status)", "phrases", phrased, ratio("signal_status", "found", "gold", factor=2)),
    Metric("status_accuracy", "Status right on matched phrases", "phrases", phrased, ratio("status_right", "status_known")),
    Metric("evidence_auprc", "Token evidence, area under precision-recall", "phrases", lambda r: np.array([t.size > 0 for t in r.tokens], bool), rationale),
    Metric("ece", "Expected calibration error", "calibration", both_directed, mean_of_directions(lambda gold, p: calibration_error(p, gold)), -1),
    Metric("brier", "Brier score", "calibration", both_directed, mean_of_directions(lambda gold, p: float(brier_score_loss(gold, p, pos_label=1))), -1),
    Metric(
        "interval_coverage", "90 % interval holds the severity", "calibration", lambda r: ~np.isnan(r.covered),
        lambda r: float(r.covered.mean()) if len(r) else NAN,
    ),
    Metric("risk_area", "Area under risk–coverage", "calibration", sure, area_under_risk, -1),
)  # fmt: skip
BY_KEY = {metric.key: metric for metric in METRICS}
