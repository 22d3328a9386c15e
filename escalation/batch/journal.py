"""What a run knows of itself on disk, so that a later one can go on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

from escalation.batch.files import STANDARD, Source
from escalation.batch.survey import Survey

FORMAT = 1
PathLike = TypeVar("PathLike", bound=PurePath)


@dataclass
class Progress:
    """How far a run has come. Everything counts from the beginning of the first run.

    Attributes:
        source: number of the input it is in.
        row: rows of that input that are done, broken ones included.
        rows: rows done of all inputs.
        rejected: of these, broken ones.
        warned: of these, articles with a warning: not scored.
        screened: of these, those that the screen passed over.
        written: records in the output.
        output: position of the sink.
        rejects: bytes of the rejects.
        digest: SHA-256 of the rows done of standard input, which has neither size nor date; empty for files.
        done: nothing is left but to give the output its name.
    """

    source: int = 0
    row: int = 0
    rows: int = 0
    rejected: int = 0
    warned: int = 0
    screened: int = 0
    written: int = 0
    output: int = 0
    rejects: int = 0
    digest: str = ""
    done: bool = False


@dataclass(frozen=True)
class Traces:
    """The files that a run has beside its output while it lasts, and the rejects that stay.

    Attributes:
        output: what they belong to.
    """

    output: Path

    def _beside(self, suffix: str) -> Path:
        return self.output.with_name(self.output.name + suffix)

    @property
    def part(self) -> Path:
        """The output while it is not complete."""
        return self._beside(".part")

    @property
    def parts(self) -> Path:
        """The folder of Parquet parts."""
        return self._beside(".parts")

    @property
    def rejects(self) -> Path:
        """Broken rows."""
        return self._beside(".rejects.jsonl")

    @property
    def journal(self) -> Path:
        """See `Journal`."""
        return self._beside(".journal")

    @property
    def lock(self) -> Path:
        """Held by the run that writes."""
        return self._beside(".lock")

    def all(self) -> list[Path]:
        """All of them."""
        return [self.part, self.parts, self.rejects, self.journal, new_name(self.journal), self.lock]


def new_name(path: PathLike) -> PathLike:
    """Where a file is written that will replace another."""
    return path.with_name(path.name + ".new")


def state_of(source: Source) -> list[Any]:
    """Name, size and date of an input; of standard input only its name is known.

    Raises:
        OSError: it is not there.
    """
    try:
        state = None if source.name == STANDARD else os.stat(source.name)
    except OSError as error:
        raise OSError(f"{source.name} can't be read: {error.strerror}") from error
    return [source.name, source.format, *((state.st_size, state.st_mtime_ns) if state else ())]


def sum_of(states: Iterable[Sequence[Any]]) -> str:
    """SHA-256 sum that stands for the inputs, however many they are."""
    return hashlib.sha256(json.dumps(list(states)).encode()).hexdigest()


class Journal:
    """A small file, replaced as a whole after each chunk that is safely on disk.

    Attributes:
        rows: rows that it knows to be done.
    """

    def __init__(self, path: Path, command: Mapping[str, Any]) -> None:
        self._path, self._command = path, dict(command)
        self.rows = 0

    def read(self) -> tuple[Survey, Progress] | None:
        """What an earlier run of the same command noted; None where there was none.

        Raises:
            ValueError: the journal is another command's; the message says in what they differ, and the remedy.
        """
        try:
            noted = json.loads(self._path.read_bytes())
            command = noted["command"] if noted["format"] == FORMAT else {}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._path} is no journal of escalation ({error}); begin again with --overwrite") from error
        differing = [name for name in {**self._command, **command} if command.get(name) != self._command.get(name)]
        if differing:
            was = "; ".join(
                "the inputs have changed" if name == "inputs" else f"{name} was {command.get(name)!r}, is {self._command.get(name)!r}" for name in differing
            )
            raise ValueError(f"{self._path} belongs to another command ({was}); give that command again to go on with it, or begin again with --overwrite")
        survey, progress = Survey.from_dict(noted["survey"]), Progress(**noted["progress"])
        self.rows = progress.rows
        return survey, progress

    def write(self, survey: Survey, progress: Progress) -> None:
        """Notes how far the run has come; a kill in between leaves the old journal or the new one, whole."""
        noted = {"format": FORMAT, "command": self._command, "survey": survey.to_dict(), "progress": asdict(progress)}
        replace_file(self._path, json.dumps(noted).encode())
        self.rows = progress.rows


def replace_file(path: Path, data: bytes) -> None:
    """Writes a file that is at every moment, also after a kill or a power cut, the old one or the new one, whole."""
    with open(new_name(path), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new_name(path), path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Puts a folder's names on disk, where the system lets one."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps a second run from writing the same output at the same time. The system lets go of the lock when a run ends, however it ends.

    Raises:
        ValueError: another run holds it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system: nothing to hold
        yield
        return
    with open(path, "wb") as file:
        with suppress(OSError):  # a file system without locks, as some networks have
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(f"another run is writing {path.with_suffix('')} at this moment; wait for it, or choose another output") from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
