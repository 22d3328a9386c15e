"""What a run writes down as it goes: steps.jsonl and, where TensorBoard is installed, its event files."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import TracebackType
from typing import Any

from training.checkpoint import STEPS, Progress, keep_lines

BOARD = "tensorboard"  # folder of the event files, and the package that they need


def open_board(folder: Path, step: int) -> Any:
    """TensorBoard's writer, what it holds behind `step` to be dropped; None where the package is not installed."""
    if importlib.util.find_spec(BOARD) is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / BOARD), purge_step=step + 1)


class Journal:
    """The log of a run, to be used in a `with`; in every process but the first it writes nothing."""

    def __init__(self, folder: Path, progress: Progress, *, lead: bool) -> None:
        self._file = self._board = None
        if lead:
            keep_lines(folder / STEPS, progress.done)
            self._file = (folder / STEPS).open("a", encoding="utf-8")
            self._board = open_board(folder, progress.done)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for sink in (self._file, self._board):
            if sink is not None:
                sink.close()

    def add_step(self, step: int, epoch: float, values: dict[str, float]) -> None:
        """Logs a step.

        Args:
            step: its number over all epochs, from 1.
            epoch: epochs done with it.
            values: losses, rate, seconds.
        """
        if self._file is not None:
            self._file.write(json.dumps({"step": step, "epoch": round(epoch, 4), **values}) + "\n")
        self._plot("train", values, step)

    def add_epoch(self, step: int, figures: dict[str, float]) -> None:
        """Logs the dev figures of an epoch; steps.jsonl does not hold them, state.json does."""
        self._plot("dev", figures, step)

    def flush(self) -> None:
        """Puts on disk what was logged, before the checkpoint that counts on it."""
        if self._file is not None:
            self._file.flush()

    def _plot(self, group: str, values: dict[str, float], step: int) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, step)
