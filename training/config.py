"""One frozen, validated configuration of a training run, read from TOML."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SourceWeights:
    """How many texts of each source an epoch draws (0: none; more than there are: all of them)."""

    corpus: int = 100_000
    standoff: int = 100_000
    plv: int = 100_000
    cameo: int = 100_000
    ngec: int = 1_000
    ag: int = 1_000


@dataclass(frozen=True)
class LossWeights:
    """Factors of the losses; see `training/losses.py`."""

    phrase_signal: float = 1.0
    phrase_direction: float = 1.0
    phrase_status: float = 0.5
    direction: float = 1.0
    severity: float = 2.0
    scope: float = 0.5
    signal: float = 0.5
    event: float = 0.5


@dataclass(frozen=True)
class Config:
    """A training run.

    Attributes:
        name: of the model; also the folder under `models/` that the export writes.
        version: of the model.
        encoder: a Hugging Face name, a path, or `python:PACKAGE` (see `training.network.resolve_encoder`).
        max_tokens: of a window, the two special ones included.
        epochs: passes over the sources.
        batch_tokens: padded tokens of a step.
        learning_rate: peak rate of the encoder (AdamW; Loshchilov and Hutter 2019), linear warm-up and decay.
        head_rate: peak rate of the linear layer.
        warmup: share of the steps over which the rate rises.
        weight_decay: of AdamW.
        dropout: before the linear layer.
        clip: largest norm of the gradient.
        seed: of everything random.
        single_share: share of the corpus' articles that an epoch shows sentence by sentence instead of in windows.
        checkpoint_steps: steps between checkpoints.
        sources: see `SourceWeights`.
        losses: see `LossWeights`.
    """

    name: str = "newswire-en"
    version: str = "0.1.0"
    encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    max_tokens: int = 128
    epochs: int = 6
    batch_tokens: int = 2048
    learning_rate: float = 1e-4
    head_rate: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.1
    clip: float = 1.0
    seed: int = 1
    single_share: float = 0.3
    checkpoint_steps: int = 100
    sources: SourceWeights = field(default_factory=SourceWeights)
    losses: LossWeights = field(default_factory=LossWeights)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and TOML."""
        return asdict(self)


NESTED = {"sources": SourceWeights, "losses": LossWeights}
POSITIVE = ("max_tokens", "epochs", "batch_tokens", "learning_rate", "head_rate", "clip", "checkpoint_steps")


def build(cls: type, values: dict[str, Any], where: str) -> Any:
    """Makes a configuration of a dict, checking names and types.

    Raises:
        ValueError: an unknown name (the nearest known one is named), or a value of another type.
    """
    known = {item.name: item for item in fields(cls)}
    result = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise ValueError(f"{where}: unknown key {key!r}; did you mean {near[0]!r}?")
        if key in NESTED:
            if not isinstance(value, dict):
                raise ValueError(f"{where}: {key} must be a table, got {value!r}")
            result[key] = build(NESTED[key], value, f"{where} [{key}]")
            continue
        kind = {"str": str, "int": int, "float": (int, float)}[str(known[key].type)]
        if not isinstance(value, kind) or isinstance(value, bool):  # type: ignore[arg-type]
            raise ValueError(f"{where}: {key} must be {known[key].type}, got {value!r}")
        result[key] = float(value) if known[key].type == "float" else value
    return cls(**result)


def read_config(path: Path) -> Config:
    """Reads a TOML file.

    Raises:
        ValueError: not TOML, an unknown key, a wrong type or range; the message names file, key and value.
        FileNotFoundError: no such file.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    config: Config = build(Config, values, str(path))
    for name in POSITIVE:
        if getattr(config, name) <= 0:
            raise ValueError(f"{path}: {name} must be above 0, got {getattr(config, name)}")
    for name in ("warmup", "dropout", "single_share"):
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"{path}: {name} must be within 0 and 1, got {getattr(config, name)}")
    if config.max_tokens < 16:
        raise ValueError(f"{path}: max_tokens must be at least 16, got {config.max_tokens}")
    return config
