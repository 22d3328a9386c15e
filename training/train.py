"""Trains a model: python -m training.train training/configs/newswire-en.toml --corpora FOLDER --run runs/newswire-en

The loop, top to bottom: draw an epoch (new names in the corpus' slots), cut it into windows, batch by length, step, checkpoint. Killed at any moment, the
same command goes on from the last checkpoint; since everything random depends on seed, epoch and step alone and the generator's state is kept, the result
is that of an unbroken run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from training.batches import collate, make_batches, make_examples
from training.config import Config, read_config
from training.data import Dataset, Item, describe, load_dataset
from training.losses import compute_losses, total_loss
from training.measure import measurable, measure, read_raw
from training.network import EvidenceNetwork, load_encoder, resolve_encoder
from training.reader import NetworkReader

CHECKPOINT, STATE, BEST, DATA, STEPS = "checkpoint.safetensors", "state.json", "best.safetensors", "data.json", "steps.jsonl"
STEER = "steer"  # the dev figure that chooses the best epoch; see training/measure.py


def load_tokenizer(encoder: str) -> tuple[Tokenizer, dict[str, int]]:
    """The encoder's tokenizer and the ids of its special tokens."""
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(resolve_encoder(encoder))
    tokenizer: Tokenizer = loaded.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, {"cls_id": loaded.cls_token_id, "sep_id": loaded.sep_token_id, "pad_id": loaded.pad_token_id}


def make_optimizer(network: EvidenceNetwork, config: Config) -> torch.optim.AdamW:
    """AdamW; no decay on biases and layer norms, the linear layer at its own rate."""
    plain = [p for name, p in network.encoder.named_parameters() if p.ndim > 1]
    bare = [p for name, p in network.encoder.named_parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": plain, "lr": config.learning_rate, "weight_decay": config.weight_decay},
            {"params": bare, "lr": config.learning_rate, "weight_decay": 0.0},
            {"params": list(network.head.parameters()), "lr": config.head_rate, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
    )


def rate_factor(step: int, total: int, warmup: float) -> float:
    """Linear warm-up, then linear decay to 0."""
    rise = max(1, int(warmup * total))
    return (step + 1) / rise if step < rise else max(0.0, (total - step) / max(1, total - rise))


def save_atomically(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes safetensors so that a kill leaves either the old file or the new one."""
    part = path.with_suffix(".part")
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, part)
    os.replace(part, path)


@dataclasses.dataclass
class Progress:
    """Where a run stands."""

    epoch: int = 0
    step: int = 0  # within the epoch
    done: int = 0  # over all epochs
    best: float = -1.0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def save_checkpoint(folder: Path, network: EvidenceNetwork, optimizer: torch.optim.AdamW, progress: Progress, config: Config) -> None:
    """Writes weights, optimiser and generator state, and where the run stands, in one file: a kill can't part them."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["generator"] = torch.get_rng_state()
    state_text = json.dumps({"progress": dataclasses.asdict(progress), "config": config.to_dict()})
    tensors["state"] = torch.tensor(list(state_text.encode()), dtype=torch.uint8)
    save_atomically(tensors, folder / CHECKPOINT)
    (folder / STATE).write_text(json.dumps(dataclasses.asdict(progress), indent=1) + "\n", encoding="utf-8")


def restore_checkpoint(folder: Path, network: EvidenceNetwork, optimizer: torch.optim.AdamW, config: Config) -> Progress:
    """Goes back to the last checkpoint, if there is one.

    Raises:
        ValueError: the folder holds a run of another configuration.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return Progress()
    tensors = load_file(path)
    state = json.loads(bytes(tensors["state"].tolist()).decode())
    if state["config"] != config.to_dict():
        raise ValueError(f"{folder} holds a run of another configuration; choose another --run folder or delete it")
    network.load_state_dict({name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")})
    saved: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            saved.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": saved, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["generator"])
    return Progress(**state["progress"])


def keep_lines(path: Path, count: int) -> None:
    """Cuts a log back to its first `count` lines: what a killed run logged behind its last checkpoint is done again."""
    if path.is_file():
        path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:count]), encoding="utf-8")


class Trainer:
    """A run: everything that the loop needs at hand."""

    def __init__(self, config: Config, dataset: Dataset, folder: Path) -> None:
        torch.manual_seed(config.seed)
        self.config, self.dataset, self.folder = config, dataset, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer, self.special = load_tokenizer(config.encoder)
        self.network = EvidenceNetwork(load_encoder(config.encoder), dropout=config.dropout).to(self.device)
        self.optimizer = make_optimizer(self.network, config)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.dev = measurable(dataset.of_split("dev"))

    def batches(self, epoch: int) -> list[list[Any]]:
        """The batches of an epoch; they depend on seed and epoch alone."""
        seed = f"{self.config.seed}/{epoch}"
        items: list[Item] = self.dataset.draw(self.config.sources, self.config.seed, epoch)
        budget = self.config.max_tokens - 2
        examples = make_examples(items, self.tokenizer, budget=budget, single_share=self.config.single_share, seed=seed)
        return make_batches(examples, self.config.batch_tokens, seed)

    def step(self, examples: list[Any], factor: float) -> dict[str, float]:
        """One optimiser step; the losses by name.

        Raises:
            FloatingPointError: the network gives no numbers any more.
        """
        batch = collate(examples, **self.special).to(self.device)
        self.network.train()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.network(batch.input_ids, batch.attention_mask)
        if not torch.isfinite(logits).all():
            raise FloatingPointError(f"the loss is no number; lower learning_rate (now {self.config.learning_rate}) or clip; the last checkpoint is kept")
        losses = compute_losses(logits, batch)
        loss = total_loss(losses, self.config.losses)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()} | {"loss": float(loss.detach())}

    def run(self) -> Progress:
        """The loop."""
        torch.manual_seed(self.config.seed)
        progress = restore_checkpoint(self.folder, self.network, self.optimizer, self.config)
        keep_lines(self.folder / STEPS, progress.done)
        total = sum(len(self.batches(epoch)) for epoch in range(self.config.epochs))
        with tqdm(total=total, initial=progress.done, unit="step", desc=self.config.name) as bar, (self.folder / STEPS).open("a") as log:
            while progress.epoch < self.config.epochs:
                batches = self.batches(progress.epoch)
                while progress.step < len(batches):
                    started = time.time()
                    losses = self.step(batches[progress.step], rate_factor(progress.done, total, self.config.warmup))
                    progress.step += 1
                    progress.done += 1
                    log.write(json.dumps({"step": progress.done, "seconds": round(time.time() - started, 3), **losses}) + "\n")
                    bar.update()
                    bar.set_postfix(epoch=progress.epoch + 1, loss=f"{losses['loss']:.3f}")
                    if progress.done % self.config.checkpoint_steps == 0:
                        log.flush()
                        save_checkpoint(self.folder, self.network, self.optimizer, progress, self.config)
                self.finish_epoch(progress)
        return progress

    def finish_epoch(self, progress: Progress) -> None:
        """Measures on dev, keeps the best weights, checkpoints."""
        reader = NetworkReader(self.network, self.tokenizer, self.special, self.config.max_tokens)
        figures = measure(self.dev, read_raw(reader, self.dev))
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.history.append({"epoch": progress.epoch, **figures})
        tqdm.write(json.dumps(progress.history[-1]))
        if figures[STEER] >= progress.best:
            progress.best = figures[STEER]
            save_atomically(dict(self.network.state_dict()), self.folder / BEST)
        save_checkpoint(self.folder, self.network, self.optimizer, progress, self.config)


def override(config: Config, settings: list[str]) -> Config:
    """Applies `key=value` settings, such as `epochs=2` or `sources.ngec=0`.

    Raises:
        ValueError: not `key=value`, an unknown key or a value of another type.
    """
    import tomllib

    from training.config import build

    values = config.to_dict()
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value, got {setting!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *tables, last = key.split(".")
        inner = values
        for table in tables:
            inner = inner[table]
        inner[last] = value
    result: Config = build(Config, values, "--set")
    return result


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("config", type=Path, help="a TOML file; see training/config.py")
    parser.add_argument("--corpora", type=Path, help="folder with the public corpora; without it the project's own articles train alone")
    parser.add_argument("--run", type=Path, help="folder of the run (default: runs/NAME)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="overrides a value of the configuration")
    args = parser.parse_args(argv)
    try:
        config = override(read_config(args.config), args.set)
        folder = args.run or Path("runs") / config.name
        folder.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(config, load_dataset(args.corpora), folder)
        (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1) + "\n", encoding="utf-8")
        (folder / DATA).write_text(json.dumps(describe(trainer.dataset), indent=1) + "\n", encoding="utf-8")
        progress = trainer.run()
    except (ValueError, FileNotFoundError, ModuleNotFoundError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{folder / BEST}: best dev {STEER} {progress.best:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
