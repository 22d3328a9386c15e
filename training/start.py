"""Weights to go on from: those of a shipped model, of a model folder, of a run, or a .safetensors file.

A model folder holds its weights only as ONNX, for the shipped ones in int8. They are read out of the graph: what keeps its name is taken by its name, and the
matrix of a linear layer, which the exporter renames and transposes, by the bias that is added behind it. Int8 values are turned back into the numbers that they
stand for, so nothing is lost that the shipped model still had. Then both are run on the same text: they must agree.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from escalation.calibration import Calibration
from escalation.model import MODEL_FILE, TOKENIZER_FILE, available_cores, check_integrity, find_model, open_session, read_config
from escalation.screen import Screen, load_screen
from training.checkpoint import BEST, CHECKPOINT, CONFIG, DATA, RUN
from training.config import Config
from training.network import EvidenceNetwork, cut_layers, layers_of, pad_head
from training.smooth import undo_smoothing

# Root mean square of the difference of the logits over the standard deviation of the logits. Measured on newswire-en: 0.04, since int8 rounds the activations
# too; with any two matrices of equal shape exchanged 0.19 and more.
INT8_NOISE = 0.1
FP32_NOISE = 1e-3
NOT_KEPT = "(version not kept)"
QUANTIZED = "_quantized"
REACH = 8  # nodes between a matrix and the bias that is added behind it, at most: product, cast, two scales
TEXTS = (
    "Recalled its ambassador, the ministry said on Monday.",
    "The army shelled three villages near the river, and two soldiers were killed.",
    "Both sides agreed to a ceasefire; the minister spoke of a measured response and no wish for war.",
    "The striker scored twice in the second half.",
    "Analysts fear a wider war if the talks fail.",
)


@dataclass(frozen=True)
class Start:
    """Where weights lie: `kind` is `model` (a folder with ONNX) or `weights` (a .safetensors file)."""

    kind: str
    path: Path


def find_start(start: str) -> Start:
    """Resolves what `Config.start` names.

    Raises:
        FileNotFoundError: nothing of the kind is there, or the run has not finished an epoch.
    """
    path = Path(start)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise FileNotFoundError(f"start {start!r} is no file; give a .safetensors file, a run folder, a model folder or a shipped model's name")
        return Start("weights", path)
    if (path / BEST).is_file():
        return Start("weights", path / BEST)
    if (path / CHECKPOINT).is_file():
        raise FileNotFoundError(f"start {start!r} is a run that has not finished an epoch: it holds no {BEST}; let it train on first")
    return Start("model", find_model(start))


def weights_file(start: str) -> Path:
    """The file that holds the weights of `Config.start`.

    Raises:
        FileNotFoundError: it is not there.
    """
    found = find_start(start)
    path = found.path / MODEL_FILE if found.kind == "model" else found.path
    if not path.is_file():
        raise FileNotFoundError(f"{start} holds neither {MODEL_FILE}, as a model does, nor {BEST}, as a run does that has finished an epoch")
    return path


def start_model(start: str) -> Path | None:
    """The model folder that `Config.start` goes back to: a model's own, a run's that of what it began with; None where there is none."""
    if not start:
        return None
    found = find_start(start)
    if found.kind == "model":
        return found.path
    return start_model(read_json(found.path.parent / CONFIG).get("start", ""))


def trace_start(start: str) -> list[dict[str, Any]]:
    """What `Config.start` goes back to, models and runs.

    Returns:
        The nearest first: `name`, `version` and, where its folder says so, the `data` that it drew on, by source. Nothing for no start and for a file of
        weights alone, whose folder may be another's. What a run began with that kept no record of it is there by name, its version `NOT_KEPT`.

    Raises:
        FileNotFoundError: there is no such start.
        ValueError: a model's folder is damaged, or a record is no JSON.
    """
    if not start:
        return []
    found = find_start(start)
    if found.kind == "model":
        model, figures = check_integrity(found.path), read_json(found.path / "metrics.json")
        return [{"name": model["name"], "version": model["version"], "data": figures.get("data", {})}, *figures.get("before", [])]
    config, run = (read_json(found.path.parent / name) for name in (CONFIG, RUN))
    if found.path.name != BEST or not {"name", "version", "sources"} <= config.keys():
        return []
    data = {source: counts for source, counts in read_json(found.path.parent / DATA).items() if config["sources"].get(source)}
    earlier = [{"name": config["start"], "version": NOT_KEPT, "data": {}}] if config.get("start") else []
    return [{"name": config["name"], "version": config["version"], "data": data}, *run.get("before", earlier)]


def read_json(path: Path) -> dict[str, Any]:
    """What a file holds; nothing where there is none.

    Raises:
        ValueError: it is no JSON.
    """
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def start_calibration(start: str) -> Calibration | None:
    """The calibration of the model that `Config.start` goes back to; None where there is none."""
    folder = start_model(start)
    return read_config(check_integrity(folder), folder).calibration if folder else None


def start_screen(start: str) -> Screen | None:
    """The screen of the model that `Config.start` goes back to; None where there is none."""
    folder = start_model(start)
    settings = read_config(check_integrity(folder), folder).screen if folder else None
    return load_screen(folder, settings) if folder and settings else None


def read_onnx(path: Path) -> tuple[dict[str, Tensor], bool]:
    """The weights in an ONNX file that `training.export` wrote, by their names in the network, and whether they are int8 turned back."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    values: dict[str, NDArray[Any]] = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    state = {}
    for name in values:
        base = name.removesuffix(QUANTIZED)
        if base != name:
            value = (values[name].astype(np.float32) - values[f"{base}_zero_point"].astype(np.float32)) * values[f"{base}_scale"].astype(np.float32)
        else:
            value = values[name]
        if base.startswith(("encoder.", "head.")):
            state[base] = torch.from_numpy(np.array(value))
        elif value.ndim == 2 and (bias := find_bias(name, readers, values)):
            state[bias.removesuffix("bias") + "weight"] = torch.from_numpy(np.ascontiguousarray(value.T))  # (in, out) to torch's (out, in)
    return undo_smoothing(state), any(name.endswith(QUANTIZED) for name in values)


def find_bias(name: str, readers: dict[str, list[Any]], values: dict[str, NDArray[Any]]) -> str | None:
    """The named bias that is added to the product with the matrix `name`; None where there is none near."""
    outputs = [name]
    for _ in range(REACH):
        nodes = [node for output in outputs for node in readers.get(output, [])]
        biases = [given for node in nodes if node.op_type in ("Add", "Gemm") for given in node.input if given in values and given.endswith(".bias")]
        if biases:
            return str(biases[0])
        outputs = [output for node in nodes for output in node.output]
    return None


def put_weights(network: EvidenceNetwork, state: dict[str, Tensor], start: str, encoder: str) -> None:
    """Puts weights into the network.

    Raises:
        ValueError: some are missing, unknown or of another shape.
    """
    own = network.state_dict()
    state = {name: value for name, value in state.items() if name in own or name.endswith("weight") or name.endswith("bias")}  # buffers are no weights
    wrong = [f"{name} is missing" for name in own if name not in state] + [f"{name} is unknown" for name in state if name not in own]
    wrong += [f"{n} is {tuple(state[n].shape)}, not {tuple(own[n].shape)}" for n in own if n in state and state[n].shape != own[n].shape]
    if wrong:
        remedy = "set encoder to the one that it was trained with (the key encoder of its train.toml or config.json)"
        raise ValueError(f"start {start!r} does not fit encoder {encoder!r}: {wrong[0]} ({len(wrong)} such differences); {remedy}")
    network.load_state_dict(state)


def put_cut(network: EvidenceNetwork, state: dict[str, Tensor], config: Config) -> None:
    """Puts weights into the network, which is cut to as many layers as they have where that is what `config.layers` asks for; else it is cut later.

    Raises:
        ValueError: the weights have fewer layers than the network, and `config.layers` says otherwise; or see `put_weights`.
    """
    held = len({name.split(".layer.")[1].split(".")[0] for name in state if ".layer." in name})
    whole = layers_of(network.encoder)
    if held and whole is not None and held < len(whole):
        if config.layers != held:
            wanted = config.layers or "all"
            raise ValueError(f"start {config.start!r} has {held} layers, the configuration keeps {wanted} of {len(whole)}; set layers = {held}")
        cut_layers(network.encoder, held)
    put_weights(network, pad_head(state), config.start, config.encoder)


@torch.no_grad()
def compare(network: EvidenceNetwork, model: Path, tokenizer: Tokenizer, special: dict[str, int]) -> float:
    """How far network and ONNX file are apart on a few sentences: root mean square of the difference of the logits over their standard deviation."""
    session = open_session(model, available_cores())
    device = next(network.parameters()).device
    network.eval()
    theirs, ours = [], []
    for text in TEXTS:
        ids = np.array([[special["cls_id"], *tokenizer.encode(text, add_special_tokens=False).ids, special["sep_id"]]], dtype=np.int64)
        theirs.append(session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0])
        given = torch.from_numpy(ids).to(device)
        ours.append(network(given, torch.ones_like(given)).float().cpu().numpy()[..., : theirs[-1].shape[-1]].ravel())
    a, b = (np.concatenate([values.ravel() for values in side]).astype(np.float64) for side in (theirs, ours))
    return float(np.sqrt(((a - b) ** 2).mean()) / a.std())


def load_start(network: EvidenceNetwork, config: Config, tokenizer: Tokenizer, special: dict[str, int]) -> None:
    """Puts the weights that `config.start` names into the network.

    Raises:
        FileNotFoundError: they are not there.
        ValueError: they are of another architecture or vocabulary, or the network does not compute what the model does.
    """
    found = find_start(config.start)
    if found.kind == "weights":
        put_cut(network, load_file(found.path), config)
        return
    check_integrity(found.path)
    if Tokenizer.from_file(str(found.path / TOKENIZER_FILE)).get_vocab() != tokenizer.get_vocab():
        raise ValueError(f"start {config.start!r} has another vocabulary than encoder {config.encoder!r}; set encoder to the one in its train.toml")
    state, int8 = read_onnx(found.path / MODEL_FILE)
    put_cut(network, state, config)
    distance = compare(network, found.path / MODEL_FILE, tokenizer, special)
    allowed = INT8_NOISE if int8 else FP32_NOISE
    if not distance <= allowed:
        raise ValueError(
            f"start {config.start!r}: the network with its weights differs from {MODEL_FILE} by {distance:.3g} of the logits' spread (allowed: {allowed}); "
            f"encoder {config.encoder!r} is not the architecture that it was trained with, or its graph is none that training.export writes"
        )
