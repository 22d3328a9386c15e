"""Public text without labels, of which a student hears what its teacher says (`training/lessons.py`): far more kinds of sentence than the labelled ones.

That what a small network is taught with needs no labels is from Hinton, Vinyals and Dean (2015), section 2 ("transfer set").
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from escalation.text import split_sentences
from training.config import Config, SourceDraws
from training.corpus.duplicates import find_straddling
from training.corpus.schema import STANDOFF
from training.corpus.standoff import read_units
from training.data import Dataset, Item, Unit, item_text
from training.lessons import Lessons
from training.sources import read_source
from training.vary import SOURCE as VARIED

SOURCE = "unlabelled"
BBC = ("bbc", "bbc-train")


def make_item(row_id: str, text: str) -> Item:
    """A text as sentences of which nothing is known."""
    return Item(f"{SOURCE}/{row_id}", SOURCE, "train", tuple(Unit(text[start:end]) for start, end in split_sentences(text)))


def labelled_articles(corpora: Path, standoff: Path) -> dict[str, str]:
    """The BBC articles of which some sentences have labels, whole, by id."""
    rows = {label.row for label in read_units(standoff) if label.corpus in BBC}
    return {row["id"]: row["text"] for name in BBC for row in read_source(name, corpora) if row["id"] in rows}


def add_unlabelled(dataset: Dataset, corpora: Path, *, standoff: Path = STANDOFF) -> Dataset:
    """Adds, to train on, NGEC's articles without phrase labels (those whose template trains) and the BBC's train articles without labels, sentence by
    sentence.

    Near-duplicates of what measures, in any source, are left out.

    Raises:
        FileNotFoundError: a corpus is missing.
        ValueError: it is another version.
    """
    training = {item.id for item in dataset.items if item.source == "ngec" and item.split == "train"}
    texts = {row["id"]: f"{row['title']}.\n\n{row['text']}" for row in read_source("ngec", corpora) if row["id"] in training}
    labelled = labelled_articles(corpora, standoff)
    texts |= {row["id"]: row["text"] for row in read_source("bbc-train", corpora) if row["id"] not in labelled}
    measuring = [item_text(item) for split in ("dev", "test") for item in dataset.of_split(split)] + list(labelled.values())
    near = find_straddling([*((str(n), "measures", text) for n, text in enumerate(measuring)), *((name, "train", text) for name, text in texts.items())])
    unfit = {name for _, _, name, _ in near}
    items = (make_item(name, text) for name, text in texts.items() if name not in unfit)
    return dataclasses.replace(dataset, items=(*dataset.items, *(item for item in items if item.units)))


def check_asked(dataset: Dataset, config: Config, lessons: Lessons) -> None:
    """Raises a ValueError where there are sentences without labels that the teacher was not asked about: they would train nothing."""
    taught = {SOURCE: config.sources.unlabelled, VARIED: config.sources.varied}
    draws = SourceDraws(**dict.fromkeys((item.name for item in dataclasses.fields(SourceDraws)), 0) | taught)
    texts = {unit.text for epoch in range(config.epochs) for item in dataset.draw(draws, config.seed, epoch) for unit in item.units}
    if missing := sum(lessons.get(text) is None for text in texts):
        remedy = "ask the teacher about this very configuration (python -m training.teach), or set sources.unlabelled and sources.varied to 0"
        raise ValueError(f"{missing} of {len(texts)} sentences without labels have no lessons in {config.lessons}; {remedy}")


def check_events_asked(dataset: Dataset, config: Config, lessons: Lessons) -> None:
    """Raises a ValueError where the teacher of events was asked about nothing of the first epoch: its file belongs to other text."""
    items = dataset.draw(config.sources, config.seed, 0, name_draws=config.name_draws)
    if all(lessons.get(unit.text) is None for item in items for unit in item.units):
        remedy = "ask about it with python -m training.teach --events, or set event_lessons to ''"
        raise ValueError(f"{config.event_lessons} holds no sentence of this training text; {remedy}")
