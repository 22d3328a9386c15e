"""Draws a run's curves: python -m training.curves RUN... --to curves.svg

The loss over the epochs, and the dev figures of each epoch, of one run or of several side by side.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.checkpoint import STATE, STEPS
from training.dev import STEER

FIGURES = {  # dev figures that are drawn, where a run has them, and their line styles
    STEER: "-",
    "corpus_direction_f1": "--",
    "corpus_span_f1": ":",
    "real_direction_f1": "-.",
    "real_span_f1": (0, (3, 1, 1, 1, 1, 1)),
    "event_root_f1": (0, (8, 2)),
    "own_direction_f1": (0, (1, 3)),
    "own_span_f1": (0, (5, 4)),
}
SUFFIXES = (".svg", ".png", ".pdf")
SMOOTHING = 100  # the loss is drawn as the mean over a hundredth of the steps


@dataclass(frozen=True)
class Curves:
    """What is drawn of a run.

    Attributes:
        name: of its folder.
        epoch: `(n_steps,)` epochs done at each step.
        loss: `(n_steps,)` smoothed.
        history: dev figures of each epoch.
    """

    name: str
    epoch: NDArray[np.float64]
    loss: NDArray[np.float64]
    history: list[dict[str, Any]]


def smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of each value and of up to `width` − 1 before it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - width)
    return np.asarray((sums[last] - sums[first]) / (last - first))


def read_curves(run: Path) -> Curves:
    """Reads the logs of a run.

    Raises:
        FileNotFoundError: the folder holds no run.
        ValueError: the run has not done a step.
    """
    if not (run / STEPS).is_file():
        raise FileNotFoundError(f"{run} is no folder of a training run: it holds no {STEPS}")
    lines = (run / STEPS).read_text(encoding="utf-8").splitlines(keepends=True)
    steps = [json.loads(line) for line in lines if line.endswith("\n")]  # a run that is going on may be in the middle of its last line
    if not steps:
        raise ValueError(f"{run} has not done a step: there is nothing to draw")
    state = json.loads((run / STATE).read_text(encoding="utf-8")) if (run / STATE).is_file() else {}
    history: list[dict[str, Any]] = state.get("history", [])
    if "epoch" not in steps[0]:  # runs from before steps said where they are
        per_epoch = (state["done"] - state["step"]) / state["epoch"] if state.get("epoch") else len(steps)
        steps = [{**step, "epoch": step["step"] / per_epoch} for step in steps]
    loss = np.array([step["loss"] for step in steps])
    return Curves(run.name, np.array([step["epoch"] for step in steps]), smooth(loss, max(1, len(loss) // SMOOTHING)), history)


def draw(runs: list[Curves], path: Path) -> None:
    """Writes the picture: the loss on the left, the dev figures on the right; a run is a colour, a figure a line style."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "escalation"  # the same run gives the same file
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for run, colour in zip(runs, cycle(matplotlib.color_sequences["tab10"]), strict=False):
        left.plot(run.epoch, run.loss, color=colour, label=run.name)
        for name, style in FIGURES.items():
            points = [(row["epoch"], row[name]) for row in run.history if name in row]
            if points:
                right.plot(*zip(*points, strict=True), color=colour, linestyle=style, marker=".", label=name if len(runs) == 1 else f"{run.name}: {name}")
    left.set(xlabel="epoch", ylabel="training loss")
    right.set(xlabel="epoch", ylabel="dev figure", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)
    pyplot.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.curves", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a training run, finished or not")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help=f"picture to write: {', '.join(SUFFIXES)}")
    args = parser.parse_args(argv)
    try:
        if args.to.suffix not in SUFFIXES:
            raise ValueError(f"--to must end in one of {', '.join(SUFFIXES)}, got {args.to}")
        draw([read_curves(run) for run in args.runs], args.to)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(args.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
