"""Asks a larger model, or several, about what a smaller one will train on: python -m training.teach TEACHER... CONFIG --corpora FOLDER --to FILE.safetensors

TEACHER is the folder of a training run, a model folder or a shipped model's name; of several the logits are averaged. All must cut text into the word pieces
that the student does, unless they are asked about events. CONFIG is the student's, with `name_draws` above 0 (so that all names are known beforehand) and
`lessons` naming FILE. What the teacher says of each token (`training/lessons.py`) then trains the student beside the labels (`losses.teacher`). With `--events`
it is asked instead which event each sentence tells; the student's `event_lessons` names that FILE, and `losses.event_teacher` is its factor. `--set` asks about
less than the student will see: `name_draws=1` about the first draw of names alone, `sources.ag=0` about none of that source; the rest trains by its labels.
Stopped, the same command goes on from the last part saved; answers of another teacher in FILE are refused.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tqdm import tqdm

from escalation.evidence import EVENT_LOGITS
from escalation.model import Model, encode, find_model
from escalation.reading import Reader, read
from training.checkpoint import BEST
from training.config import Config, check_options, override, read_config
from training.data import Dataset, Item
from training.export import load_network, read_run_config
from training.lessons import EVENTS_TAUGHT, TAUGHT, Lessons, load_lessons, name_of, save_lessons
from training.network import load_tokenizer
from training.own import open_dataset
from training.reader import NetworkReader
from training.sources import file_sum
from training.start import weights_file
from training.vary import SOURCE as VARIED

BATCH = 64  # texts read at once
PART = 20  # batches between saves
SAMPLE = 200  # items whose word pieces are compared


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


def open_teacher(name: str) -> Reader:
    """A run's best network, or a model as it ships, ready to read with.

    Raises:
        FileNotFoundError: neither is there, or the run has not finished an epoch.
        ValueError: the model folder is damaged.
    """
    weights = weights_file(name)
    if weights.name != BEST:
        return Model(find_model(name))
    config = read_run_config(weights.parent)
    tokenizer, special = load_tokenizer(config.encoder)
    return NetworkReader(load_network(weights.parent, config), tokenizer, special, config.max_tokens)


def check_pieces(reader: Reader, name: str, tokenizer: Tokenizer, items: Sequence[Item]) -> None:
    """Looks whether a teacher cuts text into the student's word pieces, on sentences spread over the items.

    Raises:
        ValueError: more than one sentence in a hundred is cut otherwise.
    """
    sentences = [unit.text for item in items[:: max(1, len(items) // SAMPLE)] for unit in item.units]
    pairs = zip(sentences, reader.tokenize(sentences), encode(tokenizer, sentences), strict=True)
    other = [sentence for sentence, theirs, ours in pairs if not np.array_equal(theirs.offsets, ours.offsets)]
    if len(other) > len(sentences) / 100:
        raise ValueError(
            f"{name} cuts {len(other)} of {len(sentences)} sentences into other word pieces than the student, such as {other[0]!r}; "
            "take a teacher of the student's vocabulary"
        )


def say(logits: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """What is kept of a sentence's logits, `(n_tokens, N_LOGITS)`: those of its tokens, or in one row the mean of its event logits; no row without tokens."""
    if columns == EVENTS_TAUGHT:
        return logits[:, EVENT_LOGITS].mean(axis=0, keepdims=True) if len(logits) else logits[:, EVENT_LOGITS]
    return logits[:, :TAUGHT]


def ask(readers: Sequence[Reader], texts: Sequence[Sequence[str]], columns: int = TAUGHT) -> list[list[NDArray[np.float32]]]:
    """What the teachers say of each sentence of some texts, the mean of their logits: `(n_tokens, TAUGHT)` or, of events, `(1, EVENTS_TAUGHT)`.

    Raises:
        ValueError: they cut a sentence into different numbers of word pieces, or a teacher knows no events.
    """
    mean: list[list[NDArray[np.float32]]] = []
    for number, reader in enumerate(readers, 1):
        said = [[say(logits, columns) for logits in np.split(reading.logits, reading.bounds[1:-1])] for reading in read(reader, texts)]
        if any(logits.shape[1] != columns for of_text in said for logits in of_text):
            raise ValueError(f"teacher {number} knows no events; ask one that was trained on texts with a `signal`")
        mean = mean or [[np.zeros_like(logits) for logits in of_text] for of_text in said]
        for text, so_far, new in zip(texts, mean, said, strict=True):
            for index, sentence in enumerate(text):
                if len(new[index]) != len(so_far[index]):
                    raise ValueError(f"teacher {number} cuts {sentence!r} into other word pieces than the first; take teachers of one vocabulary")
                so_far[index] += (new[index] - so_far[index]) / np.float32(number)
    return mean


def teach(readers: Sequence[Reader], items: Sequence[Item], said: Lessons, path: Path) -> None:
    """Reads the items and saves what the teachers say, now and then and at the end.

    A file that holds all of it already is left as it is: a student that was stopped knows it by its sum.
    """

    def save() -> None:
        part = path.with_suffix(".part")
        save_lessons(said.to_dict(), part, teacher=said.teacher, columns=said.columns)
        os.replace(part, path)

    for number, start in enumerate(tqdm(range(0, len(items), BATCH), unit="batch"), 1):
        texts = [[unit.text for unit in item.units] for item in items[start : start + BATCH]]
        for text, answers in zip(texts, ask(readers, texts, said.columns), strict=True):
            for sentence, logits in zip(text, answers, strict=True):
                if said.get(sentence) is None:  # a variant may repeat a sentence between other neighbours: what was said of it among its own stays
                    said.add(name_of(sentence), logits)
        if number % PART == 0:
            save()
    if items or not path.is_file():
        save()


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.teach", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teachers", nargs="+", metavar="TEACHER", help="folder of the teacher's training run, or a model")
    parser.add_argument("config", type=Path, help="the student's configuration, a TOML file")
    parser.add_argument("--corpora", type=Path, help="folder with the public corpora, as the student will be given")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="safetensors file to write, or to go on with")
    parser.add_argument("--events", action="store_true", help="ask which event each sentence tells, for the student's event_lessons")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="overrides a value of CONFIG")
    args = parser.parse_args(argv)
    try:
        student = override(read_config(args.config), args.set)
        check_options(student, args.corpora)
        if len(set(args.teachers)) < len(args.teachers):
            raise ValueError(f"a teacher is named twice in {' '.join(args.teachers)}; name each once")
        digest = "+".join(sorted(file_sum(weights_file(name)) for name in args.teachers))
        columns = EVENTS_TAUGHT if args.events else TAUGHT
        said = load_lessons(args.to, columns) if args.to.is_file() else Lessons(teacher=digest, columns=columns)
        if said.teacher != digest:
            raise ValueError(f"{args.to} holds what another teacher than {' + '.join(args.teachers)} said; remove it, or name another file with --to")
        items = items_to_ask(open_dataset(student, args.corpora), student, said)
        readers = {name: open_teacher(name) for name in args.teachers}
        tokenizer, _ = load_tokenizer(student.encoder)
        for name, reader in readers.items():
            if not args.events:  # of events it says one thing a sentence, whatever its word pieces
                check_pieces(reader, name, tokenizer, items)
        teach(list(readers.values()), items, said, args.to)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.to}: {len(said)} sentences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
