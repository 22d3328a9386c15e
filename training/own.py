"""Labelled text of your own as items to train on; the shapes that are read stand in `training/README.md` and `escalation/evaluation/labelled.py`.

What the labels imply by the codebook is filled in: a directed sentence is in scope, a neutral one has severity 0 and, in a file that marks phrases, has none
unless it lists some. Nothing else is guessed: what is unknown trains nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from escalation.evaluation.files import read_labelled
from escalation.evaluation.labelled import QUADS, LabelledPhrase, LabelledText, Labels
from escalation.signals import BY_NAME, SIGNAL_INDEX
from training.config import Config, unknown_key
from training.corpus.schema import ARTICLES, Phrase, Sentence
from training.data import Dataset, Item, Unit, load_dataset, unit_from_sentence
from training.unlabelled import add_unlabelled
from training.vary import add_varied

SOURCE = "own"
SHOWN = 5  # faults that an error lists


def to_phrase(phrase: LabelledPhrase, text: str, start: int) -> Phrase:
    """A phrase of the sentence `text`, which begins at `start` of the whole text; without a status it is asserted, as in the project's corpus.

    Raises:
        ValueError: it has no signal.
    """
    first, last = max(0, phrase.start - start), min(len(text), phrase.end - start)
    if phrase.signal is None:
        raise ValueError(f"phrase {text[first:last]!r} has a direction and no signal; a phrase trains by its signal ({', '.join(BY_NAME)})")
    return Phrase(first, last, text[first:last], phrase.signal, phrase.status or "asserted")


def make_unit(text: str, start: int, labels: Labels, phrases: Sequence[LabelledPhrase] | None) -> Unit:
    """A sentence as a unit.

    Args:
        text: the sentence.
        start: where it begins in the whole text.
        labels: its labels.
        phrases: its phrases, offsets into the whole text; None where they are unknown.

    Raises:
        ValueError: labels contradict each other, or phrases stand without the label that says what they count as.
    """
    halves = (labels.escalation, labels.de_escalation)
    directed = 1 in halves
    if directed and labels.in_scope is False:
        raise ValueError("it is labelled out of scope and with a direction; out of scope everything is neutral (codebook section 2)")
    severity = 0.0 if halves == (0, 0) and labels.severity is None else labels.severity
    in_scope = True if directed else labels.in_scope
    # `restrain` is no PLOVER event: it has no place among the events that a text can have been coded with.
    event = labels.signal if labels.signal and BY_NAME[labels.signal].plover else None
    quad = QUADS.index(labels.quad) if labels.quad and labels.signal != "restrain" else None
    known = {"event": SIGNAL_INDEX[event] if event else None, "quad": quad}
    if phrases is None:
        return Unit(text, None, labels.escalation, labels.de_escalation, severity, in_scope, **known)
    if phrases and None in halves:
        raise ValueError("it has phrases and no label; add label (or escalation and de_escalation): it says which of the phrases count")
    written = tuple(to_phrase(phrase, text, start) for phrase in phrases)
    sentence = Sentence(text, labels.escalation or 0, labels.de_escalation or 0, 0, True, 0, written)
    spans = unit_from_sentence(text, sentence, written).spans
    return Unit(text, spans, labels.escalation, labels.de_escalation, severity, in_scope, **known)


def choose_phrases(labels: Labels, whole: Labels, start: int, end: int, *, marked: bool) -> Sequence[LabelledPhrase] | None:
    """The phrases of the sentence at `start:end`: its own, else those of the text that begin in it; none in a neutral one where the file marks phrases."""
    if labels.phrases is not None:
        return labels.phrases
    if whole.phrases is not None:
        return [phrase for phrase in whole.phrases if start <= phrase.start < end]
    return () if marked and (labels.escalation, labels.de_escalation) == (0, 0) else None


def merge(labels: Labels, whole: Labels) -> Labels:
    """The labels of a text's only sentence, those of the text taken where it leaves one open."""
    own = {field.name: getattr(labels, field.name) for field in dataclasses.fields(labels)}
    return dataclasses.replace(whole, **{name: value for name, value in own.items() if value is not None})


def is_labelled(unit: Unit) -> bool:
    """Whether a unit trains anything."""
    return any(value is not None for value in (unit.spans, unit.escalation, unit.de_escalation, unit.severity, unit.in_scope, unit.event, unit.quad))


def to_item(text: LabelledText, name: str, *, marked: bool) -> Item:
    """A labelled text as an item, its split still open. A text without sentences is one unit, however long.

    Args:
        text: as read.
        name: of the item.
        marked: whether the file marks phrases.

    Raises:
        ValueError: its labels contradict each other, or it has none that trains.
    """
    whole = text.labels
    if not text.sentences:
        units = [make_unit(text.text, 0, whole, choose_phrases(whole, whole, 0, len(text.text), marked=marked))]
    else:
        units = []
        for number, sentence in enumerate(text.sentences, 1):
            labels = merge(sentence.labels, whole) if len(text.sentences) == 1 else sentence.labels
            found = choose_phrases(labels, whole, sentence.start, sentence.end, marked=marked)
            try:
                units.append(make_unit(text.text[sentence.start : sentence.end], sentence.start, labels, found))
            except ValueError as error:
                raise ValueError(f"sentence {number}: {error}") from None
    if not any(is_labelled(unit) for unit in units):
        raise ValueError("it has no label that trains: an article's own label measures and calibrates, what trains are the labels of its sentences")
    scope = True if whole.label not in (None, "neutral") else whole.in_scope
    severity = 0.0 if whole.label == "neutral" and whole.severity is None else whole.severity
    complete = bool(text.sentences) and severity is not None and scope is not None  # what measuring articles needs
    return Item(name, SOURCE, "", tuple(units), whole.label if complete else None, severity if complete else None, scope)


def read_own(config: Config) -> list[Item]:
    """The texts of `config.data`.

    Raises:
        ValueError: a file is no labelled file, or labels contradict each other; the message gives file, record and rule.
        FileNotFoundError: there is no such file.
    """
    items, faults, count = [], [], 0
    for number, name in enumerate(config.data):
        try:
            texts = read_labelled(Path(name), column_mapping=config.columns, label_mapping=config.labels)
        except FileNotFoundError:
            raise FileNotFoundError(f"data {name!r} is no file (paths count from the folder that the command is given in)") from None
        marked = any(labels.phrases is not None for text in texts for labels in (text.labels, *(sentence.labels for sentence in text.sentences)))
        for text in texts:
            count += 1
            try:
                items.append(to_item(text, f"own-{number}/{text.id}", marked=marked))
            except ValueError as error:
                faults.append(f"{name}, {text.id}: {error}")
    if faults:
        more = f"\n… and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ValueError("\n".join(faults[:SHOWN]) + more + f"\n{len(faults)} of {count} records can't train; nothing was trained")
    return items


def open_dataset(config: Config, corpora: Path | None) -> Dataset:
    """All that a configuration trains and measures on: the shipped corpora, data of one's own, or both.

    Raises:
        ValueError: `config.desks` names a desk that is not there; or see `read_own` and `training.data.load_dataset`.
        FileNotFoundError: a file is missing.
    """
    known = sorted(path.stem for path in ARTICLES.glob("*.jsonl"))
    for desk in config.desks:
        if desk not in known:
            raise unknown_key("desks", desk, known)
    dataset = dataclasses.replace(load_dataset(corpora, own=read_own(config), only_own=config.only_own), desks=config.desks)
    if config.sources.unlabelled and corpora is not None:
        dataset = add_unlabelled(dataset, corpora)
    return add_varied(dataset, config) if config.sources.varied else dataset
