"""Public text without labels, of which a student hears what its teacher says (`training/lessons.py`): far more kinds of sentence than the labelled ones.

That what a small network is taught with needs no labels is from Hinton, Vinyals and Dean (2015), section 2 ("transfer set").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from escalation.text import split_sentences
from training.corpus.schema import STANDOFF
from training.corpus.standoff import read_units
from training.data import Dataset, Item, Unit
from training.sources import read_source
from training.splits import group

SOURCE = "unlabelled"


def make_item(row_id: str, text: str) -> Item:
    """A text as sentences of which nothing is known."""
    return Item(f"{SOURCE}/{row_id}", SOURCE, "train", tuple(Unit(text[start:end]) for start, end in split_sentences(text)))


def labelled_texts(corpora: Path, standoff: Path) -> list[str]:
    """The BBC articles that have labels, whole."""
    rows = {label.row for label in read_units(standoff) if label.corpus == "bbc"}
    return [row["text"] for row in read_source("bbc", corpora) if row["id"] in rows]


def without_near_duplicates(texts: Sequence[str], of: Sequence[str]) -> list[int]:
    """Numbers of the `texts` that are no near-duplicates of a text of `of`, nor of one that is."""
    groups = group([*of, *texts], [str(number) for number in range(len(of) + len(texts))])
    return [number for number, found in enumerate(groups[len(of) :]) if found >= len(of)]


def add_unlabelled(dataset: Dataset, corpora: Path, *, standoff: Path = STANDOFF) -> Dataset:
    """Adds, to train on, NGEC's articles without phrase labels (those whose template trains) and the BBC's train articles, sentence by sentence.

    Raises:
        FileNotFoundError: a corpus is missing.
        ValueError: it is another version.
    """
    training = {item.id for item in dataset.items if item.source == "ngec" and item.split == "train"}
    items = [make_item(row["id"], f"{row['title']}.\n\n{row['text']}") for row in read_source("ngec", corpora) if row["id"] in training]
    bbc = read_source("bbc-train", corpora)
    kept = without_near_duplicates([row["text"] for row in bbc], labelled_texts(corpora, standoff))
    items += [make_item(bbc[number]["id"], bbc[number]["text"]) for number in kept]
    return dataclasses.replace(dataset, items=(*dataset.items, *(item for item in items if item.units)))
