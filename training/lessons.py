"""What a larger model, or several, said of sentences, kept on disk for a smaller one to learn from.

A file holds what its teachers said of each token (`TAUGHT` columns), or of each sentence as one event (`EVENTS_TAUGHT` columns, one row a sentence).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from escalation.evidence import EVENT_LOGITS

TAUGHT = EVENT_LOGITS.start  # logits a token that a teacher teaches, all but the events
EVENTS_TAUGHT = EVENT_LOGITS.stop - EVENT_LOGITS.start  # logits a sentence that a teacher of events teaches: the mean of its tokens'
HEADER = "lessons"
KINDS = {TAUGHT: "evidence of tokens", EVENTS_TAUGHT: "events of sentences"}


def name_of(text: str) -> str:
    """A sentence's name in the file: its text is not kept."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Lessons:
    """A teacher's logits, `(n_tokens, TAUGHT)` a sentence or, of events, `(1, EVENTS_TAUGHT)`, by the sentence's text. Half precision: a probability's
    third digit is noise here."""

    def __init__(self, said: Mapping[str, NDArray[np.float16]] | None = None, *, teacher: str = "", columns: int = TAUGHT) -> None:
        """`teacher` is the SHA-256 of its weights, of several joined by `+`; empty where it is not known. `columns` is `TAUGHT` or `EVENTS_TAUGHT`."""
        self._said = dict(said or {})
        self.teacher = teacher
        self.columns = columns

    def __len__(self) -> int:
        return len(self._said)

    def get(self, text: str) -> NDArray[np.float32] | None:
        """What it said of a sentence; None where it was not asked."""
        found = self._said.get(name_of(text))
        return None if found is None else found.astype(np.float32)

    def add(self, name: str, logits: NDArray[np.float32]) -> None:
        """Adds what it says of a sentence, by `name_of` it; a ValueError if it is of another kind."""
        if logits.shape[1] != self.columns:
            raise ValueError(f"lessons of {KINDS[self.columns]} have {self.columns} columns, got {logits.shape[1]}")
        self._said[name] = logits.astype(np.float16)

    def to_dict(self) -> dict[str, NDArray[np.float16]]:
        """All of it, by `name_of` a sentence."""
        return dict(self._said)


def save_lessons(said: Mapping[str, NDArray[np.float16]], path: Path, *, teacher: str = "", columns: int = TAUGHT) -> None:
    """Writes lessons as safetensors: one table of logits, where each sentence's rows stand in it, and whose they are."""
    places, start = {}, 0
    for name, logits in said.items():
        places[name] = (start, len(logits))
        start += len(logits)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {"logits": np.concatenate([np.zeros((0, columns), np.float16), *said.values()])},
        path,
        metadata={HEADER: json.dumps({"teacher": teacher, "places": places})},  # one entry: several are written in any order, and the file's sum is kept
    )


def load_lessons(path: Path, columns: int = TAUGHT) -> Lessons:
    """Reads them.

    Args:
        path: the file.
        columns: what it must hold: `TAUGHT` or `EVENTS_TAUGHT`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it holds the other kind, or is no file of lessons.
    """
    command = f"python -m training.teach{' --events' if columns == EVENTS_TAUGHT else ''}"
    if not path.is_file():
        key = "event_lessons" if columns == EVENTS_TAUGHT else "lessons"
        raise FileNotFoundError(f"{path} is no file; make it with {command}, or set {key} to '' to do without")
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()[HEADER])
            logits = file.get_tensor("logits")
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no file of lessons as this version writes it ({error}); remove it and make it with {command}") from error
    if logits.shape[1] != columns:
        other = KINDS.get(logits.shape[1], f"{logits.shape[1]} columns")
        raise ValueError(f"{path} holds {other}, not {KINDS[columns]}; name a file that {command} makes, or a new one for it to write")
    said = {name: logits[start : start + length] for name, (start, length) in header["places"].items()}
    return Lessons(said, teacher=header["teacher"], columns=columns)
