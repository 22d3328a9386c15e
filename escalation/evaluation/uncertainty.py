"""Bootstrap intervals: texts are drawn with replacement, all rows of a text together, since sentences of one article are not independent (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from escalation.evaluation.metrics import METRICS, Metric
from escalation.evaluation.rows import Rows

Index = NDArray[np.int64]
LEVEL = 95.0  # per cent
DRAWS = 1000
NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % percentile interval; `count` is the number of rows behind it."""

    value: float
    low: float
    high: float
    count: int


def draw_texts(n_texts: int, draws: int, seed: int = 0) -> list[Index]:
    """Numbers of the drawn texts, one array a draw; the same for every model, so that differences are paired."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, n_texts, n_texts) for _ in range(draws)]


def positions(group: Index, n_texts: int) -> list[Index]:
    """The rows of each text."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.searchsorted(group[order], np.arange(1, n_texts)))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The middle 95 % of the values that are defined; NaN where none is."""
    known = [value for value in values if value == value]
    if not known:
        return NAN, NAN
    low, high = np.percentile(known, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def measured_rows(rows: Rows, metrics: Sequence[Metric] = METRICS) -> dict[str, Rows]:
    """For each metric that can be had at all, the rows that it needs."""
    found = {metric.key: rows.take(metric.needs(rows)) for metric in metrics}
    known = {metric.key: metric for metric in metrics}
    return {key: part for key, part in found.items() if len(part) and known[key].compute(part) == known[key].compute(part)}


def resample(rows: Rows, compute: Callable[[Rows], float], draws: Sequence[Index], n_texts: int) -> list[float]:
    """A figure on each draw."""
    of_text = positions(rows.group, n_texts)
    empty = np.zeros(0, np.int64)
    return [compute(rows.take(np.concatenate([of_text[text] for text in drawn] or [empty]))) for drawn in draws]


def estimate(rows: Rows, metric: Metric, draws: Sequence[Index], n_texts: int) -> Estimate:
    """A figure of the rows that it needs, with its interval."""
    low, high = interval(resample(rows, metric.compute, draws, n_texts))
    return Estimate(metric.compute(rows), low, high, len(rows))


def difference(ours: Rows, theirs: Rows, metric: Metric, draws: Sequence[Index], n_texts: int) -> Estimate:
    """How much larger a figure of ours is than of theirs, on the same rows and the same draws.

    Rows that only one of the two can be measured on are left out of both.
    """
    a, b = resample(ours, metric.compute, draws, n_texts), resample(theirs, metric.compute, draws, n_texts)
    low, high = interval([x - y for x, y in zip(a, b, strict=True)])
    return Estimate(metric.compute(ours) - metric.compute(theirs), low, high, len(ours))


def compare(ours: Rows, theirs: Rows, draws: Sequence[Index], n_texts: int, metrics: Sequence[Metric] = METRICS) -> Mapping[str, Estimate]:
    """Paired differences of every figure that both have; ours and theirs are rows of the same labels."""
    found = {}
    for metric in metrics:
        common = metric.needs(ours) & metric.needs(theirs)
        if common.any():
            result = difference(ours.take(common), theirs.take(common), metric, draws, n_texts)
            if result.value == result.value:
                found[metric.key] = result
    return found
