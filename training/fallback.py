"""Which calibration an export takes: one fitted on dev where there are labels enough, else that of the model the run began with, else the default."""

from __future__ import annotations

from collections.abc import Sequence

from escalation.calibration import Calibration
from escalation.reading import Reading
from training.calibrate import NEEDED, fit_calibration
from training.data import Item, Unit
from training.own import SOURCE
from training.start import start_calibration


def is_complete(unit: Unit) -> bool:
    """Whether a unit's labels can be calibrated on: both halves of the direction or none, and a severity where phrases are marked."""
    return (unit.escalation is None) == (unit.de_escalation is None) and (unit.spans is None or unit.severity is not None)


def calibratable(items: Sequence[Item]) -> list[int]:
    """The numbers of the items that calibration can use."""
    return [index for index, item in enumerate(items) if item.source != SOURCE or all(is_complete(unit) for unit in item.units)]


def missing_labels(items: Sequence[Item]) -> list[str]:
    """What calibration lacks, each as `13 of 20 sentences labelled escalation`; empty where there is enough."""
    units = [unit for item in items for unit in item.units]
    articles = [item for item in items if item.label is not None and len(item.units) > 1]
    counts = {
        "sentences labelled escalation": sum(unit.escalation == 1 for unit in units),
        "sentences labelled not escalation": sum(unit.escalation == 0 for unit in units),
        "sentences labelled de-escalation": sum(unit.de_escalation == 1 for unit in units),
        "sentences labelled not de-escalation": sum(unit.de_escalation == 0 for unit in units),
        "sentences labelled in scope": sum(unit.in_scope is True for unit in units),
        "sentences labelled out of scope": sum(unit.in_scope is False for unit in units),
        "sentences with phrases marked": sum(bool(unit.spans) for item in items if item.units[0].spans is not None for unit in item.units),
        "articles of several sentences with label, severity and in_scope": len(articles),
    }
    return [f"{count} of {NEEDED} {name}" for name, count in counts.items() if count < NEEDED]


def choose_calibration(items: Sequence[Item], raw: Sequence[Reading], start: str) -> tuple[Calibration, str | None]:
    """The calibration to ship and, where it could not be fitted, a note that says why and what it takes.

    Args:
        items: dev.
        raw: what the model to ship reads of them.
        start: what the run began with (`Config.start`).
    """
    given, usable = start_calibration(start), calibratable(items)
    chosen = [items[index] for index in usable]
    lacking = missing_labels(chosen)
    if not lacking or all(item.source != SOURCE for item in items):  # the project's corpus has enough, and says so itself where it has not
        return fit_calibration(chosen, [raw[index] for index in usable], given), None
    source = f"that of the start {start!r}" if given else "the default one: probabilities as the network gives them, intervals as wide as the scale"
    remedy = "label more, or fit it to other labels with escalation recalibrate"
    note = f"calibration is {source}, since the dev part is too small to fit one; it holds {', '.join(lacking)}; {remedy}"
    return given or Calibration(), note
