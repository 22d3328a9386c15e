"""Plots of a report as SVG that takes its colours from the page, so that it fits light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from escalation.evaluation.report import Capability, Level
from escalation.signals import DIRECTIONS, LABELS

# Drawn in these colours, which no plot needs for itself, then replaced by the page's CSS variables.
INK, UP, DOWN, FAINT = "#010203", "#020304", "#030405", "#040506"
VARIABLES = {INK: "var(--ink)", UP: "var(--up)", DOWN: "var(--down)", FAINT: "var(--faint)"}


def draw(size: tuple[float, float], paint: Callable[[Any], None], label: str) -> str:
    """One plot as inline SVG, `label` for those who can't see it; matplotlib without any display."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({
        "svg.fonttype": "none", "svg.hashsalt": "escalation", "font.family": "sans-serif", "font.size": 9, "text.color": INK, "axes.labelcolor": INK,
        "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    }):  # fmt: skip
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        paint(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"(?<=<svg )", f'role="img" aria-label="{label}" ', svg, count=1)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", svg)


def plot_reliability(level: Level) -> str:
    """Reliability diagram: what was predicted against what happened, both directions; marks grow with the count."""

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
        for direction, colour, marker in zip(DIRECTIONS, (UP, DOWN), ("^", "v"), strict=True):
            bins = level.reliability.get(direction, ())
            if bins:
                axes.plot([b.predicted for b in bins], [b.happened for b in bins], color=colour, linewidth=1.2)
                most = max(b.count for b in bins)
                axes.scatter(
                    [b.predicted for b in bins],
                    [b.happened for b in bins],
                    s=[12 + 60 * b.count / most for b in bins],
                    color=colour,
                    marker=marker,
                    label=direction,
                )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="predicted probability", ylabel="share that is so", title="Reliability")
        axes.legend(frameon=False, labelcolor=INK)

    return draw((3.6, 3.2), paint, f"Reliability diagram of the {level.name}")


def plot_risk(level: Level) -> str:
    """Risk–coverage curve: share of wrong labels among the surest answers."""

    def paint(axes: Any) -> None:
        axes.plot([x for x, _ in level.risk_coverage], [y for _, y in level.risk_coverage], color=UP, linewidth=1.5)
        axes.set(xlim=(0, 1), ylim=(0, None), xlabel="share answered, surest first", ylabel="share wrong", title="Risk and coverage")

    return draw((3.6, 3.2), paint, f"Risk-coverage curve of the {level.name}")


def plot_confusion(level: Level) -> str:
    """Confusion matrix, shaded by the share of each gold class."""

    def paint(axes: Any) -> None:
        for row, counts in enumerate(level.confusion):
            total = max(1, sum(counts))
            for column, count in enumerate(counts):
                colour = DOWN if row == column else UP
                axes.add_patch(_rectangle(column, row, colour, 0.75 * count / total))
                axes.text(column, row, str(count), ha="center", va="center")
        axes.set(xlim=(-0.5, 3.5), ylim=(3.5, -0.5), xticks=range(4), yticks=range(4), xlabel="predicted", ylabel="labelled", title="Confusion")
        short = [name.replace("escalation", "esc.") for name in LABELS]
        axes.set_xticklabels(short)
        axes.set_yticklabels(short)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    return draw((3.9, 3.2), paint, f"Confusion matrix of the {level.name}")


def _rectangle(column: int, row: int, colour: str, alpha: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=colour, alpha=alpha, linewidth=0)


def plot_behaviour(capabilities: Sequence[Capability]) -> str:
    """Failure rates by capability with their intervals."""

    def paint(axes: Any) -> None:
        names = [c.name for c in capabilities]
        places = range(len(names))
        axes.barh(places, [100 * c.rate for c in capabilities], color=UP, alpha=0.6, height=0.6)
        for place, c in zip(places, capabilities, strict=True):
            axes.plot([100 * c.low, 100 * c.high], [place, place], color=INK, linewidth=1)
        axes.axvline(5, color=FAINT, linewidth=1, linestyle="--")
        axes.set(yticks=list(places), xlim=(0, 100), xlabel="cases failed, per cent (95 % interval)", title="Behaviour suite")
        axes.set_yticklabels(names)
        axes.invert_yaxis()

    return draw((6.4, 0.28 * len(capabilities) + 1.0), paint, "Failure rates of the behaviour suite")
