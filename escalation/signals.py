"""The codebook as data: signals, directions, severities, statuses, PLOVER and CAMEO codes.

Source: `training/corpus/CODEBOOK.md` sections 1 and 3. Fifteen signals are the event types of PLOVER (Halterman et al. 2023, "PLOVER and
POLECAT"); `restrain` is this project's own. Severities are Goldstein (1992) values as carried over to CAMEO codes, rounded, sign dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

ESCALATION = "escalation"
DE_ESCALATION = "de-escalation"
DIRECTIONS = (ESCALATION, DE_ESCALATION)
LABELS = (ESCALATION, DE_ESCALATION, "mixed", "neutral")
STATUSES = ("asserted", "hypothetical", "negated", "historical", "figurative")
MAX_SEVERITY = 10


@dataclass(frozen=True)
class Signal:
    """One event type of the codebook.

    Attributes:
        name: the signal as it appears in results, such as `"restrain"`.
        direction: `"escalation"` or `"de-escalation"`.
        quad: CAMEO's quad class: verbal or material, conflict or cooperation.
        severity: default weight, 1 to 10; the direction carries the sign.
        plover: the PLOVER root, or None for `restrain`, which PLOVER lacks.
        cameo: the two-digit CAMEO roots that the signal covers (for `restrain` the nearest code, 0256).
    """

    name: str
    direction: str
    quad: str
    severity: int
    plover: str | None
    cameo: tuple[str, ...]


SIGNALS = (
    Signal("attack", ESCALATION, "material conflict", 10, "ASSAULT", ("18", "19", "20")),
    Signal("coerce", ESCALATION, "material conflict", 7, "COERCE", ("17",)),
    Signal("mobilize", ESCALATION, "material conflict", 7, "MOBILIZE", ("15",)),
    Signal("sanction", ESCALATION, "material conflict", 5, "SANCTION", ("16",)),
    Signal("protest", ESCALATION, "material conflict", 5, "PROTEST", ("14",)),
    Signal("threaten", ESCALATION, "verbal conflict", 6, "THREATEN", ("13",)),
    Signal("demand", ESCALATION, "verbal conflict", 4, "REQUEST", ("10",)),
    Signal("reject", ESCALATION, "verbal conflict", 4, "REJECT", ("12",)),
    Signal("accuse", ESCALATION, "verbal conflict", 3, "ACCUSE", ("09", "11")),
    Signal("restrain", DE_ESCALATION, "verbal cooperation", 4, None, ("0256",)),
    Signal("consult", DE_ESCALATION, "verbal cooperation", 3, "CONSULT", ("04",)),
    Signal("support", DE_ESCALATION, "verbal cooperation", 4, "SUPPORT", ("05",)),
    Signal("agree", DE_ESCALATION, "verbal cooperation", 6, "AGREE", ("03",)),
    Signal("cooperate", DE_ESCALATION, "material cooperation", 5, "COOPERATE", ("06",)),
    Signal("aid", DE_ESCALATION, "material cooperation", 5, "AID", ("07",)),
    Signal("yield", DE_ESCALATION, "material cooperation", 8, "YIELD", ("08",)),
)
SIGNAL_NAMES = tuple(signal.name for signal in SIGNALS)
BY_NAME = {signal.name: signal for signal in SIGNALS}
EVENTS = tuple(signal.name for signal in SIGNALS if signal.plover)  # the signals that PLOVER codes too
SIGNAL_INDEX = {name: index for index, name in enumerate(SIGNAL_NAMES)}
STATUS_INDEX = {name: index for index, name in enumerate(STATUSES)}
