"""The picture of `training.benchmark`: speed, latency, growth with length, many articles; what was not measured is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from training.benchmark_figures import GROWTH, LINEAR_FROM, MANY, NAMES, Measurement, growth_points, slopes, spread

SUFFIXES = (".svg", ".png", ".pdf")


def draw_points(axes: Any, measurements: Sequence[Measurement], part: str, title: str) -> None:
    """A point for each contender and thing measured, at the median; the line through it is the range. Logarithmic, since they are decades apart."""
    import matplotlib

    most = max(m.threads for m in measurements if m.part == part)
    chosen = [m for m in measurements if m.part == part and m.values and m.threads == most]
    things = list(dict.fromkeys(m.what for m in chosen))
    for number, (name, colour) in enumerate(zip(NAMES, matplotlib.color_sequences["tab10"], strict=False)):
        of_name = [m for m in chosen if m.contender == name]
        places = [things.index(m.what) + 0.1 * (number - (len(NAMES) - 1) / 2) for m in of_name]
        spreads = [spread(m.values) for m in of_name]
        around = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
        if of_name:
            axes.errorbar([s.median for s in spreads], places, xerr=around, color=colour, marker="o", linestyle="none", capsize=3, label=NAMES[name])
    labels = [f"{thing}\n({next(m.unit for m in chosen if m.what == thing)})" for thing in things]
    axes.set(xscale="log", title=f"{title}, {most} thread{'s' * (most > 1)}", yticks=range(len(things)), yticklabels=labels)
    axes.invert_yaxis()


def draw_throughput(axes: Any, measurements: Sequence[Measurement]) -> None:
    """Articles and sentences a second."""
    draw_points(axes, measurements, "throughput", "Throughput: more is better")


def draw_latency(axes: Any, measurements: Sequence[Measurement]) -> None:
    """Milliseconds for one text."""
    draw_points(axes, measurements, "latency", "Latency: less is better")


def draw_growth(axes: Any, measurements: Sequence[Measurement]) -> None:
    """Seconds over bytes, and the line that they'd lie on if time were proportional to length."""
    points = growth_points(measurements)
    medians = [spread(values).median for _, values in points]
    slope = spread(slopes(points, LINEAR_FROM)).median if len(points) > 1 else 1.0
    axes.plot([size for size, _ in points], medians, marker="o", label=f"{NAMES['ours']}, slope {slope:.2f} at the long end")
    size, time = points[-1][0], medians[-1]
    axes.plot([points[0][0], size], [time * points[0][0] / size, time], linestyle=":", color="grey", label="proportional to length")
    axes.set(xscale="log", yscale="log", xlabel="bytes of text", ylabel="seconds", title="Time and length of one text")
    axes.legend(fontsize="small")


def draw_many(axes: Any, measurements: Sequence[Measurement]) -> None:
    """Articles a second in each tenth of many."""
    rates = [spread(m.values).median for m in measurements if m.part == MANY and m.unit.endswith("/s")]
    axes.plot(range(1, len(rates) + 1), rates, marker="o")
    axes.set(xticks=range(1, len(rates) + 1), xlabel="tenth", ylabel="articles/s", ylim=(0, 1.2 * max(rates)), title="Many articles, one process")


DRAWERS: dict[str, Callable[[Any, Sequence[Measurement]], None]] = {
    "throughput": draw_throughput,
    "latency": draw_latency,
    GROWTH: draw_growth,
    MANY: draw_many,
}


def draw(measurements: Sequence[Measurement], path: Path) -> None:
    """Writes the picture.

    Raises:
        ValueError: nothing was measured that is drawn.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "escalation"  # the same figures give the same file
    from matplotlib import pyplot

    parts = {m.part for m in measurements if m.values}
    drawers = [drawer for part, drawer in DRAWERS.items() if part in parts]
    if not drawers:
        raise ValueError(f"nothing to draw: none of {', '.join(DRAWERS)} was measured")
    rows = (len(drawers) + 1) // 2
    figure, grid = pyplot.subplots(rows, 2, figsize=(14, 5 * rows), layout="constrained", squeeze=False)
    for axes in grid.flat[len(drawers) :]:
        axes.set_axis_off()
    for axes, drawer in zip(grid.flat, drawers, strict=False):
        drawer(axes, measurements)
        axes.grid(alpha=0.3)
    entries = {label: handle for axes in grid.flat if not axes.get_legend() for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=3)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)
    pyplot.close(figure)
