"""What a record of the corpus is, and how it is read from and written to JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
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
    meta: dict[str, Any] = field(default_factory=dict)


def article_from_dict(record: dict[str, Any]) -> Article:
    """Builds an `Article` from a parsed JSON record.

    Raises:
        ValueError: a field is missing or unknown; the message names it.
    """
    try:
        sentences = tuple(
            Sentence(**{**sentence, "phrases": tuple(Phrase(**phrase) for phrase in sentence.get("phrases", ()))}) for sentence in record["sentences"]
        )
        return Article(**{**record, "sentences": sentences})
    except (KeyError, TypeError) as error:
        raise ValueError(f"article {record.get('id', '?')!r} does not have the fields of training/corpus/schema.py: {error}") from error


def article_to_dict(article: Article) -> dict[str, Any]:
    """The JSON record of an article; fields that hold their default are left out."""
    record = asdict(article)
    for name in ("note", "meta"):
        if not record[name]:
            del record[name]
    for sentence in record["sentences"]:
        sentence["phrases"] = [{k: v for k, v in phrase.items() if v is not None} for phrase in sentence["phrases"]]
    return record


def read_articles(path: Path) -> Iterator[Article]:
    """Reads one JSON Lines file, or every `*.jsonl` of a folder in name order.

    Raises:
        ValueError: a line is not a JSON record of an article; the message gives file and line.
    """
    for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield article_from_dict(json.loads(line))
                except ValueError as error:
                    raise ValueError(f"{file.name} line {number}: {error}") from error


def write_articles(articles: Iterable[Article], path: Path) -> None:
    """Writes articles as JSON Lines (UTF-8, one record a line)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(article_to_dict(article), ensure_ascii=False) + "\n" for article in articles]
    path.write_text("".join(lines), encoding="utf-8")
