"""Trains a model: python -m training.train training/configs/newswire-en.toml --corpora FOLDER --run runs/newswire-en

The loop, top to bottom: draw an epoch (new names in the corpus' slots), cut it into windows, batch by length, step, checkpoint. Killed at any moment, the
same command goes on from the last checkpoint; since everything random depends on seed, epoch and step alone, the result is that of an unbroken run. Several
processes (torchrun --nproc-per-node N -m training.train …) share the micro-batches of each step out and take the very steps that one would.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from training.batches import Example, collate, make_batches, make_examples
from training.checkpoint import BEST, CHECKPOINT, CONFIG, DATA, Progress, check_config, restore_checkpoint, save_atomically, save_checkpoint
from training.config import Config, LossWeights, check_options, override, read_config, read_pairs
from training.data import Dataset, Item, describe
from training.dev import STEER, measure_dev
from training.distributed import Processes, join_processes
from training.journal import Journal
from training.lessons import EVENTS_TAUGHT, load_lessons
from training.losses import average_losses, total_loss
from training.measure import measurable, read_raw
from training.network import EvidenceNetwork, cut_layers, freeze_layers, load_encoder, load_tokenizer
from training.optimizer import make_optimizer, rate_factor
from training.own import open_dataset
from training.provenance import write_run
from training.reader import NetworkReader
from training.start import load_start
from training.unlabelled import check_asked, check_events_asked

LOSSES = tuple(item.name for item in dataclasses.fields(LossWeights))


class Trainer:
    """A run: everything that the loop needs at hand."""

    def __init__(self, config: Config, dataset: Dataset, folder: Path, processes: Processes | None = None) -> None:
        """Loads the encoder, or the weights to start from.

        Raises:
            ValueError: values of the configuration that don't fit the encoder or the processes.
            FileNotFoundError: there is nothing to start from.
        """
        self.config, self.dataset, self.folder, self.processes = config, dataset, folder, processes or Processes()
        if config.accumulate < self.processes.world:
            raise ValueError(f"{self.processes.world} processes share {config.accumulate} micro-batches a step; set accumulate to a multiple of the processes")
        torch.manual_seed(config.seed)
        self.device = self.processes.device()
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
        self.bfloat16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.tokenizer, self.special = load_tokenizer(config.encoder)
        encoder = load_encoder(config.encoder)
        if config.max_tokens > (longest := encoder.config.max_position_embeddings):  # type: ignore[union-attr, operator]
            raise ValueError(f"max_tokens is {config.max_tokens}, but encoder {config.encoder!r} reads {longest} at most; lower it")
        self.network = EvidenceNetwork(encoder, dropout=config.dropout)
        if config.start and not (folder / CHECKPOINT).is_file():
            load_start(self.network, config, self.tokenizer, self.special)
        cut_layers(encoder, config.layers)
        freeze_layers(encoder, config.frozen_layers)
        self.network.to(self.device)
        self.forward = torch.compile(self.network, dynamic=True) if config.compile else self.network
        self.optimizer = make_optimizer(self.network, config)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.dev = measurable(dataset.of_split("dev"))
        self.lessons = load_lessons(Path(config.lessons)) if config.lessons else None
        self.event_lessons = load_lessons(Path(config.event_lessons), EVENTS_TAUGHT) if config.event_lessons else None
        if self.lessons is not None:
            check_asked(dataset, config, self.lessons)
        if self.event_lessons is not None:
            check_events_asked(dataset, config, self.event_lessons)

    def batches(self, epoch: int) -> list[list[list[Example]]]:
        """The steps of an epoch, each a list of micro-batches; they depend on seed and epoch alone.

        Raises:
            ValueError: there is nothing to train on.
        """
        seed = f"{self.config.seed}/{epoch}"
        items: list[Item] = self.dataset.draw(self.config.sources, self.config.seed, epoch, name_draws=self.config.name_draws)
        budget = self.config.max_tokens - 2
        examples = make_examples(items, self.tokenizer, budget=budget, single_share=self.config.single_share, seed=seed, weights=self.config.weights)
        if not examples:
            raise ValueError("the train part is empty; give data, or raise the numbers in [sources]")
        parts = make_batches(examples, self.config.batch_tokens, seed)
        return [parts[first : first + self.config.accumulate] for first in range(0, len(parts), self.config.accumulate)]

    def step(self, parts: list[list[Example]], factor: float, number: int = 0) -> dict[str, float]:
        """One optimiser step: the mean of the losses of its micro-batches.

        Args:
            parts: the micro-batches, over all processes.
            factor: of the peak rate.
            number: of the step; what is random in it depends on this.

        Returns:
            The losses by name.

        Raises:
            FloatingPointError: the network gives no numbers any more; its weights are left as they were.
        """
        self.network.train()
        self.optimizer.zero_grad()
        sums = torch.zeros(len(LOSSES) + 1, device=self.device)
        for index in self.processes.share(len(parts)):
            torch.manual_seed(random.Random(f"{self.config.seed}/{number}/{index}").getrandbits(63))  # the same dropout, whichever process takes the part
            batch = collate(
                parts[index], **self.special, lessons=self.lessons, event_lessons=self.event_lessons, agreeing=self.config.agreeing_lessons,
                weights=self.config.weights,
            ).to(self.device)  # fmt: skip
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
                passes = [self.forward(batch.input_ids, batch.attention_mask) for _ in range(2 if self.config.losses.consistency else 1)]
            for logits in passes:
                self.check_numbers(logits, number)
            losses = average_losses(passes, batch)
            loss = total_loss(losses, self.config.losses)
            (loss / len(parts)).backward()  # type: ignore[no-untyped-call]
            sums += torch.stack([*(losses[name] for name in LOSSES), loss]).detach() / len(parts)
        self.processes.sum_gradients(self.network)
        values = dict(zip((*LOSSES, "loss"), self.processes.sum(sums).tolist(), strict=True))
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.check_numbers(norm, number)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.step()
        return values

    def check_numbers(self, values: Tensor, number: int) -> None:
        """Raises a FloatingPointError at step `number` if there is a value that is no number; the losses themselves would stop with less to go on."""
        if not torch.isfinite(values).all():
            rates = f"learning_rate (now {self.config.learning_rate}), head_rate ({self.config.head_rate})"
            raise FloatingPointError(f"the loss is no number at step {number + 1}; lower {rates} or clip ({self.config.clip}); the last checkpoint is kept")

    def run(self) -> Progress:
        """The loop."""
        config = self.config
        progress = restore_checkpoint(self.folder, self.network, self.optimizer, config)
        lead = self.processes.lead
        with Journal(self.folder, progress, lead=lead) as journal, tqdm(initial=progress.done, unit="step", desc=config.name, disable=not lead) as bar:
            while progress.epoch < config.epochs and not self.is_stale(progress):
                batches = self.batches(progress.epoch)
                bar.total = progress.done - progress.step + len(batches) * (config.epochs - progress.epoch)  # epochs differ a little
                while progress.step < len(batches):
                    started = time.time()
                    done = progress.epoch + progress.step / len(batches)
                    factor = rate_factor(done / config.epochs, 1 / len(batches) / config.epochs, config.warmup)
                    losses = self.step(batches[progress.step], factor, progress.done)
                    progress.step += 1
                    progress.done += 1
                    seconds = round(time.time() - started, 3)
                    journal.add_step(progress.done, done + 1 / len(batches), {**losses, "rate": factor * config.learning_rate, "seconds": seconds})
                    bar.update()
                    bar.set_postfix(epoch=progress.epoch + 1, loss=f"{losses['loss']:.3f}")
                    if progress.done % config.checkpoint_steps == 0:
                        self.save(progress, journal)
                self.finish_epoch(progress, journal)
        return progress

    def is_stale(self, progress: Progress) -> bool:
        """Whether `patience` is at its end."""
        return 0 < self.config.patience <= progress.stale

    def save(self, progress: Progress, journal: Journal) -> None:
        """Checkpoints, in the first process."""
        if self.processes.lead:
            journal.flush()
            save_checkpoint(self.folder, self.network, self.optimizer, progress, self.config)

    def finish_epoch(self, progress: Progress, journal: Journal) -> None:
        """Measures on dev, keeps the best weights, checkpoints."""
        figures: dict[str, float] = {}
        if self.processes.lead:
            reader = NetworkReader(self.network, self.tokenizer, self.special, self.config.max_tokens)
            figures = measure_dev(self.dev, read_raw(reader, self.dev))
        figures = self.processes.share_object(figures)
        best = progress.add_epoch(figures, figures[STEER])
        if self.processes.lead:
            tqdm.write(json.dumps(progress.history[-1]))
            journal.add_epoch(progress.done, figures)
            if best:
                save_atomically(dict(self.network.state_dict()), self.folder / BEST)
        self.save(progress, journal)


def choose_config(args: argparse.Namespace) -> Config:
    """The configuration file with what the command line says on top.

    Raises:
        ValueError: see `training.config`.
        FileNotFoundError: there is no such file.
    """
    config = override(read_config(args.config), args.set)
    given: dict[str, Any] = {
        "data": tuple(name for names in args.data for name in names), "columns": read_pairs(args.column, "--column"),
        "labels": read_pairs(args.label, "--label"), "start": args.start, "only_own": args.only_own,
    }  # fmt: skip
    config = dataclasses.replace(config, **{name: value for name, value in given.items() if value})
    check_options(config, args.corpora)
    return config


def train(config: Config, folder: Path, corpora: Path | None, processes: Processes) -> Progress:
    """Trains, and writes beside the weights what made them."""
    dataset = open_dataset(config, corpora)
    if processes.lead:
        for note in dataset.notes:
            print(f"note: {note}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, dataset, folder, processes)
    if processes.lead:
        check_config(folder, config)
        write_run(folder, config, dataset, corpora, processes)
        (folder / CONFIG).write_text(json.dumps(config.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / DATA).write_text(json.dumps(describe(dataset), indent=1) + "\n", encoding="utf-8")
    return trainer.run()


def is_memory_error(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or on the machine: torch raises a plain RuntimeError for the latter."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="a TOML file; see training/config.py")
    parser.add_argument("--corpora", type=Path, help="folder with the public corpora; without it the project's own articles train alone")
    parser.add_argument("--data", action="append", nargs="+", default=[], metavar="FILE", help="labelled text of your own: .jsonl, .csv, .tsv or .parquet")
    parser.add_argument("--only-own", action="store_true", help="train on --data alone")
    parser.add_argument("--column", action="append", default=[], metavar="YOURS=NAME", help="a column of --data and the name that it stands for")
    parser.add_argument("--label", action="append", default=[], metavar="YOURS=NAME", help="a value of the column label and the codebook's")
    parser.add_argument("--start", default="", help="go on from a shipped model's name, a model folder, a run folder or a .safetensors file")
    parser.add_argument("--run", "--folder", type=Path, help="folder of the run (default: runs/NAME); behind torchrun write --folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="overrides a value of the configuration")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = make_parser().parse_args(argv)
    try:
        config = choose_config(args)
        folder = args.run or Path("runs") / config.name
        with join_processes() as processes:
            progress = train(config, folder, args.corpora, processes)
    except (ValueError, OSError, ModuleNotFoundError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
        remedy = (
            f"halve batch_tokens (now {config.batch_tokens}) and double accumulate (now {config.accumulate}), or lower max_tokens (now {config.max_tokens})"
        )
        print(f"error: out of memory; {remedy}; the last checkpoint is kept, and --start {folder} goes on from its best epoch", file=sys.stderr)
        return 1
    if processes.lead:
        print(f"{folder / BEST}: best dev {STEER} {progress.best:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
