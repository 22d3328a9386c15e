"""Mixes the weights of several models of one architecture into one file to go on from: python -m training.soup MODEL=SHARE... --to FILE.safetensors

MODEL is what `Config.start` takes: a shipped model's name, a model folder, a run folder or a .safetensors file. The weights are averaged by the shares, as in
Wortsman et al. (ICML 2022, "Model soups"); models that were trained on from one another lie close enough for that. Then `--start FILE.safetensors`; calibration
and screen don't go with the weights.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from escalation.model import MODEL_FILE, check_integrity
from training.checkpoint import save_atomically
from training.start import read_onnx, weights_file


def read_weights(name: str) -> dict[str, Tensor]:
    """Weights by their names in the network, those of an int8 file turned back.

    Raises:
        FileNotFoundError: nothing of the kind is there.
        ValueError: the model folder is damaged.
    """
    path = weights_file(name)
    if path.name == MODEL_FILE:
        check_integrity(path.parent)
        held = read_onnx(path)[0]
    else:
        held = load_file(path)
    return {key: value for key, value in held.items() if key.endswith(("weight", "bias"))}  # an ONNX file holds buffers too


def mix(shares: Mapping[str, float]) -> dict[str, Tensor]:
    """The mean of the models' weights, weighted by `shares`, which need not be 1 in all.

    Raises:
        ValueError: a share is no number above 0, or the models differ in architecture.
    """
    for name, share in shares.items():
        if not (share > 0 and math.isfinite(share)):
            raise ValueError(f"the share of {name} must be a number above 0, got {share}")
    total = sum(shares.values())
    mixed: dict[str, Tensor] = {}
    for name, share in shares.items():
        weights = read_weights(name)
        if mixed and {key: value.shape for key, value in weights.items()} != {key: value.shape for key, value in mixed.items()}:
            raise ValueError(f"{name} has another architecture than {next(iter(shares))}; only networks of the same layers, sizes and logits can be mixed")
        for key, value in weights.items():
            mixed[key] = mixed.get(key, torch.zeros_like(value)) + value * (share / total)
    return mixed


def parse_share(text: str) -> tuple[str, float]:
    """`MODEL=SHARE`, for argparse; what stands behind the last `=` is the share."""
    name, _, share = text.rpartition("=")
    try:
        return (name, float(share)) if name else (share, 1.0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be MODEL or MODEL=SHARE, such as newswire-en=0.6, got {text!r}") from None


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.soup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=parse_share, metavar="MODEL=SHARE", help="a model and its share (1 where none is given)")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    args = parser.parse_args(argv)
    try:
        if args.to.suffix != ".safetensors":
            raise ValueError(f"--to must end in .safetensors, got {args.to}")
        if len(dict(args.models)) < len(args.models):
            raise ValueError(f"a model is named twice in {' '.join(name for name, _ in args.models)}; give it one share")
        mixed = mix(dict(args.models))
        args.to.parent.mkdir(parents=True, exist_ok=True)
        save_atomically(mixed, args.to)
    except (ValueError, OSError, SafetensorError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.to}: " + ", ".join(f"{share:g} of {name}" for name, share in args.models))
    return 0


if __name__ == "__main__":
    sys.exit(main())
