"""Measuring on labelled text: `evaluate` and what it returns, and `recalibrate`. Needs the extra `evaluate`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from escalation.evaluation.files import read_labelled
    from escalation.evaluation.recalibrate import Recalibration, recalibrate
    from escalation.evaluation.report import Report
    from escalation.evaluation.run import evaluate

__all__ = ["Recalibration", "Report", "evaluate", "read_labelled", "recalibrate"]
HOMES = {"evaluate": "run", "read_labelled": "files", "Report": "report", "recalibrate": "recalibrate", "Recalibration": "recalibrate"}


def __getattr__(name: str) -> Any:
    """Loads what is asked for when it is asked for: the command line names these commands without needing scikit-learn."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
