"""A network in training, read from as `escalation.reading` reads from a shipped model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from escalation.evidence import N_LOGITS
from escalation.model import Tokens, encode
from training.network import EvidenceNetwork

BATCH_TOKENS = 8192


def read_batched(
    windows: Sequence[NDArray[np.int64]],
    run: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
    cls_id: int,
    sep_id: int,
    pad_id: int,
    *,
    batch_tokens: int,
) -> list[NDArray[np.float32]]:
    """Runs a network over windows; those of similar length go through together.

    Args:
        windows: token ids, without special tokens.
        run: `(n_windows, width)` ids and mask to `(n_windows, width, N_LOGITS)` logits.
        cls_id: opens a window.
        sep_id: closes it.
        pad_id: fills it up.
        batch_tokens: padded tokens that go through at once, at most; a single window always does. 1 reads every window by itself, as a shipped model is read.

    Returns:
        Per window, in the order given, the logits of its tokens, `(n_tokens, N_LOGITS)`.
    """
    order = sorted(range(len(windows)), key=lambda index: -len(windows[index]))
    logits: list[NDArray[np.float32]] = [np.zeros((0, N_LOGITS), np.float32)] * len(windows)
    while order:
        width = len(windows[order[0]]) + 2
        size = max(1, batch_tokens // width)
        batch, order = order[:size], order[size:]
        ids = np.full((len(batch), width), pad_id, dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for row, index in enumerate(batch):
            window = [cls_id, *windows[index], sep_id]
            ids[row, : len(window)], mask[row, : len(window)] = window, 1
        output = run(ids, mask)
        for row, index in enumerate(batch):
            logits[index] = output[row, 1 : 1 + len(windows[index])]
    return logits


class NetworkReader:
    """The `escalation.reading.Reader` of a torch network."""

    def __init__(self, network: EvidenceNetwork, tokenizer: Tokenizer, special: dict[str, int], max_tokens: int) -> None:
        self._network, self._tokenizer, self._special = network, tokenizer, special
        self.budget = max_tokens - 2

    def tokenize(self, sentences: Sequence[str]) -> list[Tokens]:
        """See `escalation.model.Model.tokenize`."""
        return encode(self._tokenizer, sentences)

    def read_windows(self, windows: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
        """See `escalation.model.Model.read_windows`."""
        self._network.eval()
        return read_batched(windows, self._run, **self._special, batch_tokens=BATCH_TOKENS)

    @torch.inference_mode()
    def _run(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        device = next(self._network.parameters()).device
        logits = self._network(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))
        return np.asarray(logits.float().cpu().numpy())
