"""Tables of articles, read as streams of rows: JSON Lines, CSV, Parquet.

A row that can't be read is a row with a `problem`, not an exception: one broken line must not end a run over a million. What makes a whole file unreadable
(it is not there, its end is cut off, it has no header) is an exception.
"""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from escalation.batch.files import Source, need, open_source

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROW = 1 << 28  # bytes of a line, characters of a CSV field: a quote that is never closed must not take the whole file into memory
BATCH_ROWS = 64  # rows taken from Parquet at once
BOM = b"\xef\xbb\xbf"
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an input.

    Attributes:
        number: the line on which it begins (JSON Lines, CSV; the header is line 1), or its place in the file (Parquet); from 1.
        values: its columns, empty where it is broken.
        problem: why it is broken; empty for a sound row.
        raw: what stands in the file; empty for Parquet.
        arrow: for Parquet its record batch and its place there, so that types survive.
    """

    number: int
    values: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    raw: bytes = b""
    arrow: tuple[pa.RecordBatch, int] | None = None


def read_rows(source: Source, *, skip: int = 0) -> Iterator[Row]:
    """Reads the rows of a source, blank lines left out.

    Args:
        source: what to read.
        skip: rows, broken ones included, that are passed over.

    Raises:
        OSError: the file can't be read, or not to its end; the message names it and the last row read.
        ValueError: no header, a column twice, no Parquet, UTF-16.
        ImportError: pyarrow or zstandard is needed and not installed.
    """
    last = 0
    try:
        if source.format == "parquet":
            for row in _read_parquet(source, skip):
                last = row.number
                yield row
            return
        with open_source(source) as stream:
            for count, row in enumerate(_read_jsonl(stream) if source.format == "jsonl" else _read_csv(stream, source.shown)):
                last = row.number
                if count >= skip:
                    yield parse_json(row) if source.format == "jsonl" and not row.problem else row
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"{source.shown} can't be read{f' after row {last}' if last else ''}: {reason}") from error


def _read_line(stream: BinaryIO) -> tuple[bytes, bool]:
    """The next line, and whether it was longer than `MAX_ROW` (then its end is dropped)."""
    line = stream.readline(MAX_ROW)
    if len(line) < MAX_ROW or line.endswith(b"\n"):
        return line, False
    too_long = False
    while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
        too_long = True
    return line, too_long or bool(rest.strip())


def _read_jsonl(stream: BinaryIO) -> Iterator[Row]:
    """Lines with something on them, not parsed yet: rows that are passed over need not be."""
    number = 0
    while True:
        line, too_long = _read_line(stream)
        if not line:
            return
        number += 1
        line = line.removeprefix(BOM)  # on any line: files with one are put together with cat
        if line.strip():
            yield Row(number, raw=line, problem=f"is longer than {MAX_ROW} bytes" if too_long else "")


def parse_json(row: Row) -> Row:
    """Parses the line of a row."""

    def broken(problem: str) -> Row:
        return Row(row.number, problem=problem, raw=row.raw)

    try:
        line = row.raw.decode("utf-8")
        values = json.loads(line)
        if isinstance(values, dict) and SURROGATE.search(line):
            json.dumps(values, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        return broken(_not_utf8(error))
    except UnicodeEncodeError:
        return broken("holds a lone surrogate, which no UTF-8 text can hold")
    except (ValueError, RecursionError) as error:
        return broken(f"is not JSON ({error})")
    if not isinstance(values, dict):
        return broken(f"is JSON, but no object with columns (a {type(values).__name__})")
    return Row(row.number, values, "" if values else "is an object without columns", row.raw)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"is not UTF-8 (byte 0x{error.object[error.start]:02x} at {error.start})"


class CsvLines:
    """Feeds lines to `csv.reader` and remembers those of the record in hand: a broken one is shown as it stands, and read again from its second line on."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._again: deque[tuple[bytes, bool]] = deque()
        self._held: list[tuple[bytes, bool]] = []
        self.number = 1  # of the line on which the record in hand begins

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else _read_line(self._stream)
        if not line[0]:
            raise StopIteration
        self._held.append(line)
        return line[0].decode("utf-8", "surrogateescape")  # what is not UTF-8 must not hide where the record ends

    @property
    def raw(self) -> bytes:
        """The lines of the record in hand."""
        return b"".join(line for line, _ in self._held)

    @property
    def too_long(self) -> bool:
        """Whether one of them was cut."""
        return any(cut for _, cut in self._held)

    def release(self) -> None:
        """The record in hand is done with."""
        self.number += len(self._held)
        self._held.clear()

    def keep_first(self) -> None:
        """All but the first line of the record in hand will be read again: a stray quote costs its own line, not those it ran into."""
        self._again.extendleft(reversed(self._held[1:]))
        del self._held[1:]


def _read_csv(stream: BinaryIO, name: str) -> Iterator[Row]:
    """Records of a CSV file with a header."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))
    lines = CsvLines(stream)
    records = csv.reader(lines, strict=True)
    header = _read_header(lines, records, name)
    while header:
        problem, values = "", []
        try:
            values = next(records)
            if not values:
                lines.release()
                continue
            lines.raw.decode("utf-8")
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            problem = _not_utf8(error)
        except csv.Error as error:
            lines.keep_first()
            problem = f"is not CSV ({error})"
        if lines.too_long:
            problem = f"is longer than {MAX_ROW} bytes"
        elif not problem and len(values) != len(header):
            problem = f"has {len(values)} fields where the header has {len(header)}"
        yield Row(lines.number, {} if problem else dict(zip(header, values, strict=True)), problem, lines.raw)
        lines.release()


def _read_header(lines: CsvLines, records: Iterator[list[str]], name: str) -> list[str]:
    """The columns' names; none for an empty file."""
    try:
        header = next(records, [])
        lines.raw.decode("utf-8")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"the header of {name} can't be read as UTF-8 CSV ({error}); its first line must name the columns") from error
    lines.release()
    if header:
        header[0] = header[0].removeprefix("\ufeff")
    _check_once(header, name)
    return header


def _check_once(columns: list[str], name: str) -> None:
    """Refuses a column name that stands for two columns."""
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise ValueError(f"{name} has several columns named {', '.join(map(repr, twice))}; give each its own name")


def open_parquet(source: Source) -> Any:
    """The opened file; its rows are not read yet.

    Raises:
        ValueError: no Parquet, or damaged, or a column's name stands for two.
        OSError: can't be read.
    """
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    try:
        file = parquet.ParquetFile(source.name, pre_buffer=False)
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{source.shown} can't be read as Parquet ({error}); if it is another format, name it with --input-format") from error
    _check_once(file.schema_arrow.names, source.shown)
    return file


def _read_parquet(source: Source, skip: int) -> Iterator[Row]:
    """Rows of a Parquet file; row groups that are passed over as a whole are not read."""
    file = open_parquet(source)
    with file:
        done, first = 0, 0
        while first < file.num_row_groups and done + file.metadata.row_group(first).num_rows <= skip:
            done += file.metadata.row_group(first).num_rows
            first += 1
        try:
            for batch in file.iter_batches(BATCH_ROWS, row_groups=range(first, file.num_row_groups)):
                if done + batch.num_rows > skip:
                    yield from _read_batch(batch, done, skip)
                done += batch.num_rows
        except need("pyarrow").ArrowException as error:
            raise OSError(f"damaged ({error})") from error


def _read_batch(batch: Any, done: int, skip: int) -> Iterator[Row]:
    """Rows of a record batch that stands behind `done` others."""
    try:
        columns = {name: plain_values(batch.column(place)) for place, name in enumerate(batch.schema.names)}
    except UnicodeDecodeError:
        if batch.num_rows > 1:  # one by one: only the row that holds the bad bytes is broken
            for place in range(batch.num_rows):
                yield from _read_batch(batch.slice(place, 1), done + place, skip)
        elif done >= skip:
            yield Row(done + 1, problem="holds text that is not UTF-8", raw=repr(batch.cast(_as_binary(batch.schema)).to_pylist()[0]).encode())
        return
    for place in range(max(0, skip - done), batch.num_rows):
        values = {name: column[place] for name, column in columns.items()}
        yield Row(done + place + 1, values, arrow=(batch, place))


def _as_binary(schema: Any) -> Any:
    """The schema with text as bytes, which can be shown whatever they are."""
    arrow = need("pyarrow")
    return arrow.schema([column.with_type(arrow.large_binary()) if _is_text(column.type) else column for column in schema])


def _is_text(kind: Any) -> bool:
    types = need("pyarrow.types")
    return bool(types.is_string(kind) or types.is_large_string(kind))


def plain_values(column: Any) -> list[Any]:
    """A column as Python values; dates, times and decimals as text, so that no digit is lost."""
    arrow, types = need("pyarrow"), need("pyarrow.types")
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_temporal(column.type) or types.is_decimal(column.type):
        column = column.cast(arrow.string())
    values: list[Any] = column.to_pylist()
    return values
