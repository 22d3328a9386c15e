"""What an evaluation returns: plain numbers and text in frozen dataclasses."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from escalation.evaluation.metrics import Bin
from escalation.signals import LABELS

GROUPS = ("direction", "severity", "scope", "events", "phrases", "faithfulness", "calibration")
LEVELS = ("texts", "sentences")


@dataclass(frozen=True)
class Figure:
    """One figure with its 95 % bootstrap interval.

    Attributes:
        key: its name; see `escalation.evaluation.metrics` and `faithfulness`.
        title: in words.
        group: one of `GROUPS`.
        level: of `"texts"` as a whole, or of their labelled `"sentences"`.
        value: the figure; shares and F1 from 0 to 1.
        low: lower end of the interval.
        high: upper end.
        count: texts or sentences behind it.
        better: 1 where larger is better, −1 where smaller is.
    """

    key: str
    title: str
    group: str
    level: str
    value: float
    low: float
    high: float
    count: int
    better: int = 1


@dataclass(frozen=True)
class ClassFigures:
    """Precision, recall and F1 of one class; `count` gold cases."""

    name: str
    precision: float
    recall: float
    f1: float
    count: int


@dataclass(frozen=True)
class Level:
    """Tables of the texts, or of the sentences.

    Attributes:
        name: `"texts"` or `"sentences"`.
        confusion: rows are gold, columns predicted, both in the order of `escalation.signals.LABELS`; empty where nothing is labelled.
        classes: of the direction.
        events: of the PLOVER roots that occur.
        reliability: bins by direction.
        risk_coverage: points (share answered, share wrong among them), at most 100.
    """

    name: str
    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassFigures, ...]
    events: tuple[ClassFigures, ...]
    reliability: dict[str, tuple[Bin, ...]]
    risk_coverage: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Slice:
    """Figures of one part: `field` is topic, length, position …; a figure that can't be had is NaN."""

    field: str
    value: str
    level: str
    count: int
    direction: Figure | None
    spans: Figure | None
    severity_error: Figure | None


@dataclass(frozen=True)
class Mistake:
    """A text or sentence that was read wrongly, and how it was read."""

    id: str
    level: str
    text: str
    gold: str
    found: str
    severity: float | None
    score: float | None
    html: str  # the text with what was highlighted


@dataclass(frozen=True)
class Capability:
    """Cases of the behaviour suite that try one capability."""

    name: str
    count: int
    failed: int
    low: float  # 95 % interval of the failure rate (Wilson 1927)
    high: float

    @property
    def rate(self) -> float:
        """Share of cases that failed."""
        return self.failed / self.count if self.count else math.nan


@dataclass(frozen=True)
class Failure:
    """A failed case of the behaviour suite."""

    id: str
    capability: str
    text: str
    problems: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Difference:
    """Paired difference to another model on the same texts: ours minus theirs, 95 % interval of the same draws."""

    key: str
    title: str
    level: str
    ours: float
    theirs: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """All differences to one other model."""

    model: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Published:
    """A published result on the PLV test set (macro-F1 in per cent), for comparison where that is what was evaluated."""

    system: str
    size: str
    binary: float
    quad: float
    root: float


# Hu et al., "Leveraging Codebook Knowledge with NLI and ChatGPT for Zero-Shot Political Relation Classification", ACL 2024
PUBLISHED = (
    Published("ConfliBERT, fully supervised", "110 M", 98.4, 96.3, 86.7),
    Published("ZSP, zero-shot NLI", "355 M", 96.4, 89.6, 82.4),
    Published("GPT-4, zero-shot", "–", 93.4, 76.7, 61.5),
    Published("PETRARCH", "dictionary", 80.8, 51.8, 46.3),
)


@dataclass(frozen=True)
class Report:
    """An evaluation.

    Attributes:
        model: name and version.
        data: what was evaluated on.
        texts: how many.
        sentences: how many labelled sentences they have.
        draws: of the bootstrap.
        figures: all figures that the labels allow.
        levels: their tables.
        slices: figures of parts.
        mistakes: the worst, worst first.
        capabilities: of the behaviour suite; empty where it was not run.
        failures: its failed cases.
        comparisons: with other models.
        missing: what could not be measured, and which label it lacks.
        largest_gap: largest difference between a text's score and the sum of its highlights' scores; None where the model has no highlights.
    """

    model: str
    data: str
    texts: int
    sentences: int
    draws: int
    figures: tuple[Figure, ...]
    levels: tuple[Level, ...]
    slices: tuple[Slice, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    failures: tuple[Failure, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    missing: tuple[str, ...] = ()
    largest_gap: float | None = None

    def figure(self, key: str, level: str = "sentences") -> Figure:
        """One figure.

        Raises:
            KeyError: it was not measured; the message names those that were.
        """
        for item in self.figures:
            if (item.key, item.level) == (key, level):
                return item
        raise KeyError(f"{key!r} of {level} was not measured; measured: {', '.join(sorted({f'{f.key} of {f.level}' for f in self.figures}))}")

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and text, ready for `json.dumps`; what is undefined is null."""
        plain: dict[str, Any] = _plain(asdict(self))
        plain["labels"] = list(LABELS)
        return plain

    def to_terminal(self) -> str:
        """A table for people."""
        from escalation.evaluation.terminal import to_terminal

        return to_terminal(self)

    def to_html(self) -> str:
        """One self-contained page."""
        from escalation.evaluation.html import to_html

        return to_html(self)


def _plain(value: Any) -> Any:
    """Tuples to lists, NaN and infinity to None, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
