"""What a record of the corpus is, and how it is read from and written to JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ARTICLES = FOLDER / "articles"
STANDOFF = FOLDER / "standoff"
ADJUDICATION = FOLDER / "adjudication.jsonl"  # what two labellers differed on: first labels, which was taken, why
SECOND = FOLDER / "second"  # second labellings of articles; they measure agreement and do not train

VOICES = (
    "agency", "headline", "live-blog", "state-agency", "tabloid", "regional", "explainer", "opinion", "think-tank",
    "communique", "transcript", "ngo", "feature", "review",
)  # fmt: skip

# Types as written in the records below: what a JSON value may be, and how to say so.
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "int": ((int,), "a whole number"),
    "int | None": ((int, type(None)), "a whole number or null"),
    "bool": ((bool,), "true or false"),
    "dict[str, str]": ((dict,), "an object"),
    "tuple[Phrase, ...]": ((list,), "a list"),
    "tuple[Sentence, ...]": ((list,), "a list"),
}


@dataclass(frozen=True)
class Phrase:
    """A run of words that carries a signal (codebook section 3).

    `start` and `end` are character offsets into the text of the sentence, slots included as written; `text` repeats what stands there so
    that a shifted offset is found. `severity` is None where the signal's default holds.
    """

    start: int
    end: int
    text: str
    signal: str
    status: str = "asserted"
    severity: int | None = None


@dataclass(frozen=True)
class Sentence:
    """One sentence with its labels (codebook section 4). `paragraph` counts from 0; `in_scope` follows codebook section 2."""

    text: str
    escalation: int
    de_escalation: int
    severity: int
    in_scope: bool
    paragraph: int = 0
    phrases: tuple[Phrase, ...] = ()

    @property
    def direction(self) -> str:
        """The four-class label that the two direction labels make."""
        return {(1, 0): "escalation", (0, 1): "de-escalation", (1, 1): "mixed", (0, 0): "neutral"}[self.escalation, self.de_escalation]


@dataclass(frozen=True)
class Article:
    """One article. `slots` maps a slot's name to its type, such as `{"A": "country", "P": "person/A"}`."""

    id: str
    scenario: str
    topic: str
    region: str
    voice: str
    year: int
    in_scope: bool
    label: str
    severity: int
    slots: dict[str, str]
    sentences: tuple[Sentence, ...]
    note: str = ""


def check_fields(record: Any, cls: type, where: str) -> Iterator[str]:
    """What is wrong with the fields of a parsed record: unknown, missing, or of another type; each with field, value and rule."""
    if not isinstance(record, dict):
        yield f"{where} must be an object, got {record!r:.60}"
        return
    known = {item.name: item for item in fields(cls)}
    yield from (f"{where}: unknown field {name!r}; the fields are {', '.join(known)}" for name in record if name not in known)
    for name, item in known.items():
        required = item.default is MISSING and item.default_factory is MISSING
        if name not in record:
            if required:
                yield f"{where}: field {name!r} is missing"
            continue
        kinds, rule = KINDS[str(item.type)]
        if not isinstance(record[name], kinds) or (isinstance(record[name], bool) and bool not in kinds):
            yield f"{where}: field {name!r} must be {rule}, got {record[name]!r:.60}"


def article_from_dict(record: Any) -> Article:
    """Builds an `Article` from a parsed JSON record.

    Raises:
        ValueError: fields are missing, unknown or of another type; the message names each with its value and rule.
    """
    name = f"article {record.get('id', '?')!r}" if isinstance(record, dict) else "the record"
    found = list(check_fields(record, Article, name))
    if not found:
        for number, sentence in enumerate(record["sentences"], 1):
            found += check_fields(sentence, Sentence, f"{name} sentence {number}")
            if isinstance(sentence, dict) and isinstance(sentence.get("phrases", []), list):
                for phrase in sentence.get("phrases", []):
                    found += check_fields(phrase, Phrase, f"{name} sentence {number} phrase")
    if found:
        raise ValueError("; ".join(found))
    sentences = tuple(
        Sentence(**{**sentence, "phrases": tuple(Phrase(**phrase) for phrase in sentence.get("phrases", ()))}) for sentence in record["sentences"]
    )
    return Article(**{**record, "sentences": sentences})


def article_to_dict(article: Article) -> dict[str, Any]:
    """The JSON record of an article; fields that hold their default are left out."""
    record = asdict(article)
    if not record["note"]:
        del record["note"]
    for sentence in record["sentences"]:
        sentence["phrases"] = [{k: v for k, v in phrase.items() if v is not None} for phrase in sentence["phrases"]]
    return record


def scan_articles(path: Path) -> Iterator[Article | ValueError]:
    """Reads one JSON Lines file, or every `*.jsonl` of a folder in name order; a wrong line comes back as its error, with file and line."""
    for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield article_from_dict(json.loads(line))
                except ValueError as error:
                    yield ValueError(f"{file.name} line {number}: {error}")


def read_articles(path: Path) -> Iterator[Article]:
    """Reads one JSON Lines file, or every `*.jsonl` of a folder in name order.

    Raises:
        ValueError: a line is not the record of an article; the message gives file, line, field, value and rule.
    """
    for item in scan_articles(path):
        if isinstance(item, ValueError):
            raise item
        yield item


def write_articles(articles: Iterable[Article], path: Path) -> None:
    """Writes articles as JSON Lines (UTF-8, one record a line)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(article_to_dict(article), ensure_ascii=False) + "\n" for article in articles]
    path.write_text("".join(lines), encoding="utf-8")
