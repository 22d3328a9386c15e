"""The optimiser and its rate over a run."""

from __future__ import annotations

import torch

from training.config import Config
from training.network import EvidenceNetwork


def make_optimizer(network: EvidenceNetwork, config: Config) -> torch.optim.AdamW:
    """AdamW; no decay on biases and layer norms, the linear layer at its own rate. Fused, one pass over the weights a step, which
    saves a fifth of a small network's step on a CPU."""
    plain = [p for name, p in network.encoder.named_parameters() if p.ndim > 1 and p.requires_grad]
    bare = [p for name, p in network.encoder.named_parameters() if p.ndim <= 1 and p.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": plain, "lr": config.learning_rate, "weight_decay": config.weight_decay},
            {"params": bare, "lr": config.learning_rate, "weight_decay": 0.0},
            {"params": list(network.head.parameters()), "lr": config.head_rate, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        fused=True,
    )


def rate_factor(done: float, step: float, warmup: float) -> float:
    """Linear warm-up, then linear decay to 0.

    Epochs differ a little in their number of steps, and which they are is known only when they are drawn; so this counts in shares of the run, each epoch
    an equal part of it, and needs no count of the steps to come.

    Args:
        done: share of the run that is done, 0 ... 1.
        step: share of the run that this step is.
        warmup: share of the run over which the rate rises.

    Returns:
        The factor of the peak rate, above 0.
    """
    return min(1.0, (done + step) / warmup) if done < warmup else (1.0 - done) / (1.0 - warmup)
