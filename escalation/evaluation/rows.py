"""Labels and predictions side by side as arrays: one row a text or a sentence, `Rows.take` draws from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from escalation.evaluation.labelled import QUADS, LabelledPhrase, LabelledText, Labels
from escalation.evaluation.predict import Evidence, Prediction, TextPrediction
from escalation.result import Highlight
from escalation.signals import EVENTS, LABELS, SIGNAL_INDEX, SIGNALS

Array = NDArray[np.float64]
Index = NDArray[np.int64]
IOU = 0.5  # overlap from which two phrases are the same (ERASER: DeYoung et al., ACL 2020)
NAN = float("nan")
QUAD_OF_SIGNAL = np.array([QUADS.index(signal.quad) for signal in SIGNALS])
COUNTS = ("found", "gold", "exact", "matched", "signal", "signal_status", "status_known", "status_right", "chars_found", "chars_gold", "chars_both")


@dataclass(frozen=True)
class Rows:
    """One row a labelled text (or sentence); −1 and NaN are unknown.

    Attributes:
        group: `(n,)` number of the text that a row belongs to: rows of one text are drawn together.
        gold: `(n,)` index in `LABELS`.
        label: `(n,)` predicted.
        gold_direction: `(n, 2)` 0 or 1.
        probability: `(n, 2)`.
        severity: `(n,)` gold / 10.
        score: `(n,)`.
        covered: `(n,)` 1 where the interval holds the severity.
        gold_scope: `(n,)` 0 or 1.
        scope: `(n,)` 0 or 1, predicted.
        gold_event: `(n,)` index of the signal; −1 for `restrain` too, which PLOVER lacks and no event is predicted as.
        event: `(n,)` predicted: the likeliest of the 15 signals that PLOVER has.
        event_probability: `(n,)` of the predicted event; NaN where the events have no probabilities that sum to 1.
        gold_event_probability: `(n,)` of the gold event.
        gold_quad: `(n,)` index in `QUADS`.
        phrases: `(n, len(COUNTS))` counts of phrases and characters.
        tokens: `(n,)` of arrays `(2, n_tokens)`: evidence and whether the token stands in a gold phrase; empty where unknown.
    """

    group: Index
    gold: Index
    label: Index
    gold_direction: Array
    probability: Array
    severity: Array
    score: Array
    covered: Array
    gold_scope: Array
    scope: Array
    gold_event: Index
    event: Index
    event_probability: Array
    gold_event_probability: Array
    gold_quad: Index
    phrases: Array
    tokens: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.group)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """The rows at `index`, which may repeat."""
        return Rows(**{item.name: getattr(self, item.name)[index] for item in fields(self)})


def overlap(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Intersection over union of two character spans; 0 where they do not touch."""
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return max(0.0, shared / (max(a[1], b[1]) - min(a[0], b[0])))


def match(found: Sequence[Highlight], gold: Sequence[LabelledPhrase], *, signal: bool = False) -> list[tuple[Highlight, LabelledPhrase]]:
    """Pairs found and gold phrases one to one: IoU at least 0.5 and the same direction (with `signal`, the same signal), best overlap first."""
    pairs = [
        (overlap((f.start, f.end), (g.start, g.end)), f, g) for f in found for g in gold if (f.signal == g.signal if signal else f.direction == g.direction)
    ]
    matched: list[tuple[Highlight, LabelledPhrase]] = []
    for value, f, g in sorted(pairs, key=lambda pair: -pair[0]):
        if value >= IOU and all(f is not x and g is not y for x, y in matched):
            matched.append((f, g))
    return matched


def characters(spans: Sequence[tuple[int, int, str]]) -> set[tuple[int, str]]:
    """The characters of spans, each with the span's direction."""
    return {(position, direction) for start, end, direction in spans for position in range(start, end)}


def count_phrases(found: Sequence[Highlight] | None, gold: Sequence[LabelledPhrase] | None) -> list[float]:
    """The counts named in `COUNTS`; NaN where phrases are not labelled or not predicted."""
    if found is None or gold is None:
        return [NAN] * len(COUNTS)
    pairs, by_signal = match(found, gold), match(found, gold, signal=True)
    exact = {(f.start, f.end, f.direction) for f in found} & {(g.start, g.end, g.direction) for g in gold}
    known = [(f, g) for f, g in pairs if g.status is not None]
    ours, theirs = (characters([(p.start, p.end, p.direction) for p in phrases]) for phrases in (found, gold))
    return [
        len(found), len(gold), len(exact), len(pairs), len(by_signal), sum(f.status == g.status for f, g in by_signal),
        len(known), sum(f.status == g.status for f, g in known), len(ours), len(theirs), len(ours & theirs),
    ]  # fmt: skip


def label_tokens(evidence: Evidence | None, phrases: Sequence[LabelledPhrase] | None, start: int, end: int) -> Array:
    """`(2, n_tokens)` evidence and truth of the tokens within `start:end`; no tokens where either is unknown."""
    if evidence is None or phrases is None:
        return np.zeros((2, 0))
    inside = (evidence.offsets[:, 0] >= start) & (evidence.offsets[:, 1] <= end)
    offsets = evidence.offsets[inside]
    gold = np.zeros(len(offsets))
    for phrase in phrases:
        gold[(offsets[:, 0] < phrase.end) & (offsets[:, 1] > phrase.start)] = 1.0
    return np.stack([evidence.value[inside], gold])


def number(value: float | bool | None) -> float:
    """A value, NaN where it is unknown."""
    return NAN if value is None else float(value)


def predicted_event(prediction: Prediction) -> int:
    """The likeliest event, or signal that PLOVER has; −1 where none is predicted."""
    found = prediction.signals if prediction.events is None else prediction.events
    if not found:
        return -1
    return SIGNAL_INDEX[max(EVENTS, key=lambda name: found.get(name, 0.0))]


def event_probability(prediction: Prediction, event: int) -> float:
    """The probability that a prediction gives to an event; NaN where either is unknown."""
    return NAN if event < 0 or not prediction.events else prediction.events[SIGNALS[event].name]


def make_rows(cases: Sequence[tuple[int, Labels, Prediction, Array]]) -> Rows:
    """Puts cases `(group, labels, prediction, tokens)` into arrays."""
    tokens = np.empty(len(cases), dtype=object)
    for position, case in enumerate(cases):
        tokens[position] = case[3]

    def covered(labels: Labels, found: Prediction) -> float:
        if labels.severity is None or found.interval is None:
            return NAN
        return float(found.interval[0] - 1e-9 <= labels.severity / 10 <= found.interval[1] + 1e-9)

    def whole(values: list[int]) -> Index:
        return np.array(values, dtype=np.int64)

    def real(values: list[list[float]] | list[float], width: int | None = None) -> Array:
        return np.array(values, dtype=np.float64).reshape((len(cases),) if width is None else (len(cases), width))

    return Rows(
        group=whole([group for group, *_ in cases]),
        gold=whole([LABELS.index(labels.label) if labels.label else -1 for _, labels, *_ in cases]),
        label=whole([LABELS.index(p.label) if p.label else -1 for _, _, p, _ in cases]),
        gold_direction=real([[number(labels.escalation), number(labels.de_escalation)] for _, labels, *_ in cases], 2),
        probability=real([list(p.probabilities) if p.probabilities else [NAN, NAN] for _, _, p, _ in cases], 2),
        severity=real([number(labels.severity) / 10 for _, labels, *_ in cases]),
        score=real([number(p.score) for _, _, p, _ in cases]),
        covered=real([covered(labels, p) for _, labels, p, _ in cases]),
        gold_scope=real([number(labels.in_scope) for _, labels, *_ in cases]),
        scope=real([number(p.in_scope) for _, _, p, _ in cases]),
        gold_event=whole([SIGNAL_INDEX[labels.signal] if labels.signal in EVENTS else -1 for _, labels, *_ in cases]),
        event=whole([predicted_event(p) for _, _, p, _ in cases]),
        event_probability=real([event_probability(p, predicted_event(p)) for _, _, p, _ in cases]),
        gold_event_probability=real([event_probability(p, SIGNAL_INDEX[labels.signal]) if labels.signal in EVENTS else NAN for _, labels, p, _ in cases]),
        gold_quad=whole([QUADS.index(labels.quad) if labels.quad else -1 for _, labels, *_ in cases]),
        phrases=real([count_phrases(p.highlights, labels.phrases) for _, labels, p, _ in cases], len(COUNTS)),
        tokens=tokens,
    )


def make_levels(texts: Sequence[LabelledText], predictions: Sequence[TextPrediction]) -> dict[str, Rows]:
    """Rows of texts as a whole and rows of their labelled sentences; a level without rows is left out."""
    whole, sentences = [], []
    for group, (text, found) in enumerate(zip(texts, predictions, strict=True)):
        if text.labels != Labels():
            whole.append((group, text.labels, found.whole, label_tokens(found.evidence, text.labels.phrases, 0, len(text.text))))
        for sentence, prediction in zip(text.sentences, found.sentences, strict=True):
            tokens = label_tokens(found.evidence, sentence.labels.phrases, sentence.start, sentence.end)
            sentences.append((group, sentence.labels, prediction, tokens))
    return {name: make_rows(cases) for name, cases in (("texts", whole), ("sentences", sentences)) if cases}
