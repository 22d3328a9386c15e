"""Labelled text as `escalation evaluate` takes it: one record a text, checked field by field.

A record has a `text`, or `sentences` that have one each, and any of these labels, for the text and for each sentence:

    label                        "escalation", "de-escalation", "mixed" or "neutral"; or the two halves of it:
    escalation, de_escalation    0 or 1
    severity                     −10 … 10 (codebook section 4)
    in_scope                     true or false (codebook section 2)
    signal or plover, quad       the one event of a PLOVER-coded text: a signal of the codebook, a PLOVER root, a quad class
    phrases                      [{"start", "end", "signal", "status", "text"}]; start and end count characters of the text or sentence they stand under

Sentences stand in order, each as `text` or as `start` and `end` into the record's `text`. Everything else in a record is left alone; `topic`, `source`,
`year`, `voice` and `region` make slices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from escalation.signals import BY_NAME, DIRECTIONS, LABELS, SIGNALS, STATUSES

QUADS = ("verbal conflict", "material conflict", "verbal cooperation", "material cooperation")
BY_PLOVER = {signal.plover: signal.name for signal in SIGNALS if signal.plover}
# PLOVER's own roots that the codebook gives to a signal of another name (codebook section 3)
BY_PLOVER |= {"REQUEST": "demand", "CONCEDE": "yield", "RETREAT": "yield"}
HALVES = {"escalation": (1, 0), "de-escalation": (0, 1), "mixed": (1, 1), "neutral": (0, 0)}
TRUTH = {"0": 0, "1": 1, "false": 0, "true": 1, "no": 0, "yes": 1}
LABEL_FIELDS = ("label", "escalation", "de_escalation", "severity", "in_scope", "signal", "plover", "quad", "phrases")
SLICE_FIELDS = ("topic", "source", "year", "voice", "region")
MAX_SEVERITY = 10


@dataclass(frozen=True)
class LabelledPhrase:
    """A labelled phrase; offsets count characters of the whole text. None is unknown."""

    start: int
    end: int
    signal: str | None
    direction: str
    status: str | None


@dataclass(frozen=True)
class Labels:
    """What is known of a text or a sentence; None is unknown.

    Attributes:
        escalation: 0 or 1.
        de_escalation: 0 or 1.
        severity: −10 … 10.
        in_scope: codebook section 2.
        signal: the one event of a PLOVER-coded text.
        quad: its quad class.
        phrases: None where they were not labelled, empty where there are none.
    """

    escalation: int | None = None
    de_escalation: int | None = None
    severity: float | None = None
    in_scope: bool | None = None
    signal: str | None = None
    quad: str | None = None
    phrases: tuple[LabelledPhrase, ...] | None = None

    @property
    def label(self) -> str | None:
        """The four-class label; None unless both halves are known."""
        known = {halves: name for name, halves in HALVES.items()}
        return known.get((self.escalation, self.de_escalation))  # type: ignore[arg-type]


@dataclass(frozen=True)
class LabelledSentence:
    """A sentence of a text, `text[start:end]`, and its labels."""

    start: int
    end: int
    labels: Labels


@dataclass(frozen=True)
class LabelledText:
    """A text with its labels.

    Attributes:
        id: its id, or its line.
        text: the text.
        labels: of the text as a whole.
        sentences: its labelled sentences, in order; empty where only the text as a whole is labelled.
        facts: what makes slices: topic, source, year …, as text.
    """

    id: str
    text: str
    labels: Labels
    sentences: tuple[LabelledSentence, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def is_missing(value: Any) -> bool:
    """Whether a cell says nothing: absent, null, not a number, or an empty string."""
    return value is None or value == "" or (isinstance(value, float) and value != value)


def read_half(name: str, value: Any) -> int | None:
    """A 0/1 label.

    Raises:
        ValueError: something else.
    """
    if is_missing(value):
        return None
    found = TRUTH.get(str(int(value) if isinstance(value, (bool, float)) and value == int(value) else value).strip().lower())
    if found is None:
        raise ValueError(f"{name} must be 0 or 1 (or true, false), got {value!r}")
    return found


def read_severity(value: Any) -> float | None:
    """A severity.

    Raises:
        ValueError: not a number from −10 to 10.
    """
    if is_missing(value):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if isinstance(value, bool) or not -MAX_SEVERITY <= found <= MAX_SEVERITY:
        raise ValueError(f"severity must be a number from -10 to 10, got {value!r}")
    return found


def read_event(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The event and the quad class of a PLOVER-coded text.

    Raises:
        ValueError: an unknown value, or two that contradict each other.
    """
    signal = row.get("signal")
    if not is_missing(signal) and signal not in BY_NAME:
        raise ValueError(f"signal must be one of {', '.join(BY_NAME)}, got {signal!r}")
    plover = row.get("plover")
    if not is_missing(plover):
        named = BY_PLOVER.get(str(plover).strip().upper())
        if named is None:
            raise ValueError(f"plover must be a PLOVER root ({', '.join(sorted(BY_PLOVER))}), got {plover!r}")
        if not is_missing(signal) and signal != named:
            raise ValueError(f"signal {signal!r} contradicts plover {plover!r}, which is {named!r}")
        signal = named
    quad = row.get("quad")
    if not is_missing(quad) and quad not in QUADS:
        raise ValueError(f"quad must be one of {', '.join(QUADS)}, got {quad!r}")
    if is_missing(signal):
        return None, None if is_missing(quad) else str(quad)
    if not is_missing(quad) and BY_NAME[str(signal)].quad != quad and signal != "restrain":
        raise ValueError(f"quad {quad!r} contradicts signal {signal!r}, which is {BY_NAME[str(signal)].quad!r}")
    return str(signal), BY_NAME[str(signal)].quad


def read_phrase(row: Any, text: str, shift: int) -> LabelledPhrase:
    """A phrase; `text` is what its offsets count, `shift` where that begins in the whole text.

    Raises:
        ValueError: offsets outside the text or of nothing but space, words that don't stand there, an unknown signal, direction or status.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"a phrase must be an object with start and end, got {row!r}")
    start, end = row.get("start"), row.get("end")
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text)):
        raise ValueError(f"phrase {row.get('text', '')!r}: start and end must be whole numbers with 0 <= start < end <= {len(text)}, got {start!r} and {end!r}")
    if not text[start:end].strip():
        raise ValueError(f"phrase {start}:{end} is {text[start:end]!r}: nothing but space; give the offsets of its words, counted in characters")
    if "text" in row and row["text"] != text[start:end]:
        raise ValueError(f"phrase {start}:{end} is {text[start:end]!r}, but its text says {row['text']!r}; count the offsets in characters")
    signal, direction, status = row.get("signal"), row.get("direction"), row.get("status")
    if signal is None and direction is None:
        raise ValueError(f"phrase {text[start:end]!r} needs a signal ({', '.join(BY_NAME)}) or a direction ({', '.join(DIRECTIONS)})")
    if signal is not None and signal not in BY_NAME:
        raise ValueError(f"phrase {text[start:end]!r}: signal must be one of {', '.join(BY_NAME)}, got {signal!r}")
    own = BY_NAME[signal].direction if signal is not None else direction
    if own not in DIRECTIONS or (direction is not None and direction != own):
        raise ValueError(f"phrase {text[start:end]!r}: direction must be {own if own in DIRECTIONS else ' or '.join(DIRECTIONS)}, got {direction!r}")
    if status is not None and status not in STATUSES:
        raise ValueError(f"phrase {text[start:end]!r}: status must be one of {', '.join(STATUSES)}, got {status!r}")
    return LabelledPhrase(shift + start, shift + end, signal, own, status)


def read_phrases(rows: Any, text: str, shift: int) -> tuple[LabelledPhrase, ...] | None:
    """The phrases of a text or sentence, in order.

    Raises:
        ValueError: a wrong phrase, or two that overlap.
    """
    if is_missing(rows):
        return None
    if not isinstance(rows, (list, tuple)):
        raise ValueError(f"phrases must be a list, got {rows!r:.60}")
    found = sorted((read_phrase(row, text, shift) for row in rows), key=lambda phrase: phrase.start)
    for a, b in pairwise(found):
        if b.start < a.end:
            raise ValueError(f"phrases {a.start - shift}:{a.end - shift} and {b.start - shift}:{b.end - shift} overlap; each character has one phrase at most")
    return tuple(found)


def read_labels(row: Mapping[str, Any], text: str, shift: int = 0) -> Labels:
    """The labels of a record or sentence.

    Args:
        row: the record.
        text: what its phrases' offsets count.
        shift: where that begins in the whole text.

    Raises:
        ValueError: an unknown value, or two labels that contradict each other.
    """
    halves = [read_half(name, row.get(name)) for name in ("escalation", "de_escalation")]
    label = row.get("label")
    if not is_missing(label):
        if label not in LABELS:
            raise ValueError(f"label must be one of {', '.join(LABELS)}, got {label!r}; name other schemes' values with label_mapping")
        for name, given, meant in zip(("escalation", "de_escalation"), halves, HALVES[label], strict=True):
            if given is not None and given != meant:
                raise ValueError(f"label {label!r} contradicts {name} {given}: two label schemes are mixed; drop one")
        halves = list(HALVES[label])
    severity = read_severity(row.get("severity"))
    if severity is not None and tuple(halves) in ((1, 0), (0, 1)) and severity * (halves[0] - halves[1]) < 0:  # type: ignore[operator]
        raise ValueError(f"severity {severity:g} points the other way than the label; escalation is above 0, de-escalation below")
    scope = read_half("in_scope", row.get("in_scope"))
    phrases = read_phrases(row.get("phrases"), text, shift)
    return Labels(halves[0], halves[1], severity, None if scope is None else bool(scope), *read_event(row), phrases)


def place_sentences(rows: Any, text: str | None) -> tuple[str, list[tuple[int, int]]]:
    """The text and where its sentences stand in it.

    Raises:
        ValueError: a sentence is not in the text, or two overlap or stand in another order.
    """
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError(f"sentences must be a list of objects, got {rows!r:.60}")
    if text is None:
        parts: list[str] = []
        for number, row in enumerate(rows, 1):
            if not isinstance(row.get("text"), str) or not row["text"].strip():
                raise ValueError(f"sentence {number} has no text")
            break_before = "" if not parts else "\n\n" if row.get("paragraph", 0) != rows[number - 2].get("paragraph", 0) else " "
            parts += [break_before, row["text"]] if parts else [row["text"]]
        text = "".join(parts)
    spans: list[tuple[int, int]] = []
    last = 0
    for number, row in enumerate(rows, 1):
        if isinstance(row.get("start"), int) and isinstance(row.get("end"), int):
            start, end = row["start"], row["end"]
            if not 0 <= start < end <= len(text):
                raise ValueError(f"sentence {number}: start and end must satisfy 0 <= start < end <= {len(text)}, got {start} and {end}")
            if isinstance(row.get("text"), str) and row["text"] != text[start:end]:
                raise ValueError(f"sentence {number}: {start}:{end} is {text[start:end]!r:.60}, but its text says {row['text']!r:.60}")
        else:
            found = row.get("text")
            if not isinstance(found, str) or not found.strip():
                raise ValueError(f"sentence {number} has neither text nor start and end")
            start = text.find(found, last)
            if start < 0:
                raise ValueError(f"sentence {number} {found!r:.60} does not stand in the text behind the sentence before it")
            end = start + len(found)
        if start < last:
            raise ValueError(f"sentence {number} ({start}:{end}) overlaps the one before it, which ends at {last}; sentences stand in order")
        spans.append((start, end))
        last = end
    return text, spans


def read_record(row: Mapping[str, Any], name: str) -> LabelledText:
    """Makes a labelled text of a record.

    Args:
        row: the record, its fields named as above.
        name: id for a record that has none.

    Raises:
        ValueError: a rule of this module is broken; the message gives the value and the rule.
    """
    text = row.get("text")
    if text is not None and not isinstance(text, str):
        raise ValueError(f"text must be a string, got {type(text).__name__} {text!r:.40}")
    rows = row.get("sentences")
    sentences: tuple[LabelledSentence, ...] = ()
    if rows is not None and not is_missing(rows) and len(rows):
        text, spans = place_sentences(rows, text)
        sentences = tuple(
            LabelledSentence(start, end, read_labels(sentence, text[start:end], start)) for (start, end), sentence in zip(spans, rows, strict=True)
        )
    if text is None or not text.strip():
        raise ValueError("the record has no text; a record needs text, or sentences with text")
    facts = {key: str(row[key]) for key in SLICE_FIELDS if not is_missing(row.get(key))}
    identity = row.get("id")
    return LabelledText(name if is_missing(identity) else str(identity), text, read_labels(row, text), sentences, facts)
