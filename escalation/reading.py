"""Sentences of many texts through the network in one go, and back in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from escalation.model import Tokens, gather
from escalation.text import pack


class Reader(Protocol):
    """What reading needs: `escalation.model.Model`, or a network in training."""

    @property
    def budget(self) -> int:
        """Tokens that a window holds, special ones not counted."""
        ...

    def tokenize(self, sentences: Sequence[str]) -> list[Tokens]:
        """Sentences to word pieces."""
        ...

    def read_windows(self, windows: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
        """Windows of token ids to logits, `(n_tokens, n_logits)` each."""
        ...


@dataclass(frozen=True)
class Reading:
    """One text, read.

    Attributes:
        sentences: the sentences' text.
        tokens: their tokens.
        logits: `(n_tokens, n_logits)`, sentence after sentence.
        bounds: `(n_sentences + 1,)` first token of each sentence, and the number of tokens.
    """

    sentences: tuple[str, ...]
    tokens: tuple[Tokens, ...]
    logits: NDArray[np.float32]
    bounds: NDArray[np.int64]

    @cached_property
    def words(self) -> NDArray[np.int64]:
        """`(n_tokens,)` number of the word that each token belongs to, counted up within a sentence."""
        return np.concatenate([tokens.words for tokens in self.tokens]) if self.tokens else np.zeros(0, np.int64)

    @cached_property
    def is_word(self) -> NDArray[np.bool_]:
        """`(n_tokens,)` whether a token holds a letter or a digit."""
        text = "".join(self.sentences)
        seen = np.concatenate([[0], np.cumsum(np.fromiter(map(str.isalnum, text), np.int64, len(text)))])  # letters and digits before each character
        begins = np.cumsum([0, *map(len, self.sentences)])[:-1]
        offsets = np.concatenate([np.zeros((0, 2), np.int64), *(tokens.offsets + begin for tokens, begin in zip(self.tokens, begins, strict=True))])
        known: NDArray[np.bool_] = seen[offsets[:, 1]] > seen[offsets[:, 0]]
        return known

    def part(self, first: int, last: int) -> Reading:
        """The sentences `first:last` alone."""
        begin, end = self.bounds[first], self.bounds[last]
        return Reading(self.sentences[first:last], self.tokens[first:last], self.logits[begin:end], self.bounds[first : last + 1] - begin)


def join(readings: Sequence[Reading]) -> Reading:
    """Several texts as one, sentence after sentence; at least one."""
    if len(readings) == 1:
        return readings[0]
    lengths = np.concatenate([np.diff(reading.bounds) for reading in readings])
    return Reading(
        tuple(sentence for reading in readings for sentence in reading.sentences), tuple(tokens for reading in readings for tokens in reading.tokens),
        np.concatenate([reading.logits for reading in readings]), np.concatenate([[0], np.cumsum(lengths)]),
    )  # fmt: skip


def read(reader: Reader, texts: Sequence[Sequence[str]]) -> list[Reading]:
    """Reads texts that are split into sentences; windows of all of them share the network's batches.

    Returns:
        One `Reading` a text, in order.
    """
    tokenized = iter(reader.tokenize([sentence for sentences in texts for sentence in sentences]))
    tokens = [tuple(next(tokenized) for _ in sentences) for sentences in texts]
    packed = [pack([len(t.ids) for t in of_text], reader.budget) for of_text in tokens]
    ids = [
        np.concatenate([of_text[piece.sentence].ids[piece.first : piece.last] for piece in window])
        for of_text, windows in zip(tokens, packed, strict=True)
        for window in windows
    ]
    logits = iter(reader.read_windows(ids))
    readings = []
    for sentences, of_text, windows in zip(texts, tokens, packed, strict=True):
        lengths = [len(t.ids) for t in of_text]
        gathered = gather(windows, [next(logits) for _ in windows], lengths)
        readings.append(Reading(tuple(sentences), of_text, gathered, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)))
    return readings
