"""Files and folders on any file system that fsspec knows, for runs on a cluster; a local path is one of them."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from escalation.batch.files import Source, choose_format, find_sources, name_format, need
from escalation.batch.journal import new_name, replace_file, state_of, sync_folder

WORK = "_work"  # parts on their way; the underscore makes programs that read folders pass it over


def is_address(name: str) -> bool:
    """Whether a name is an address, not a path."""
    return "://" in name


def resolve(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path there.

    Raises:
        ImportError: fsspec, or its driver of this file system, is not installed.
        ValueError: an unknown kind of address.
    """
    file_system, path = need("fsspec", "ray").core.url_to_fs(address)
    return file_system, str(path)


def find_everywhere(inputs: Sequence[str], *, input_format: str | None, ignore: Iterable[Path]) -> tuple[list[Source], list[str]]:
    """As `files.find_sources`, for addresses of files, folders and patterns, too."""
    sources: list[Source] = []
    left_out: list[str] = []
    local = [name for name in inputs if not is_address(name)]
    if local:
        sources, left_out = find_sources(local, input_format=input_format, ignore=ignore)
    for address in inputs:
        if is_address(address):
            found, others = _find_addresses(address)
            left_out += others
            sources += [Source(name, choose_format(name, input_format, "--input-format"), address=name) for name in found]
    return sources, left_out


def _find_addresses(address: str) -> tuple[list[str], list[str]]:
    """Addresses of the files that an address stands for, and of a folder's files left out."""
    file_system, path = resolve(address)
    if glob.has_magic(path):
        found, others = file_system.glob(path), []
    elif file_system.isdir(path):
        every = file_system.find(path)
        found, others = ([name for name in every if bool(name_format(name)[0]) is known] for known in (True, False))
    else:
        found, others = [path] if file_system.exists(path) else [], []
    if not found:
        raise FileNotFoundError(f"{address}: no such file, and no folder or pattern that gives a file")
    return ([file_system.unstrip_protocol(name) for name in sorted(names)] for names in (found, others))  # type: ignore[return-value]


def state_everywhere(source: Source) -> list[Any]:
    """As `journal.state_of`, for addresses, too."""
    if not source.address:
        return state_of(source)
    file_system, path = resolve(source.address)
    return [source.address, source.format, file_system.ukey(path)]


@contextmanager
def local_copy(source: Source) -> Iterator[Source]:
    """A source on this machine: itself, or a copy for as long as it is needed, since a connection that stays open for hours breaks."""
    if not source.address:
        yield source
        return
    file_system, path = resolve(source.address)
    with tempfile.TemporaryDirectory(prefix="escalation-") as folder:
        copy = os.path.join(folder, PurePosixPath(path).name)
        file_system.get_file(path, copy)
        yield Source(copy, source.format, address=source.address)


class Folder:
    """A folder in which a file is complete or not there."""

    def __init__(self, address: str) -> None:
        """Names the folder; makes it if it is local.

        Raises:
            ImportError: see `resolve`.
        """
        self.address = address
        self._system: Any = None  # a local folder needs no file system but the machine's
        self._path = address
        if is_address(address):
            self._system, self._path = resolve(address)
        if self._system is None:
            Path(address).mkdir(parents=True, exist_ok=True)

    def _at(self, name: str) -> str:
        return f"{self._path.rstrip('/')}/{name}"

    def names(self) -> set[str]:
        """Names of what is in it."""
        if self._system is None:
            return set(os.listdir(self._path))
        if not self._system.exists(self._path):
            return set()
        self._system.invalidate_cache()
        return {PurePosixPath(name).name for name in self._system.ls(self._path, detail=False)}

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it is not there."""
        try:
            return Path(self._at(name)).read_bytes() if self._system is None else bytes(self._system.cat_file(self._at(name)))
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Writes a small file."""
        if self._system is None:
            Path(self._at(name)).parent.mkdir(exist_ok=True)
            replace_file(Path(self._at(name)), data)
            return
        self._system.makedirs(str(PurePosixPath(self._at(name)).parent), exist_ok=True)
        self._system.pipe_file(str(new_name(PurePosixPath(self._at(name)))), data)
        self._system.mv(str(new_name(PurePosixPath(self._at(name)))), self._at(name))

    def publish(self, file: Path, name: str) -> None:
        """Gives a complete local file its place; it is there as a whole or not at all."""
        if self._system is None:
            place = Path(self._at(name))
            place.parent.mkdir(exist_ok=True)
            os.replace(file, place)
            sync_folder(place.parent)
            return
        for path in (self._at(name), self._at(f"{WORK}/{name}")):
            self._system.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
        self._system.put_file(str(file), self._at(f"{WORK}/{name}"))
        self._system.mv(self._at(f"{WORK}/{name}"), self._at(name))

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """A local folder to make a file in. That of a local folder stays, so that a part begun there can be gone on with, on whatever machine."""
        if self._system is None:
            work = Path(self._at(WORK))
            work.mkdir(exist_ok=True)
            yield work
            return
        with tempfile.TemporaryDirectory(prefix="escalation-") as work_name:
            yield Path(work_name)

    def remove(self, name: str) -> None:
        """Removes a file or folder, if it is there."""
        if self._system is not None:
            if self._system.exists(self._at(name)):
                self._system.rm(self._at(name), recursive=True)
        elif os.path.isdir(self._at(name)):
            shutil.rmtree(self._at(name))
        else:
            Path(self._at(name)).unlink(missing_ok=True)
