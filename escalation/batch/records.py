"""A score to the rows that are written of it: one for the article, or one for each sentence or highlight."""

from __future__ import annotations

import base64
import datetime
import json
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from escalation.batch.tables import Row
from escalation.result import Highlight, Score, SentenceScore
from escalation.signals import DE_ESCALATION, ESCALATION

_FIGURES = {
    "label": "string", "score": "double", "low": "double", "high": "double", "escalation": "double", "de_escalation": "double", "in_scope": "bool",
    "signals": "signals", "highlights": "highlights",
}  # fmt: skip
_PLACE = {"article": "int64", "sentence": "int64", "start": "int64", "end": "int64"}
COLUMNS: dict[str, dict[str, str]] = {
    "article": {**_FIGURES, "language": "string", "warnings": "strings", "characters": "int64", "tokens": "int64", "model": "string"},
    "sentence": {**_PLACE, **_FIGURES, "model": "string"},
    "highlight": {**_PLACE, "signal": "string", "direction": "string", "status": "string", "score": "double", "model": "string"},
}
"""Our columns and their types, by level. `article` counts the rows of all inputs from 1, `sentence` the sentences of an article from 0."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the output.

    Attributes:
        row: the row of the input that it comes from.
        words: what stands in the column of the text instead: the sentence or the highlight; None keeps the article.
        figures: our columns, in the order of `COLUMNS`, without prefix.
    """

    row: Row
    words: str | None
    figures: dict[str, Any]

    def values(self, text_column: str, prefix: str) -> dict[str, Any]:
        """All columns: the reader's, then ours."""
        own = {prefix + name: value for name, value in self.figures.items()}
        return {**self.row.values, **({} if self.words is None else {text_column: self.words}), **own}


def make_records(row: Row, number: int, score: Score, level: str) -> Iterator[Record]:
    """The records of an article.

    Args:
        row: its row.
        number: of the row among those of all inputs, from 1.
        score: its score.
        level: `"article"`, `"sentence"` or `"highlight"`. An article that is not scored has no sentences and no highlights, so no records but at the first.
    """
    if level == "article":
        read = {"characters": score.coverage.characters, "tokens": score.coverage.tokens}
        said = {"language": score.language, "warnings": list(score.warnings)}
        yield Record(row, None, {**_figures(score), **said, **read, "model": score.model})
    elif level == "sentence":
        for index, sentence in enumerate(score.sentences):
            place = {"article": number, "sentence": index, "start": sentence.start, "end": sentence.end}
            yield Record(row, sentence.text, {**place, **_figures(sentence), "model": score.model})
    else:
        starts = [sentence.start for sentence in score.sentences]
        for highlight in score.highlights:
            yield Record(row, highlight.text, _highlight(highlight, number, bisect_right(starts, highlight.start) - 1, score.model))


def _figures(scored: Score | SentenceScore) -> dict[str, Any]:
    """The figures that articles and sentences share."""
    low, high = scored.interval
    return {
        "label": scored.label, "score": scored.score, "low": low, "high": high, "escalation": scored.probabilities[ESCALATION],
        "de_escalation": scored.probabilities[DE_ESCALATION], "in_scope": scored.in_scope, "signals": scored.signals,
        "highlights": [dict(vars(highlight)) for highlight in scored.highlights],
    }  # fmt: skip


def _highlight(highlight: Highlight, number: int, sentence: int, model: str) -> dict[str, Any]:
    """A highlight by itself; its score is its share of the article's."""
    return {
        "article": number, "sentence": sentence, "start": highlight.start, "end": highlight.end, "signal": highlight.signal,
        "direction": highlight.direction, "status": highlight.status, "score": highlight.score, "model": model,
    }  # fmt: skip


def to_json(value: Any) -> str:
    """JSON on one line. Infinities and not-a-numbers, which JSON lacks, become null; bytes become Base64, dates ISO 8601."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=_plain)


def to_cell(value: Any) -> str:
    """A value in CSV: text as it is, nothing for null, lists and objects as JSON."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value if isinstance(value, str) else to_json(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else str(value)


def _finite(value: Any) -> Any:
    """A copy with None for what is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
