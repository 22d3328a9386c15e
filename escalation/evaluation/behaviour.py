"""The behaviour suite: hand-written cases that say what a model must do, each by a rule of the codebook.

In the manner of CheckList (Ribeiro et al., ACL 2020), three types of case: a minimum functionality test (MFT) says what a text's label, scope and phrases
must be; an invariance test (INV) gives variants that must not change the reading; a directional test (DIR) puts texts in an order of score. The cases are
one JSON object a line in `escalation/evaluation/cases/`; none of their texts may be near a text that trains (`python -m training.corpus duplicates` looks).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from escalation.result import Highlight, Score
from escalation.signals import BY_NAME, LABELS, STATUSES

CASES = Path(__file__).resolve().parent / "cases"
KINDS = ("MFT", "INV", "DIR")
TOLERANCE = 0.15  # an invariant score may differ by so much: a severity of 1.5 of 10, half the distance between neighbouring signals' severities
COVERED = 0.5  # a phrase is found where a highlight covers at least half of its characters and is at least half covered by it
FIELDS = {"id", "capability", "type", "text", "label", "in_scope", "phrases", "absent", "variants", "order", "why"}


@dataclass(frozen=True)
class ExpectedPhrase:
    """Words that must be highlighted. Empty `signals` or `statuses` leave that open.

    Attributes:
        text: the words, as they stand in the case's text (once).
        signals: the signals that are right.
        statuses: the statuses that are right.
    """

    text: str
    signals: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One case of the suite.

    Attributes:
        id: `capability-number`.
        capability: what is tried, such as `"negation"`.
        kind: `"MFT"`, `"INV"` or `"DIR"`.
        texts: the text; for INV the text and its variants; for DIR the texts from the least to the most escalatory.
        labels: the labels that are right (MFT); empty leaves it open.
        in_scope: what must be (MFT); None leaves it open.
        phrases: words that must be highlighted (MFT).
        absent: words that no counted highlight may hold (MFT).
        why: the rule, with the codebook's section.
    """

    id: str
    capability: str
    kind: str
    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    in_scope: bool | None = None
    phrases: tuple[ExpectedPhrase, ...] = ()
    absent: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Verdict:
    """What came of a case: `problems` is empty where it passed."""

    case: Case
    problems: tuple[str, ...]


def as_tuple(value: Any) -> tuple[str, ...]:
    """One string or a list of strings as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def read_case(row: dict[str, Any]) -> Case:
    """Makes a case of a parsed line.

    Raises:
        ValueError: an unknown field or value, or an expectation that does not fit the type; the message names the case.
    """
    name = str(row.get("id", row))
    if unknown := set(row) - FIELDS:
        raise ValueError(f"case {name}: unknown fields {sorted(unknown)}; known are {sorted(FIELDS)}")
    for field in ("id", "capability", "type", "why"):
        if not row.get(field):
            raise ValueError(f"case {name}: {field} is missing")
    kind = row["type"]
    texts = {"MFT": (row.get("text"),), "INV": (row.get("text"), *row.get("variants", ())), "DIR": tuple(row.get("order", ()))}.get(kind)
    if texts is None:
        raise ValueError(f"case {name}: type must be one of {', '.join(KINDS)}, got {kind!r}")
    if not all(isinstance(text, str) and text for text in texts) or len(set(texts)) != len(texts) or (kind != "MFT" and len(texts) < 2):
        raise ValueError(f"case {name}: {kind} needs its texts, each different from the others, got {texts!r}")
    phrases = tuple(ExpectedPhrase(p["text"], as_tuple(p.get("signal")), as_tuple(p.get("status"))) for p in row.get("phrases", ()))
    case = Case(name, row["capability"], kind, texts, as_tuple(row.get("label")), row.get("in_scope"), phrases, as_tuple(row.get("absent")), row["why"])
    check_case(case)
    return case


def check_case(case: Case) -> None:
    """Raises a ValueError where a case expects what can't be."""
    expects = bool(case.labels or case.phrases or case.absent or case.in_scope is not None)
    if expects != (case.kind == "MFT"):
        raise ValueError(f"case {case.id}: label, in_scope, phrases and absent are for MFT, which needs at least one")
    values = [(case.labels, LABELS)] + [(p.signals, tuple(BY_NAME)) for p in case.phrases] + [(p.statuses, STATUSES) for p in case.phrases]
    for given, known in values:
        if wrong := set(given) - set(known):
            raise ValueError(f"case {case.id}: {sorted(wrong)} is none of {', '.join(known)}")
    for words in [p.text for p in case.phrases] + list(case.absent):
        if case.texts[0].count(words) != 1:
            raise ValueError(f"case {case.id}: {words!r} must stand once in the text")


def read_cases(folder: Path = CASES) -> list[Case]:
    """Reads the suite, in the order of the files' names.

    Raises:
        ValueError: a line is no case, or two have one id; the message names file and line.
    """
    cases: list[Case] = []
    seen: set[str] = set()
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                case = read_case(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path.name}, line {number}: {error}") from error
            if case.id in seen:
                raise ValueError(f"{path.name}, line {number}: id {case.id!r} is taken")
            seen.add(case.id)
            cases.append(case)
    return cases


def covers(highlight: Highlight, start: int, end: int) -> bool:
    """Whether a highlight and `start:end` cover half of each other."""
    shared = min(highlight.end, end) - max(highlight.start, start)
    return shared >= COVERED * (end - start) and shared >= COVERED * (highlight.end - highlight.start)


def judge_phrases(case: Case, result: Score) -> Iterator[str]:
    """What is wrong with the highlights."""
    text = case.texts[0]
    for phrase in case.phrases:
        start = text.index(phrase.text)
        found = [h for h in result.highlights if covers(h, start, start + len(phrase.text))]
        if not found:
            yield f"{phrase.text!r} is not highlighted"
        elif not any((not phrase.signals or h.signal in phrase.signals) and (not phrase.statuses or h.status in phrase.statuses) for h in found):
            wanted = "/".join(phrase.signals) or "any signal", "/".join(phrase.statuses) or "any status"
            yield f"{phrase.text!r} is {found[0].signal}, {found[0].status}; right: {wanted[0]}, {wanted[1]}"
    for words in case.absent:
        start = text.index(words)
        for h in result.highlights:
            if h.score and h.start < start + len(words) and h.end > start:
                yield f"{words!r} counts, as {h.signal}"


def judge(case: Case, results: Sequence[Score]) -> Verdict:
    """Compares what a model read with what the case expects.

    Args:
        case: the case.
        results: one for each of `case.texts`.
    """
    problems: list[str] = []
    first = results[0]
    if case.labels and first.label not in case.labels:
        problems.append(f"label {first.label}; right: {' or '.join(case.labels)}")
    if case.in_scope is not None and first.in_scope != case.in_scope:
        problems.append(f"in scope: {first.in_scope}; right: {case.in_scope}")
    problems += judge_phrases(case, first)
    if case.kind == "INV":
        for result in results[1:]:
            if result.label != first.label or abs(result.score - first.score) > TOLERANCE:
                problems.append(f"{first.label} {first.score:+.2f} becomes {result.label} {result.score:+.2f}: {result.text[:160]!r}")
    if case.kind == "DIR":
        for lower, higher in pairwise(results):
            if not lower.score < higher.score:
                problems.append(f"{lower.score:+.2f} is not below {higher.score:+.2f}: {lower.text[:80]!r}, {higher.text[:80]!r}")
    return Verdict(case, tuple(problems))
