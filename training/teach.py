"""Asks a larger model about what a smaller one will train on: python -m training.teach TEACHER_RUN CONFIG --corpora FOLDER --to FILE.safetensors

CONFIG is the student's, with `name_draws` above 0 (so that all names are known beforehand) and `lessons` naming FILE. What the teacher says of each token
(`training/lessons.py`) then trains the student beside the labels (`losses.teacher`). `--set` asks about less than the student will see: `name_draws=1` about
the first draw of names alone, `sources.ag=0` about none of that source; the rest trains by its labels. Stopped, the same command goes on from the last part
saved; answers of another teacher in FILE are refused.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from tqdm import tqdm

from escalation.reading import read
from training.checkpoint import BEST
from training.config import Config, build, check_options, override, read_config
from training.data import Dataset, Item
from training.export import load_network
from training.lessons import Lessons, load_lessons, name_of, save_lessons
from training.network import load_tokenizer
from training.own import open_dataset
from training.reader import NetworkReader
from training.sources import file_sum
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


def teach(reader: NetworkReader, items: Sequence[Item], said: Lessons, path: Path) -> None:
    """Reads the items and saves what the teacher says, now and then and at the end."""

    def save() -> None:
        part = path.with_suffix(".part")
        save_lessons(said.to_dict(), part, teacher=said.teacher)
        os.replace(part, path)

    for number, start in enumerate(tqdm(range(0, len(items), BATCH), unit="batch"), 1):
        for reading in read(reader, [[unit.text for unit in item.units] for item in items[start : start + BATCH]]):
            for sentence, (first, last) in zip(reading.sentences, pairwise(reading.bounds), strict=True):
                if said.get(sentence) is None:  # a variant may repeat a sentence between other neighbours: what was said of it among its own stays
                    said.add(name_of(sentence), reading.logits[first:last])
        if number % PART == 0:
            save()
    save()


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.teach", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the teacher's training run")
    parser.add_argument("config", type=Path, help="the student's configuration")
    parser.add_argument("--corpora", type=Path, help="folder with the public corpora, as the student will be given")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="safetensors file to write, or to go on with")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="overrides a value of CONFIG")
    args = parser.parse_args(argv)
    try:
        student = override(read_config(args.config), args.set)
        check_options(student, args.corpora)
        teacher: Config = build(Config, json.loads((args.run / "config.json").read_text(encoding="utf-8")), str(args.run))
        digest = file_sum(args.run / BEST)
        said = load_lessons(args.to) if args.to.is_file() else Lessons(teacher=digest)
        if said.teacher != digest:
            raise ValueError(f"{args.to} holds what another teacher than {args.run} said; remove it, or name another file with --to")
        items = items_to_ask(open_dataset(student, args.corpora), student, said)
        tokenizer, special = load_tokenizer(teacher.encoder)
        teach(NetworkReader(load_network(args.run, teacher), tokenizer, special, teacher.max_tokens), items, said, args.to)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.to}: {len(said)} sentences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
