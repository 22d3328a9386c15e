"""One frozen, validated configuration of a training run, read from TOML."""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SourceDraws:
    """How many texts of each source an epoch draws (0: none; more than there are: all of them).

    `own` are the files of `Config.data`; `unlabelled` is public text whose sentences only the lessons label (`training/unlabelled.py`),
    `varied` are variants of the training text that only they label (`training/vary.py`).
    """

    corpus: int = 100_000
    standoff: int = 100_000
    plv: int = 100_000
    cameo: int = 100_000
    ngec: int = 1_000
    ag: int = 1_000
    own: int = 100_000
    unlabelled: int = 0
    varied: int = 0


@dataclass(frozen=True)
class LossWeights:
    """Factors of the losses; see `training/losses.py`. `event` is that of the event logits, `event_signal` of the signals against the same labels.

    `consistency` above 0 sends every batch through the network twice, with other dropout, and so takes nearly twice the time.
    """

    phrase_signal: float = 1.0
    phrase_direction: float = 1.0
    phrase_status: float = 0.5
    direction: float = 1.0
    severity: float = 2.0
    scope: float = 0.5
    signal: float = 0.5
    event: float = 0.5
    event_signal: float = 0.25
    teacher: float = 1.0
    event_teacher: float = 0.5
    consistency: float = 0.0


@dataclass(frozen=True)
class Weights:
    """Factors of a sentence's part in the losses: those of its source in all of them, that of its label in the loss of the direction.

    A factor of 2 doubles what the sentence adds to a loss, 0 makes it add nothing; the divisor counts every sentence, whatever its factor.
    """

    corpus: float = 1.0
    standoff: float = 1.0
    plv: float = 1.0
    cameo: float = 1.0
    ngec: float = 1.0
    ag: float = 1.0
    own: float = 1.0
    unlabelled: float = 1.0
    varied: float = 1.0
    escalation: float = 1.0
    de_escalation: float = 1.0
    mixed: float = 1.0
    neutral: float = 1.0


@dataclass(frozen=True)
class Config:
    """A training run.

    Attributes:
        name: of the model; also the folder under `models/` that the export writes.
        version: of the model.
        encoder: a Hugging Face name, a path, or `python:PACKAGE` (see `training.network.resolve_encoder`).
        start: trained weights to go on from: a shipped model's name, a model folder, a run folder or a .safetensors file; empty begins at the encoder.
        data: labelled files of your own (see `training/own.py`).
        only_own: leaves the project's articles and the public corpora out.
        columns: columns of `data` to the names that they stand for, such as `{"headline": "text"}`.
        labels: values of the column `label` to the codebook's, such as `{"1": "escalation"}`.
        lessons: what a larger model said of the training text (`training/lessons.py`), to learn from too; empty without.
        event_lessons: the same of the event that each sentence tells.
        agreeing_lessons: whether `lessons` are left out where their pooled direction contradicts the sentence's label.
        max_tokens: of a window, the two special ones included.
        epochs: passes over the sources.
        patience: epochs without a better dev figure `steer` after which the run ends; 0 never ends it early.
        batch_tokens: padded tokens of a micro-batch.
        accumulate: micro-batches of a step, over all processes; the number of processes changes the time, not the step.
        learning_rate: peak rate of the encoder (AdamW; Loshchilov and Hutter 2019), linear warm-up and decay.
        head_rate: peak rate of the linear layer.
        warmup: share of the steps over which the rate rises.
        weight_decay: of AdamW.
        dropout: before the linear layer.
        clip: largest norm of the gradient.
        seed: of everything random.
        layers: layers of the encoder that are kept, evenly spread, for a smaller and faster model; 0 keeps all.
        frozen_layers: layers of those kept, from the bottom, that keep their pretrained weights (the word embeddings too, where above 0).
        compile: whether to compile the network (torch.compile): slow first steps, faster ones later on a GPU.
        tf32: whether a GPU may multiply float32 in TF32 (about three decimal digits).
        name_draws: draws of names for the corpus' slots that the epochs take in turn; 0 draws new names for each.
        single_share: share of the corpus' articles that an epoch shows sentence by sentence instead of in windows.
        checkpoint_steps: steps between checkpoints.
        sources: see `SourceDraws`.
        losses: see `LossWeights`.
        weights: see `Weights`.
        desks: desks of the corpus to how often an epoch shows their articles, each time with other names, such as `{"briefs": 3}`; 0 leaves a desk out, the
            others are shown once.
    """

    name: str = "newswire-en"
    version: str = "0.1.0"
    encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    start: str = ""
    data: tuple[str, ...] = ()
    only_own: bool = False
    lessons: str = ""
    event_lessons: str = ""
    agreeing_lessons: bool = False
    max_tokens: int = 128
    epochs: int = 6
    patience: int = 0
    batch_tokens: int = 2048
    accumulate: int = 1
    learning_rate: float = 1e-4
    head_rate: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.1
    clip: float = 1.0
    seed: int = 1
    layers: int = 0
    frozen_layers: int = 0
    compile: bool = False
    tf32: bool = True
    name_draws: int = 0
    single_share: float = 0.3
    checkpoint_steps: int = 100
    sources: SourceDraws = field(default_factory=SourceDraws)
    losses: LossWeights = field(default_factory=LossWeights)
    weights: Weights = field(default_factory=Weights)
    columns: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    desks: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and TOML."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


NESTED = {"sources": SourceDraws, "losses": LossWeights, "weights": Weights}
TABLES = (*NESTED, "columns", "labels", "desks")
POSITIVE = ("max_tokens", "epochs", "batch_tokens", "accumulate", "learning_rate", "head_rate", "clip", "checkpoint_steps")
NOT_NEGATIVE = ("patience", "name_draws", "weight_decay", "seed", "layers", "frozen_layers")
SHARES = ("warmup", "dropout", "single_share")
MIN_TOKENS = 16  # a window that holds less than a short sentence


def unknown_key(where: str, key: str, known: Sequence[str]) -> ValueError:
    """The error for a name that is not there; it names the nearest."""
    return ValueError(f"{where}: unknown key {key!r}; did you mean {difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]!r}?")


def read_value(kind: str, value: Any) -> Any:
    """A value as a field of the type `kind` holds it, or a ValueError that names the type."""
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "tuple[str, ...]" and isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if kind == "dict[str, str]" and isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return dict(value)
    if kind == "dict[str, int]" and isinstance(value, dict) and all(type(item) is int and item >= 0 for item in value.values()):
        return dict(value)
    if isinstance(value, bool):
        raise ValueError(kind)
    if kind == "float" and isinstance(value, (int, float)):
        return float(value)
    if (kind, type(value)) in (("int", int), ("str", str)):
        return value
    described = {"tuple[str, ...]": "a list of text", "dict[str, str]": "a table of text", "dict[str, int]": "a table of whole numbers from 0 on"}
    raise ValueError(described.get(kind, kind))


def build(cls: type, values: dict[str, Any], where: str) -> Any:
    """Makes a configuration of a dict, checking names and types.

    Raises:
        ValueError: an unknown name (the nearest known one is named), or a value of another type.
    """
    known = {item.name: item for item in fields(cls)}
    result = {}
    for key, value in values.items():
        if key not in known:
            raise unknown_key(where, key, list(known))
        if key in NESTED:
            if not isinstance(value, dict):
                raise ValueError(f"{where}: {key} must be a table, got {value!r}")
            result[key] = build(NESTED[key], value, f"{where} [{key}]")
            continue
        try:
            result[key] = read_value(str(known[key].type), value)
        except ValueError as error:
            raise ValueError(f"{where}: {key} must be {error}, got {value!r}") from None
    return cls(**result)


def check_ranges(config: Config, where: str) -> Config:
    """The configuration, if every value is in its range.

    Raises:
        ValueError: one is not; the message names key, rule and value.
    """
    # Written as "not inside", so that NaN, which TOML knows, is outside of everything.
    for name in POSITIVE:
        if not 0 < getattr(config, name) < math.inf:
            raise ValueError(f"{where}: {name} must be above 0, got {getattr(config, name)}")
    for name in NOT_NEGATIVE:
        if not 0 <= getattr(config, name) < math.inf:
            raise ValueError(f"{where}: {name} must be at least 0, got {getattr(config, name)}")
    for name in SHARES:
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"{where}: {name} must be within 0 and 1, got {getattr(config, name)}")
    for table in NESTED:
        for name, value in asdict(getattr(config, table)).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{where} [{table}]: {name} must be at least 0, got {value}")
    if config.max_tokens < MIN_TOKENS:
        raise ValueError(f"{where}: max_tokens must be at least {MIN_TOKENS}, got {config.max_tokens}")
    return config


def read_config(path: Path) -> Config:
    """Reads a TOML file.

    Raises:
        ValueError: not TOML, an unknown key, a wrong type or range; the message names file, key and value.
        FileNotFoundError: no such file.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is no file; the configurations that come with the project lie in training/configs") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    return check_ranges(build(Config, values, str(path)), str(path))


def override(config: Config, settings: Sequence[str]) -> Config:
    """Applies `key=value` settings, such as `epochs=2` or `sources.ngec=0`.

    Raises:
        ValueError: not `key=value`, an unknown key, or a value of another type or out of range.
    """
    values = config.to_dict()
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value, got {setting!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *tables, last = key.split(".", 1)
        if tables and tables[0] not in TABLES:
            raise unknown_key("--set", tables[0], TABLES)
        (values[tables[0]] if tables else values)[last] = value
    return check_ranges(build(Config, values, "--set"), "--set")


def read_pairs(settings: Sequence[str], option: str) -> dict[str, str]:
    """`YOURS=NAME` settings as a table.

    Raises:
        ValueError: not of that form.
    """
    pairs = [setting.rpartition("=") for setting in settings]
    if wrong := [setting for setting, (yours, _, name) in zip(settings, pairs, strict=True) if not yours or not name]:
        raise ValueError(f"{option} takes YOURS=NAME, got {wrong[0]!r}")
    return {yours: name for yours, _, name in pairs}


def check_unlabelled(config: Config, corpora: Path | None) -> None:
    """Raises a ValueError where text without labels is asked for and could teach nothing."""
    for source in ("unlabelled", "varied"):
        without = {
            "file of lessons, which alone label it; set lessons": config.lessons,
            "folder of public corpora, which hold it; add --corpora FOLDER": source == "varied" or corpora is not None,
            "losses.teacher above 0; raise it": config.losses.teacher,
            f"weights.{source} above 0; raise it": getattr(config.weights, source),
        }
        count = getattr(config.sources, source)
        if count and (missing := [text for text, there in without.items() if not there]):
            raise ValueError(f"sources.{source} is {count}, but there is no {missing[0]}, or set sources.{source} to 0")


def check_options(config: Config, corpora: Path | None) -> None:
    """Raises a ValueError where options contradict each other or would train on nothing."""
    if config.only_own and not config.data:
        raise ValueError("only_own leaves nothing to train on without data of your own; add --data FILE, or drop --only-own")
    if config.only_own and corpora is not None:
        raise ValueError(f"--only-own leaves the public corpora out, but --corpora {corpora} names them; drop one of the two")
    if repeated := [name for name in config.data if config.data.count(name) > 1]:
        raise ValueError(f"data names {repeated[0]!r} twice; give each file once")
    if config.data and not config.sources.own:
        raise ValueError("data is given, but sources.own is 0, so it would never train; raise sources.own, or drop data")
    check_unlabelled(config, corpora)
    if config.event_lessons and not config.losses.event_teacher:
        raise ValueError("event_lessons is given, but losses.event_teacher is 0, so they would teach nothing; raise it, or drop event_lessons")
    if config.agreeing_lessons and not config.lessons:
        raise ValueError("agreeing_lessons says which lessons are heard, but lessons is ''; name a file of them, or drop agreeing_lessons")
    if config.desks and config.only_own:
        raise ValueError("desks says how often the project's articles are shown, but only_own leaves them out; drop one of the two")
    for name, value in (("sources.corpus", config.sources.corpus), ("weights.corpus", config.weights.corpus)):
        if config.desks and not value:
            raise ValueError(f"desks says how often the project's articles are shown, but {name} is 0, so they would teach nothing; raise it, or drop desks")
    if (config.columns or config.labels) and not config.data:
        raise ValueError("columns and labels say how data of your own is read, but there is none; add --data FILE")


def to_toml(config: Config, comments: Mapping[str, str]) -> str:
    """A configuration as TOML, with comments in front; `read_config` reads it back."""
    values = config.to_dict()
    tables = {name: values.pop(name) for name in TABLES}
    lines = [f"# {key}: {value}" for key, value in comments.items()]
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    for name, table in tables.items():
        if table:
            keys = {key: key if name in NESTED else json.dumps(key, ensure_ascii=False) for key in table}
            lines += ["", f"[{name}]", *(f"{keys[key]} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"
