"""A linear screen before the network: it passes over texts whose words show no political or armed actor at work. Off unless it is asked for.

It costs a fraction of what the network does, and knows words only, not what they mean; so it is set to let nearly everything through that has a signal
(`training.screen` fits it and measures what it loses). Evidence: logistic regression on which word pieces, and which pairs of neighbours, a block of the text
holds; pairs share a table by their hash (feature hashing: Weinberger et al. 2009).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCREEN_FILE = "screen.npy"
FACTORS = (1_000_003, 30_011)  # primes that spread pairs of ids over the table; part of the format


@dataclass(frozen=True)
class ScreenSettings:
    """What config.json says of the screen.

    Attributes:
        pieces: rows of the table that stand for a word piece each, by its id.
        pairs: rows behind them, that the pairs share.
        block: word pieces looked at together; a text passes if one of its blocks does, so that one report in a long digest is enough.
        scale: what the table's whole numbers are multiplied by.
        intercept: evidence of a block without a word.
        threshold: evidence, in logits of "in scope", from which a block passes.
    """

    pieces: int
    pairs: int
    block: int
    scale: float
    intercept: float
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """For config.json."""
        return asdict(self)


def features(ids: NDArray[np.int64], pieces: int, pairs: int) -> NDArray[np.int64]:
    """Rows of the table that a block's word pieces and pairs stand for, each once, in order."""
    of_pairs = pieces + (ids[:-1] * FACTORS[0] + ids[1:] * FACTORS[1]) % pairs
    return np.unique(np.concatenate([ids, of_pairs]))


def cut(ids: NDArray[np.int64], block: int) -> list[NDArray[np.int64]]:
    """A text's word pieces in as few blocks as there must be, of nearly equal length; at least one."""
    return np.array_split(ids, max(1, -(-len(ids) // block)))


@dataclass(frozen=True)
class Screen:
    """A loaded screen; `weights` is the table, `(pieces + pairs,)`."""

    settings: ScreenSettings
    weights: NDArray[np.int8]

    def evidence(self, ids: NDArray[np.int64]) -> float:
        """The largest evidence of a block of the text, in logits of "in scope".

        Args:
            ids: `(n_tokens,)` word pieces of the whole text, without special tokens.
        """
        found = []
        for block in cut(ids, self.settings.block):
            rows = features(block, self.settings.pieces, self.settings.pairs)
            total = float(self.weights[rows].sum(dtype=np.int64)) * self.settings.scale
            found.append(self.settings.intercept + total / math.sqrt(max(1, len(rows))))
        return max(found)

    def passes(self, ids: NDArray[np.int64]) -> bool:
        """Whether the network should read the text."""
        return self.evidence(ids) >= self.settings.threshold


def no_screen(name: str, version: str) -> str:
    """What is said of a model that has none."""
    return f"model {name} {version} has no screen; leave screen out, or add one with python -m training.screen"


def load_screen(folder: Path, settings: ScreenSettings) -> Screen:
    """Reads the table of a model folder.

    Raises:
        ValueError: it is not of the size that config.json names.
    """
    weights = np.load(folder / SCREEN_FILE, allow_pickle=False)
    if weights.dtype != np.int8 or weights.shape != (settings.pieces + settings.pairs,):
        raise ValueError(f"{folder / SCREEN_FILE} holds {weights.dtype} of shape {weights.shape}, not int8 of {settings.pieces + settings.pairs} rows")
    return Screen(settings, weights)
