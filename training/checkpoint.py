"""Where a run stands, on disk: one file that a kill can't part, and the names of a run folder's files."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.config import Config, build
from training.network import EvidenceNetwork

CHECKPOINT, STATE, BEST, DATA, STEPS = "checkpoint.safetensors", "state.json", "best.safetensors", "data.json", "steps.jsonl"
CONFIG, RUN = "config.json", "run.json"


@dataclasses.dataclass
class Progress:
    """Where a run stands.

    Attributes:
        epoch: epochs finished.
        step: steps done of the next one.
        done: steps done over all epochs.
        best: the best steer of an epoch.
        stale: epochs since the best.
        history: dev figures of each epoch.
    """

    epoch: int = 0
    step: int = 0
    done: int = 0
    best: float = -1.0
    stale: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def add_epoch(self, figures: dict[str, float], steer: float) -> bool:
        """Ends an epoch with its dev figures; whether it is the best so far (of equals, the later one, though it counts as stale)."""
        self.epoch, self.step = self.epoch + 1, 0
        self.history.append({"epoch": self.epoch, **figures})
        self.stale = 0 if steer > self.best else self.stale + 1
        if steer < self.best:
            return False
        self.best = steer
        return True


def save_atomically(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes safetensors so that a kill leaves either the old file or the new one."""
    part = path.with_suffix(".part")
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, part)
    os.replace(part, path)


def save_checkpoint(folder: Path, network: EvidenceNetwork, optimizer: torch.optim.AdamW, progress: Progress, config: Config) -> None:
    """Writes weights, optimiser state, and where the run stands, in one file: a kill can't part them."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    state_text = json.dumps({"progress": dataclasses.asdict(progress), "config": config.to_dict()})
    tensors["state"] = torch.tensor(list(state_text.encode()), dtype=torch.uint8)
    save_atomically(tensors, folder / CHECKPOINT)
    (folder / STATE).write_text(json.dumps(dataclasses.asdict(progress), indent=1) + "\n", encoding="utf-8")


def check_config(folder: Path, config: Config) -> Progress:
    """Where the run in a folder stands, at the beginning where there is none.

    Raises:
        ValueError: the folder holds a run of another configuration.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return Progress()
    with safe_open(path, framework="pt") as file:
        state = json.loads(bytes(file.get_tensor("state").tolist()).decode())
    found: Config = build(Config, state["config"], str(path))
    if found != config:
        old, new = found.to_dict(), config.to_dict()
        changed = ", ".join(f"{name} ({old[name]!r} there, {new[name]!r} here)" for name in new if old[name] != new[name])
        raise ValueError(f"{folder} holds a run of another configuration: {changed}; choose another --run folder or delete it")
    return Progress(**state["progress"])


def restore_checkpoint(folder: Path, network: EvidenceNetwork, optimizer: torch.optim.AdamW, config: Config) -> Progress:
    """Goes back to the last checkpoint, if there is one.

    Raises:
        ValueError: the folder holds a run of another configuration.
    """
    progress = check_config(folder, config)
    if not (folder / CHECKPOINT).is_file():
        return progress
    tensors = load_file(folder / CHECKPOINT)
    network.load_state_dict({name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")})
    saved: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            saved.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": saved, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def keep_lines(path: Path, count: int) -> None:
    """Cuts a log back to its first `count` lines: what a killed run logged behind its last checkpoint is done again."""
    if path.is_file():
        path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:count]), encoding="utf-8")
