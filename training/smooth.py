"""Makes a network easier to round to int8: the channels of what goes into each linear layer are brought to like size beforehand.

Int8 rounds a layer's whole input by one scale, so that a few large channels cost all the others their digits. Dividing each channel by a factor and multiplying
its column of the weights by the same changes nothing in exact numbers (SmoothQuant: Xiao et al., ICML 2023, equation 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.network import EvidenceNetwork, layers_of

ALPHA = 0.8  # how much of the size moves from the inputs into the weights (SmoothQuant's migration strength); see training/LOG.md
SMALLEST = 1e-4  # no channel counts as smaller: one that is silent in the sample may speak elsewhere


class Scaled(nn.Module):
    """A linear layer whose input channels are multiplied by `factor` first."""

    def __init__(self, linear: nn.Linear, factor: nn.Parameter) -> None:
        super().__init__()
        self.factor = factor
        self.linear = linear

    def forward(self, states: Tensor) -> Tensor:
        """`(..., in_features)` to `(..., out_features)`."""
        return self.linear(states * self.factor)  # type: ignore[no-any-return]


def linear_groups(network: EvidenceNetwork) -> list[list[tuple[nn.Module, str]]]:
    """The linear layers of the encoder's layers, as `(owner, name)`, those that share an input together; none where the encoder is no relative of BERT."""
    groups: list[list[tuple[nn.Module, str]]] = []
    layer: Any  # layers_of says no more than that it is a module
    for layer in layers_of(network.encoder) or ():
        try:
            attention = layer.attention.self
            groups += [
                [(attention, "query"), (attention, "key"), (attention, "value")], [(layer.attention.output, "dense")],
                [(layer.intermediate, "dense")], [(layer.output, "dense")],
            ]  # fmt: skip
        except AttributeError:
            return []
    return [group for group in groups if all(isinstance(getattr(owner, name), nn.Linear) for owner, name in group)]


@torch.inference_mode()
def largest_inputs(network: EvidenceNetwork, groups: Sequence[list[tuple[nn.Module, str]]], windows: Sequence[NDArray[np.int64]]) -> list[Tensor]:
    """The largest size of each input channel of each group over some windows of token ids, special tokens included."""
    largest: list[Tensor] = [torch.zeros(getattr(*group[0]).in_features) for group in groups]

    def watch(position: int) -> object:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            largest[position] = torch.maximum(largest[position], inputs[0].detach().abs().flatten(0, -2).amax(dim=0).cpu())

        return getattr(*groups[position][0]).register_forward_pre_hook(hook)

    hooks = [watch(position) for position in range(len(groups))]
    for window in windows:
        ids = torch.from_numpy(window)[None].to(next(network.parameters()).device)
        network(ids, torch.ones_like(ids))
    for hook in hooks:
        hook.remove()  # type: ignore[attr-defined]
    return largest


def undo_smoothing(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a smoothed network to those of the plain one, by the plain one's names."""
    factors = {name.removesuffix(".factor"): value for name, value in state.items() if name.endswith(".factor")}
    plain = {}
    for name, value in state.items():
        layer, scaled, kind = name.rpartition(".linear.")
        if not scaled:
            plain[name] = value
            continue
        owner = layer.rpartition(".")[0]  # query, key and value share the factor of one of them
        factor = factors[layer] if layer in factors else next(found for name, found in factors.items() if name.rpartition(".")[0] == owner)
        plain[f"{layer}.{kind}"] = value * factor if kind == "weight" else value
    return {name: value for name, value in plain.items() if not name.endswith(".factor")}


@torch.no_grad()
def smooth(network: EvidenceNetwork, windows: Sequence[NDArray[np.int64]], alpha: float = ALPHA) -> None:
    """Moves size from the inputs of the encoder's linear layers into their weights, in place; the network computes what it did.

    Args:
        network: trained, in evaluation mode.
        windows: a sample of training text as token ids, special tokens included.
        alpha: 0 … 1; see `ALPHA`.
    """
    groups = linear_groups(network)
    for group, inputs in zip(groups, largest_inputs(network, groups, windows), strict=True):
        layers = [getattr(owner, name) for owner, name in group]
        weights = torch.stack([layer.weight.abs().amax(dim=0) for layer in layers]).amax(dim=0).clamp(min=SMALLEST)
        factor = inputs.to(weights.device).clamp(min=SMALLEST) ** alpha / weights ** (1 - alpha)
        factor = factor / factor.log().mean().exp()  # only the proportions matter
        shared = nn.Parameter(1 / factor)  # one for the group: its input is then scaled and rounded once
        for (owner, name), layer in zip(group, layers, strict=True):
            layer.weight *= factor
            setattr(owner, name, Scaled(layer, shared))
