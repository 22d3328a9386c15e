"""Where records go: a file of lines that grows, standard output; `escalation.parquet` has the third, Parquet.

A sink of a file has a `position`: what is durable on disk after `append` has returned. A sink made with an earlier position cuts back to it, so that after a
kill at any moment the run goes on from what its journal knows of, and nothing stands in the output twice.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from escalation.batch.files import need
from escalation.batch.records import Record, to_cell, to_json

Encoder = Callable[[Sequence[Record]], bytes]


class Sink(Protocol):
    """Where records go."""

    @property
    def position(self) -> int:
        """How much is durable: bytes, or Parquet parts."""
        ...

    def append(self, records: Sequence[Record]) -> None:
        """Writes records; when it returns they are on disk."""
        ...

    def finish(self) -> None:
        """Writes what belongs at the end; the output is then complete."""
        ...


class GrowingFile:
    """A file that only grows at its end, and is cut back to a known size at the start."""

    def __init__(self, path: Path, size: int = 0) -> None:
        """Makes the file or cuts it back.

        Args:
            path: of the file.
            size: bytes that are kept; what stands behind them a run wrote and did not live to note.

        Raises:
            OSError: can't be opened, or is shorter than `size`.
        """
        self._path, self.size = path, size
        path.touch()
        self._expect(path.stat().st_size >= size)
        os.truncate(path, size)

    def write(self, data: bytes) -> None:
        """Appends; when it returns the bytes are on disk.

        Raises:
            OSError: can't be written, or someone else has changed the file.
        """
        if not data:
            return
        with open(self._path, "r+b") as file:
            self._expect(file.seek(0, os.SEEK_END) == self.size)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.size += len(data)

    def _expect(self, untouched: bool) -> None:
        if not untouched:
            raise OSError(f"{self._path.name} does not have the {self.size} bytes that this run left in it; begin again with --overwrite")


class LinesSink:
    """JSON Lines or CSV in a file. Compressed output is a gzip member or zstd frame for each chunk, so that it, too, can be cut back."""

    def __init__(self, file: GrowingFile, encode: Encoder, header: bytes, compression: str | None) -> None:
        self._file, self._encode, self._header = file, encode, header
        self._compress = compressor(compression)

    @property
    def position(self) -> int:
        """Bytes on disk."""
        return self._file.size

    def append(self, records: Sequence[Record]) -> None:
        """Writes records, behind the header where they are the first."""
        data = (b"" if self._file.size else self._header) + self._encode(records)
        self._file.write(self._compress(data) if data else b"")

    def finish(self) -> None:
        """An output without records still has its header, and an empty one is still a gzip or zstd file."""
        if not self._file.size:
            self._file.write(self._compress(self._header))


class StreamSink:
    """JSON Lines or CSV to standard output."""

    def __init__(self, stream: BinaryIO, encode: Encoder, header: bytes) -> None:
        self._stream, self._encode, self._header = stream, encode, header

    @property
    def position(self) -> int:
        """Nothing can be cut back, so nothing counts."""
        return 0

    def append(self, records: Sequence[Record]) -> None:
        """Writes records and hands them on at once."""
        self._stream.write(self._header + self._encode(records))
        self._stream.flush()
        self._header = b""

    def finish(self) -> None:
        """An output without records still has its header."""
        self.append([])


def compressor(compression: str | None) -> Callable[[bytes], bytes]:
    """Bytes to a whole gzip member or zstd frame, the same for the same bytes."""
    if compression == "gzip":
        return lambda data: gzip.compress(data, mtime=0)
    if compression == "zstd":
        package = need("zstandard")
        return lambda data: bytes(package.ZstdCompressor(level=3).compress(data))
    return lambda data: data


def lines_encoder(format_name: str, columns: Sequence[str], text_column: str, prefix: str) -> tuple[Encoder, bytes]:
    """What makes lines of records, and the header.

    Args:
        format_name: `"jsonl"` or `"csv"`.
        columns: of CSV, ours included.
        text_column: where the words of a sentence or highlight go.
        prefix: of our columns.
    """

    def encode_jsonl(records: Sequence[Record]) -> bytes:
        return "".join(to_json(record.values(text_column, prefix)) + "\n" for record in records).encode("utf-8")

    def encode_csv(records: Sequence[Record]) -> bytes:
        lines = []
        for record in records:
            values = record.values(text_column, prefix)
            lines.append([to_cell(values.get(column)) for column in columns])
        return csv_lines(lines)

    return (encode_csv, csv_lines([columns])) if format_name == "csv" else (encode_jsonl, b"")


def csv_lines(lines: Sequence[Sequence[str]]) -> bytes:
    """Lines of CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode("utf-8")


def discard(path: Path) -> None:
    """Removes a file or folder of an earlier run, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
