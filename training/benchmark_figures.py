"""What `training.benchmark` measured, as figures: spreads, ratios, the growth with length, the targets, the table. Pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OURS = "ours"
NAMES = {
    OURS: "escalation",
    "pipeline-1": "transformers pipeline, batches of 1",
    "pipeline-32": "transformers pipeline, batches of 32",
    "integrated-gradients": "the same with integrated gradients (captum, 50 steps)",
    "vader": "VADER",
    "tfidf": "TF-IDF + logistic regression",
    "machine": "the machine",
}
MANY, GROWTH, INT8 = "many articles", "growth", "int8"
SHARE = "share of the int8 matrix rate"
LINEAR_FROM = 100_000  # bytes from which time per byte should be constant: below, what a call costs anyway flattens the slope


@dataclass(frozen=True)
class Measurement:
    """One thing measured of one contender.

    Attributes:
        part: of the benchmark.
        what: was measured.
        contender: key of `NAMES`.
        threads: of the process.
        unit: `.../s` where more is better, anything else where less is.
        values: one a repetition; those of one position were measured next to each other, whoever the contender. Empty where nothing could be measured.
        note: why not, or what else there is to know.
    """

    part: str
    what: str
    contender: str
    threads: int
    unit: str
    values: tuple[float, ...]
    note: str = ""


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the repetitions."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Target:
    """A figure and where it should be.

    Attributes:
        name: what the figure is.
        value: what was reached.
        limit: where it should be.
        least: whether the limit is a lower one.
        unit: of both.
    """

    name: str
    value: Spread
    limit: float
    least: bool
    unit: str

    @property
    def met(self) -> bool:
        """Whether the median keeps the limit."""
        return self.value.median >= self.limit if self.least else self.value.median <= self.limit


def spread(values: Sequence[float]) -> Spread:
    """Median and range.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("a spread needs at least one value, got none")
    return Spread(statistics.median(values), min(values), max(values))


def compare(ours: Sequence[float], theirs: Sequence[float], unit: str) -> Spread:
    """How many times better ours is, repetition by repetition: above 1 ours is faster or smaller.

    Raises:
        ValueError: not equally many repetitions.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"a ratio needs equally many repetitions, got {len(ours)} and {len(theirs)}")
    pairs = zip(ours, theirs, strict=True)
    return spread([a / b if unit.endswith("/s") else b / a for a, b in pairs])


def fit_slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of log time over log size: 1 is linear, 2 quadratic.

    Raises:
        ValueError: fewer than two sizes.
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"a slope needs at least two sizes, got {sorted(set(sizes))}")
    return statistics.linear_regression([math.log(size) for size in sizes], [math.log(time) for time in seconds]).slope


def slopes(growth: Sequence[tuple[float, Sequence[float]]], smallest: float) -> tuple[float, ...]:
    """The slope of each repetition.

    Args:
        growth: `(bytes, seconds of each repetition)` of each size.
        smallest: bytes from which sizes count; where fewer than two do, all count.
    """
    chosen = [point for point in growth if point[0] >= smallest]
    chosen = chosen if len(chosen) > 1 else list(growth)
    return tuple(fit_slope([size for size, _ in chosen], seconds) for seconds in zip(*(values for _, values in chosen), strict=True))


def interleave(names: Sequence[str], repetitions: int) -> Iterable[str]:
    """Who comes when: everyone once a repetition, each time beginning with another, so that a drift of the machine hits all alike."""
    for repetition in range(repetitions):
        first = repetition % max(1, len(names))
        yield from (*names[first:], *names[:first])


def growth_points(measurements: Iterable[Measurement]) -> list[tuple[float, tuple[float, ...]]]:
    """`(bytes, seconds of each repetition)` of the texts of growing size."""
    return [(float(m.what.split()[0].replace(",", "")), m.values) for m in measurements if m.part == GROWTH and m.values]


def ratios(measurements: Sequence[Measurement]) -> dict[Measurement, Spread]:
    """Of each rival's measurement, how many times better ours is at the same."""
    ours = {(m.part, m.what, m.threads): m for m in measurements if m.contender == OURS and m.values}
    return {
        m: compare(ours[m.part, m.what, m.threads].values, m.values, m.unit)
        for m in measurements
        if m.contender not in (OURS, "machine") and m.values and (m.part, m.what, m.threads) in ours
    }


def find_targets(measurements: Sequence[Measurement]) -> list[Target]:
    """The project's targets that were measured, at the largest number of threads."""
    most = max((m.threads for m in measurements), default=0)
    found = []
    for m, ratio in ratios(measurements).items():
        if m.threads == most and m.part == "throughput" and m.contender == "pipeline-32":
            found.append(Target(f"{m.what}: times as fast as the pipeline in batches of 32", ratio, 10, True, "×"))
        if m.threads == most and m.contender == "integrated-gradients":
            found.append(Target(f"{m.what}: times as fast as integrated gradients", ratio, 200, True, "×"))
    limits = {"cold start": (0.7, "s"), "import": (0.05, "s"), "memory": (300, "MB")}
    for m in measurements:
        if m.contender == OURS and m.threads == most and m.part in limits and m.values:
            limit, unit = limits[m.part]
            found.append(Target(f"{m.part}: {m.what}", spread(m.values), limit, False, unit))
    points = growth_points(measurements)
    if len(points) > 1:
        found.append(Target("growth of time with length: slope of log over log", spread(slopes(points, LINEAR_FROM)), 1.1, False, ""))
    tenths = [m for m in measurements if m.part == MANY and m.unit.endswith("/s")]
    if len(tenths) > 1:
        found.append(Target("many articles: speed of the last tenth over the first", compare(tenths[-1].values, tenths[0].values, "/s"), 0.95, True, "×"))
    return found


def show(value: float) -> str:
    """Three digits that count."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def show_spread(value: Spread, unit: str = "") -> str:
    """`median (low–high) unit`."""
    text = show(value.median) if value.low == value.high else f"{show(value.median)} ({show(value.low)}–{show(value.high)})"
    return f"{text} {unit}".strip()


def format_table(measurements: Sequence[Measurement]) -> str:
    """A Markdown table of what was measured, of the tenths of many articles the first and the last; the last column says how many times better ours is."""
    better = ratios(measurements)
    tenths = list(dict.fromkeys(m.what for m in measurements if m.part == MANY))
    rows = ["| part | what | threads | who | median (range) | ours is better by |", "|---|---|---|---|---|---|"]
    for m in measurements:
        if m.what in tenths[1:-1]:
            continue
        figure = show_spread(spread(m.values), m.unit) if m.values else m.note
        ratio = f"{show_spread(better[m])} ×" if m in better else ""
        rows.append(f"| {m.part} | {m.what} | {m.threads} | {NAMES[m.contender]} | {figure} | {ratio} |")
    return "\n".join(rows)


def format_targets(targets: Sequence[Target]) -> str:
    """A Markdown table of the targets; empty without any."""
    rows = ["| target | reached | wanted | met |", "|---|---|---|---|"]
    for target in targets:
        wanted = f"{'≥' if target.least else '≤'} {target.limit:g} {target.unit}".strip()
        rows.append(f"| {target.name} | {show_spread(target.value, target.unit)} | {wanted} | {'yes' if target.met else '**no**'} |")
    return "\n".join(rows) if targets else ""
