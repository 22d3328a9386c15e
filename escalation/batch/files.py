"""Which files are read and written: formats by suffix, folders, globs, compression."""

from __future__ import annotations

import glob
import gzip
import importlib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast

FORMATS = {"jsonl": (".jsonl", ".ndjson"), "csv": (".csv",), "parquet": (".parquet",)}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
STANDARD = "-"  # standard input or standard output
GZIP, ZSTD, UTF16 = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", (b"\xff\xfe", b"\xfe\xff")  # how such files begin
BLOCK = 1 << 16  # bytes read at once


@dataclass(frozen=True)
class Source:
    """An input.

    Attributes:
        name: path as it was given or found, or `-` for standard input.
        format: one of `FORMATS`.
        address: where it came from, if `name` is a copy of it.
    """

    name: str
    format: str
    address: str = ""

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return self.address or self.name


def need(module: str, extra: str = "batch") -> Any:
    """Imports a module of an extra.

    Raises:
        ImportError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'{module.partition(".")[0]} is not installed, and this needs it: pip install "escalation[{extra}]"') from error


def name_format(name: str) -> tuple[str | None, str | None]:
    """Format and compression that the suffixes of a file's name stand for; None where they stand for none."""
    path = PurePath(name.lower())
    compression = COMPRESSIONS.get(path.suffix)
    suffix = PurePath(path.stem).suffix if compression else path.suffix
    return next((name for name, suffixes in FORMATS.items() if suffix in suffixes), None), compression


def choose_format(name: str, chosen: str | None, option: str) -> str:
    """The format of a file: as chosen, else by its suffix.

    Raises:
        ValueError: an unknown format, none at all, or compressed Parquet; the message names `option`.
    """
    by_suffix, compression = name_format(name)
    known = ", ".join(FORMATS)
    if chosen is not None and chosen not in FORMATS:
        raise ValueError(f"the format must be one of {known}, got {chosen!r}; choose one with {option}")
    found = chosen or by_suffix
    if found is None:
        what = "standard input or output has no suffix" if name == STANDARD else f"the suffix of {name} stands for no known format"
        raise ValueError(f"{what}; name the format with {option} (one of {known})")
    if found == "parquet" and name == STANDARD:
        raise ValueError(f"Parquet can't be read from standard input or written to standard output; use a file, or another format with {option}")
    if found == "parquet" and compression:
        raise ValueError(f"{name}: Parquet is compressed inside, not outside; unpack it, or drop {PurePath(name).suffix} from the name")
    return found


def find_sources(inputs: Sequence[str], *, input_format: str | None = None, ignore: Iterable[Path] = ()) -> tuple[list[Source], list[str]]:
    """Resolves files, folders (with their subfolders), globs and `-`.

    Args:
        inputs: what was asked for, in order; what a folder or a glob holds is sorted by name.
        input_format: of files whose suffix does not say; a folder gives only files whose suffix does.
        ignore: files and folders that a folder or a glob is not to give: what the run itself writes beside its output.

    Returns:
        The sources, and the names of files left out of folders because their suffix stands for no format.

    Raises:
        FileNotFoundError: a name, folder or glob gives no file.
        ValueError: no known format, or a file is given twice.
    """
    ignored = {path.resolve() for path in ignore}
    names: list[str] = []
    left_out: list[str] = []
    for given in inputs:
        if given == STANDARD or os.path.isfile(given):
            found = [given]
        elif os.path.isdir(given):
            found, others = _list_folder(given, ignored)
            left_out += others
        else:
            found = sorted(name for name in glob.glob(given, recursive=True) if os.path.isfile(name) and not _is_within(name, ignored))
        if not found and os.path.exists(given) and not os.path.isdir(given):
            raise ValueError(f"{given} is no file but a pipe or a device, which can be read once only; give it as standard input (-)")
        if not found:
            raise FileNotFoundError(f"{given}: no such file, and no folder or pattern that gives a file ({_all_suffixes()}, also with .gz or .zst)")
        names += found
    seen: dict[Path, str] = {}
    for name in names:
        path = Path(name).resolve() if name != STANDARD else Path(STANDARD)
        if path in seen:
            raise ValueError(f"{name} is given twice (also as {seen[path]}); name each input once, so that no article is scored twice")
        seen[path] = name
    return [Source(name, choose_format(name, input_format, "--input-format")) for name in names], left_out


def _list_folder(folder: str, ignored: set[Path]) -> tuple[list[str], list[str]]:
    """Files of a folder and its subfolders whose suffix stands for a format, and the others; hidden ones are passed over."""
    found: list[str] = []
    others: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(place, name)
            if not name.startswith(".") and not _is_within(path, ignored):
                (found if name_format(name)[0] else others).append(path)
    return found, others


def _is_within(name: str, places: set[Path]) -> bool:
    """Whether a file is one of these places, or in one."""
    path = Path(name).resolve()
    return not places.isdisjoint([path, *path.parents])


def _all_suffixes() -> str:
    return ", ".join(suffix for suffixes in FORMATS.values() for suffix in suffixes)


@contextmanager
def open_source(source: Source) -> Iterator[BinaryIO]:
    """Opens an input of lines, unpacked: what is compressed is told by its first bytes, so that standard input may be, too.

    Raises:
        OSError: can't be read.
        ValueError: UTF-16.
        ImportError: zstd without its package.
    """
    raw = cast(io.BufferedReader, sys.stdin.buffer) if source.name == STANDARD else open(source.name, "rb")  # noqa: SIM115
    try:
        head = raw.peek(4)[:4]
        if head.startswith(UTF16):
            raise ValueError(f"{source.shown} is UTF-16, and UTF-8 is read; convert it first, for example: iconv -f utf-16 -t utf-8")
        if head.startswith(GZIP):
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        elif head == ZSTD:
            yield io.BufferedReader(ZstdFrames(raw), BLOCK)
        else:
            yield raw
    finally:
        if source.name != STANDARD:
            raw.close()


class ZstdFrames(io.RawIOBase):
    """Unpacks zstd frames one after the other. A cut frame raises EOFError; the package's own reader would end there in silence, and rows be lost."""

    def __init__(self, raw: BinaryIO) -> None:
        self._package = need("zstandard")
        self._raw = raw
        self._frame: Any = None
        self._packed = b""
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: Any) -> int:
        """Fills `target`, or as much of it as is there; 0 at the end."""
        while not self._unpacked:
            packed = self._packed or self._raw.read(BLOCK)
            if not packed:
                if self._frame is not None:
                    raise EOFError("its last zstd frame is cut off")
                return 0
            if self._frame is None:
                self._frame = self._package.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
            try:
                self._unpacked = memoryview(self._frame.decompress(packed))
            except self._package.ZstdError as error:
                raise OSError(f"its zstd data is damaged ({error})") from error
            self._packed = b""
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        size = min(len(target), len(self._unpacked))
        target[:size], self._unpacked = self._unpacked[:size], self._unpacked[size:]
        return size
