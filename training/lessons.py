"""What a larger model, or several, said of sentences, kept on disk for a smaller one to learn from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from escalation.evidence import EVENT_LOGITS

TAUGHT = EVENT_LOGITS.start  # logits a token that a teacher teaches; events are left to the labels


def name_of(text: str) -> str:
    """A sentence's name in the file: its text is not kept."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Lessons:
    """A teacher's logits, `(n_tokens, TAUGHT)` a sentence, by the sentence's text. Half precision: a probability's third digit is noise here."""

    def __init__(self, said: Mapping[str, NDArray[np.float16]] | None = None, *, teacher: str = "") -> None:
        """`teacher` is the SHA-256 of its weights, of several joined by `+`; empty where it is not known."""
        self._said = dict(said or {})
        self.teacher = teacher

    def __len__(self) -> int:
        return len(self._said)

    def get(self, text: str) -> NDArray[np.float32] | None:
        """What it said of a sentence; None where it was not asked."""
        found = self._said.get(name_of(text))
        return None if found is None else found.astype(np.float32)

    def add(self, name: str, logits: NDArray[np.float32]) -> None:
        """Adds what it says of a sentence, by `name_of` it."""
        self._said[name] = logits[:, :TAUGHT].astype(np.float16)

    def to_dict(self) -> dict[str, NDArray[np.float16]]:
        """All of it, by `name_of` a sentence."""
        return dict(self._said)


def save_lessons(said: Mapping[str, NDArray[np.float16]], path: Path, *, teacher: str = "") -> None:
    """Writes lessons as safetensors: one table of logits, where each sentence's rows stand in it, and whose they are."""
    places, start = {}, 0
    for name, logits in said.items():
        places[name] = (start, len(logits))
        start += len(logits)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {"logits": np.concatenate([np.zeros((0, TAUGHT), np.float16), *said.values()])}, path, metadata={"places": json.dumps(places), "teacher": teacher}
    )


def load_lessons(path: Path) -> Lessons:
    """Reads them.

    Raises:
        FileNotFoundError: no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; make it with python -m training.teach")
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        places = json.loads(metadata["places"])
        logits = file.get_tensor("logits")[:, :TAUGHT]
    return Lessons({name: logits[start : start + length] for name, (start, length) in places.items()}, teacher=metadata.get("teacher", ""))
