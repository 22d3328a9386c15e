"""Asks a larger model about what a smaller one will train on: python -m training.teach TEACHER... CONFIG --corpora FOLDER --to FILE.safetensors

TEACHER is the folder of a training run, a model folder or a shipped model's name; of several the logits are averaged. All must cut text into the word pieces
that the student does. CONFIG is the student's, with `name_draws` above 0 (so that all names are known beforehand) and `lessons` naming FILE. What the teacher
says of each token (`training/lessons.py`) then trains the student beside the labels (`losses.teacher`). `--set` asks about less than the student will see:
`name_draws=1` about the first draw of names alone, `sources.ag=0` about none of that source; the rest trains by its labels. Stopped, the same command goes on
from the last part saved; answers of another teacher in FILE are refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from escalation.model import Model, find_model
from escalation.reading import Reader, Reading, read
from training.checkpoint import BEST, CONFIG
from training.config import Config, build, check_options, override, read_config
from training.data import Dataset, Item
from training.export import load_network
from training.lessons import Lessons, load_lessons, name_of, save_lessons
from training.network import load_tokenizer
from training.own import open_dataset
from training.reader import NetworkReader
from training.sources import file_sum
from training.start import weights_file
from training.vary import SOURCE as VARIED

BATCH = 64  # texts read at once
PART = 20  # batches between saves


def items_to_ask(dataset: Dataset, config: Config, said: Lessons) -> list[Item]:
    """Every item that the student's epochs show and that the teacher has not been asked about, short ones first, variants after all text as written.

    Raises:
        ValueError: the names change with every epoch, so that there is no end of items.
    """
    if not config.name_draws:
        raise ValueError("name_draws is 0: every epoch has new names, and a teacher can't be asked about all of them; set it to 1 or more")
    found: dict[tuple[str, ...], Item] = {}
    for epoch in range(config.epochs):
        for item in dataset.draw(config.sources, config.seed, epoch, name_draws=config.name_draws):
            found.setdefault((item.id, *(unit.text for unit in item.units)), item)
    new = [item for item in found.values() if any(said.get(unit.text) is None for unit in item.units)]
    return sorted(new, key=lambda item: (item.source == VARIED, sum(len(unit.text) for unit in item.units)))


def open_teacher(name: str) -> tuple[Reader, str]:
    """A run's best network, or a model as it ships, ready to read with, and the SHA-256 of its weights.

    Raises:
        FileNotFoundError: neither is there, or the run has not finished an epoch.
    """
    weights = weights_file(name)
    if weights.name != BEST:
        return Model(find_model(name)), file_sum(weights)
    run = weights.parent
    config: Config = build(Config, json.loads((run / CONFIG).read_text(encoding="utf-8")), str(run))
    tokenizer, special = load_tokenizer(config.encoder)
    return NetworkReader(load_network(run, config), tokenizer, special, config.max_tokens), file_sum(weights)


def ask(readers: Sequence[Reader], texts: Sequence[Sequence[str]]) -> list[Reading]:
    """What the teachers say of some texts: the mean of their logits.

    Raises:
        ValueError: they cut a text into different numbers of word pieces.
    """
    readings = read(readers[0], texts)
    for number, reader in enumerate(readers[1:], 2):
        for index, other in enumerate(read(reader, texts)):
            mine = readings[index]
            if not np.array_equal(mine.bounds, other.bounds):
                raise ValueError(f"teacher {number} cuts text into other word pieces than the first: {texts[index][0]!r}; take teachers of one vocabulary")
            readings[index] = dataclasses.replace(mine, logits=mine.logits + (other.logits[:, : mine.logits.shape[1]] - mine.logits) / np.float32(number))
    return readings


def teach(readers: Sequence[Reader], items: Sequence[Item], said: Lessons, path: Path) -> None:
    """Reads the items and saves what the teachers say, now and then and at the end."""

    def save() -> None:
        part = path.with_suffix(".part")
        save_lessons(said.to_dict(), part, teacher=said.teacher)
        os.replace(part, path)

    for number, start in enumerate(tqdm(range(0, len(items), BATCH), unit="batch"), 1):
        for reading in ask(readers, [[unit.text for unit in item.units] for item in items[start : start + BATCH]]):
            for sentence, (first, last) in zip(reading.sentences, pairwise(reading.bounds), strict=True):
                if said.get(sentence) is None:  # a variant may repeat a sentence between other neighbours: what was said of it among its own stays
                    said.add(name_of(sentence), reading.logits[first:last])
        if number % PART == 0:
            save()
    save()


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.teach", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teachers", nargs="+", metavar="TEACHER", help="folder of the teacher's training run, or a model")
    parser.add_argument("config", type=Path, help="the student's configuration")
    parser.add_argument("--corpora", type=Path, help="folder with the public corpora, as the student will be given")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="safetensors file to write, or to go on with")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="overrides a value of CONFIG")
    args = parser.parse_args(argv)
    try:
        student = override(read_config(args.config), args.set)
        check_options(student, args.corpora)
        opened = [open_teacher(name) for name in args.teachers]
        digest = "+".join(digest for _, digest in opened)
        said = load_lessons(args.to) if args.to.is_file() else Lessons(teacher=digest)
        if said.teacher != digest:
            raise ValueError(f"{args.to} holds what another teacher than {' + '.join(args.teachers)} said; remove it, or name another file with --to")
        items = items_to_ask(open_dataset(student, args.corpora), student, said)
        teach([reader for reader, _ in opened], items, said, args.to)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.to}: {len(said)} sentences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
