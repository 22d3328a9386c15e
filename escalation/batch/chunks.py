"""Rows to records, chunk by chunk: what is sound is scored, what is broken is told why."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from escalation.batch.files import STANDARD, Source
from escalation.batch.journal import Progress
from escalation.batch.records import COLUMNS, Record, make_records, to_json
from escalation.batch.survey import Survey, column_type, fits
from escalation.batch.tables import Row, read_rows
from escalation.scorer import SCREENED, Scorer, check_text

CHUNK_ROWS = 128  # a kill costs the work on one chunk: some seconds
CHUNK_CHARACTERS = 1 << 20  # long articles make smaller chunks, so that memory stays what it is
SCORED_TOGETHER = 32  # articles


@dataclass(frozen=True)
class Options:
    """What decides the output apart from the inputs and the model.

    Attributes:
        text_column: holds the article.
        id_column: must be there and hold something in each row; None asks for none.
        level: of `records.COLUMNS`: one row of output for each article, sentence or highlight.
        prefix: put before the names of our columns.
        format: of the output, one of `files.FORMATS`.
        compression: of the output: `"gzip"`, `"zstd"` or None.
        screen: whether the model's screen passes over texts first.
    """

    text_column: str
    id_column: str | None
    level: str
    prefix: str
    format: str
    compression: str | None
    screen: bool = False

    @property
    def needed(self) -> list[str]:
        """Columns that the inputs must have, the text's first."""
        return [self.text_column, *([self.id_column] if self.id_column is not None else [])]

    @property
    def own(self) -> list[str]:
        """Our columns, with prefix."""
        return [self.prefix + name for name in COLUMNS[self.level]]


@dataclass(frozen=True)
class Chunk:
    """Rows that are scored and written together.

    Attributes:
        rows: each with its source.
        source: number of the source in which the chunk ends.
        row: rows of that source that are done with it.
        digest: SHA-256 of the rows of standard input up to here; empty for files.
    """

    rows: Sequence[tuple[Source, Row]]
    source: int
    row: int
    digest: str


def read_chunks(sources: Sequence[Source], progress: Progress, text_column: str) -> Generator[Chunk]:
    """Reads on from where `progress` stands. Where a chunk ends depends on its rows alone, so a resumed run cuts the same chunks.

    Raises:
        ValueError: standard input is not what it was when the run began.
        OSError: a file can't be read.
    """
    held: list[tuple[Source, Row]] = []
    size, index, done, digest = 0, progress.source, progress.row, ""
    for index in range(progress.source, len(sources)):
        source, is_stream = sources[index], sources[index].name == STANDARD
        done = progress.row if index == progress.source else 0
        rows = read_rows(source, skip=0 if is_stream else done)
        digested = _pass_over(rows, progress) if is_stream else hashlib.sha256()
        for row in rows:
            done += 1
            held.append((source, row))
            text = row.values.get(text_column)
            size += len(text) if isinstance(text, str) else len(row.raw)
            if is_stream:
                digested.update(row.raw)
                digest = digested.hexdigest()
            if len(held) >= CHUNK_ROWS or size >= CHUNK_CHARACTERS:
                yield Chunk(held, index, done, digest)
                held, size = [], 0
    if held:
        yield Chunk(held, index, done, digest)


def _pass_over(rows: Iterator[Row], progress: Progress) -> Any:
    """Reads the rows of standard input that are done and makes sure that they are the same as then; returns the sum to go on with."""
    digested = hashlib.sha256()
    for _ in range(progress.row):
        row = next(rows, None)
        if row is None:
            break
        digested.update(row.raw)
    if progress.row and digested.hexdigest() != progress.digest:
        raise ValueError(f"standard input does not begin with the {progress.row} rows that are done; give the same input, or begin again with --overwrite")
    return digested


class Checker:
    """Finds out what is wrong with a row that could be read."""

    def __init__(self, options: Options, survey: Survey, *, arrow_types: bool) -> None:
        """Settles what a row may hold.

        Args:
            options: of the run.
            survey: the columns of the inputs. For standard input it saw the first rows only, so a later one may not fit.
            arrow_types: whether columns keep their Arrow types; they fit then.
        """
        self._options = options
        self._own = frozenset(options.own)
        self._columns = None if options.format == "jsonl" else frozenset(survey.kinds)
        typed = options.format == "parquet" and not arrow_types
        self._types = {name: column_type(kinds) for name, kinds in survey.kinds.items()} if typed else {}

    def find_problem(self, row: Row) -> str:
        """Why the row can't be scored or written; empty for a sound one."""
        return row.problem or self._check_needed(row.values) or self._check_columns(row.values)

    def _check_needed(self, values: dict[str, Any]) -> str:
        """The text is a text that UTF-8 holds, and the id is there."""
        text, id_column = self._options.text_column, self._options.id_column
        if text not in values:
            return f"has no {text!r}; it has {', '.join(map(repr, values))}"
        try:
            check_text(values[text])
        except TypeError:
            return f"{text!r} is {'null' if values[text] is None else f'no text but {type(values[text]).__name__}'}"
        except ValueError as error:
            return str(error)
        return f"has no {id_column!r}" if id_column is not None and values.get(id_column) is None else ""

    def _check_columns(self, values: dict[str, Any]) -> str:
        """Its columns have a place in the output."""
        clash = self._own & values.keys()
        if clash:
            return f"has a column {min(clash)!r}, as the output has of its own; give ours a prefix with --prefix"
        if self._columns is not None and (unknown := values.keys() - self._columns):
            return f"has a column {min(unknown)!r} that the first rows lack; write --format jsonl, or give the input as a file"
        misfit = next((name for name, type_name in self._types.items() if not fits(values.get(name), type_name)), None)
        return f"{misfit!r} does not fit the {self._types[misfit]} of the first rows; write --format jsonl, or give the input as a file" if misfit else ""


def score_chunk(
    chunk: Chunk, number: int, scorer: Scorer, checker: Checker, options: Options, tick: Callable[[int], object]
) -> tuple[list[Record], list[str], int, int]:
    """Scores the sound rows of a chunk.

    Args:
        chunk: the rows.
        number: of rows before it, over all inputs.
        scorer: scores.
        checker: finds the broken rows.
        options: of the run.
        tick: called with the number of rows that have been dealt with, again and again.

    Returns:
        The records; a JSON line for each broken row; how many articles have a warning, and how many of these the screen passed over.
    """
    sound, rejects = [], []
    for place, (source, row) in enumerate(chunk.rows, number + 1):
        problem = checker.find_problem(row)
        if problem:
            rejects.append(_reject(source, row, problem))
        else:
            sound.append((place, row))
    tick(len(rejects))
    records: list[Record] = []
    warned = screened = 0
    scores = scorer.score_many([row.values[options.text_column] for _, row in sound], batch_size=SCORED_TOGETHER)
    for (place, row), score in zip(sound, scores, strict=True):
        records += make_records(row, place, score, options.level)
        warned += bool(score.warnings)
        screened += SCREENED in score.warnings
    tick(len(sound))
    return records, rejects, warned, screened


def _reject(source: Source, row: Row, problem: str) -> str:
    """A line of the rejects: where the row stands, why it is broken, and itself; bytes that are not UTF-8 are shown as \\xe9."""
    raw = row.raw.decode("utf-8", "backslashreplace") if row.raw else to_json(row.values)
    name = os.fsencode(source.shown).decode("utf-8", "backslashreplace")
    return to_json({"file": name, "row" if source.format == "parquet" else "line": row.number, "reason": problem, "raw": raw}) + "\n"
