"""A network in training, read from as `escalation.reading` reads from a shipped model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from escalation.model import Tokens, encode, read_batched
from training.network import EvidenceNetwork

BATCH_TOKENS = 8192


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
