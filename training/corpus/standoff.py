"""Labels on public text without the text: corpus id, character offsets, labels.

A unit is a sentence of a public corpus. Its id is the row's, with `#t` for the title and `#0`, `#1` ... for the sentences of a text that was split;
`start` and `end` are its character offsets in the row's field. The draft form, one unit a line, quotes each phrase:

    plv-4-0 | E 2 | has condemned :: accuse ; could withdraw :: yield:hypothetical
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.corpus.markup import LETTERS, MarkupError, parse_tag
from training.corpus.schema import Phrase, Sentence
from training.corpus.validate import sentence_problems

UNFIT = "ag-scope.json"
LINE = re.compile(r"(\S+)\s*\|\s*([EDMNX])\s+([+-]?\d+)\s*\|(.*)$")


@dataclass(frozen=True)
class StandoffPhrase:
    """A phrase by its character offsets in the unit's field; the text stays in the public corpus."""

    start: int
    end: int
    signal: str
    status: str = "asserted"
    severity: int | None = None


@dataclass(frozen=True)
class StandoffUnit:
    """Labels of one sentence of a public corpus.

    `field` is the name of the row's field ("text" or "title"); `start`, `end` and the phrases' offsets count its characters.
    `second` marks a second labeller's independent labels, which measure agreement and do not train.
    """

    corpus: str
    row: str
    field: str
    start: int
    end: int
    escalation: int
    de_escalation: int
    severity: int
    in_scope: bool
    phrases: tuple[StandoffPhrase, ...] = ()
    second: bool = False


def locate(words: str, text: str) -> int:
    """Where `words` stand in `text`.

    Raises:
        MarkupError: not there, or more than once.
    """
    count = text.count(words)
    if count != 1:
        raise MarkupError(f"{words!r} stands {count} times in {text[:100]!r}; quote a run that stands there once")
    return text.index(words)


def parse_line(line: str, texts: dict[str, str]) -> tuple[str, Sentence]:
    """Reads one drafted line into the unit's id and its labels, offsets relative to the unit's own text.

    Raises:
        MarkupError: wrong shape, unknown id, words that are not in the text, labels that break a rule.
    """
    match = LINE.match(line)
    if not match:
        raise MarkupError(f"expected 'ID | LABEL SEVERITY | words :: signal ; ...': {line[:100]!r}")
    unit, letter, severity, rest = match.groups()
    if unit not in texts:
        raise MarkupError(f"unknown id {unit!r}")
    phrases = []
    for item in filter(str.strip, rest.split(" ; ") if " ; " in rest else rest.split(";") if rest.count("::") > 1 else [rest]):
        words, separator, tag = item.rpartition("::")
        if not separator:
            raise MarkupError(f"{unit}: expected 'words :: signal' in {item!r}")
        signal, status, phrase_severity = parse_tag(tag)
        start = locate(words.strip(), texts[unit])
        phrases.append(Phrase(start, start + len(words.strip()), words.strip(), signal, status, phrase_severity))
    phrases.sort(key=lambda phrase: phrase.start)
    escalation, de_escalation, in_scope = LETTERS[letter]
    sentence = Sentence(texts[unit], escalation, de_escalation, int(severity), in_scope, 0, tuple(phrases))
    if found := list(sentence_problems(sentence)):
        raise MarkupError(f"{unit}: {found[0]}: {sentence.text[:90]!r}")
    return unit, sentence


def parse_draft(draft: Path, texts: dict[str, str]) -> Iterator[tuple[str, Sentence] | MarkupError]:
    """Reads a draft file line by line; a wrong line comes back as its error."""
    seen = set()
    for number, line in enumerate(draft.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            unit, sentence = parse_line(line, texts)
            if unit in seen:
                raise MarkupError(f"{unit} is labelled twice")
            seen.add(unit)
            yield unit, sentence
        except MarkupError as error:
            yield MarkupError(f"line {number}: {error}")


def read_units(path: Path) -> Iterator[StandoffUnit]:
    """Reads stand-off labels from one JSON Lines file, or from every one of a folder in name order."""
    for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
        for line in file.read_text(encoding="utf-8").splitlines():
            record: dict[str, Any] = json.loads(line)
            record["phrases"] = tuple(StandoffPhrase(**phrase) for phrase in record.get("phrases", ()))
            yield StandoffUnit(**record)


def write_units(units: list[StandoffUnit], path: Path) -> None:
    """Writes stand-off labels as JSON Lines; None and defaults are left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for unit in units:
        record = asdict(unit)
        record["phrases"] = [{k: v for k, v in phrase.items() if v is not None} for phrase in record["phrases"]]
        if not record["second"]:
            del record["second"]
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def read_unfit(folder: Path) -> frozenset[str]:
    """Ids of texts from AG's sections business, sport and science that do not stand for what is out of scope: a reader found them in scope (codebook
    section 2), or couldn't tell. Empty where the folder has no such list."""
    path = folder / UNFIT
    if not path.is_file():
        return frozenset()
    lists: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return frozenset(row for rows in lists.values() for row in rows)


def to_sentence(unit: StandoffUnit, text: str) -> Sentence:
    """The unit's labels put on its field's text."""
    phrases = tuple(Phrase(p.start - unit.start, p.end - unit.start, text[p.start : p.end], p.signal, p.status, p.severity) for p in unit.phrases)
    return Sentence(text[unit.start : unit.end], unit.escalation, unit.de_escalation, unit.severity, unit.in_scope, 0, phrases)
