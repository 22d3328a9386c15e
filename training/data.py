"""Labelled text of every kind as one kind of record: items of units, each unit a sentence with the labels that are known of it."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from escalation.evaluation.labelled import QUADS
from escalation.signals import BY_NAME, DE_ESCALATION, ESCALATION, SIGNAL_INDEX, STATUS_INDEX
from training.config import SourceDraws
from training.corpus.fill import fill
from training.corpus.schema import ARTICLES, STANDOFF, Article, Phrase, Sentence, read_articles
from training.corpus.standoff import StandoffUnit, read_unfit, read_units, to_sentence
from training.sources import read_source
from training.splits import choose_split, group, settle


@dataclass(frozen=True)
class Span:
    """A labelled phrase for training.

    `escalation` and `de_escalation` say what it counts as, with its status (codebook section 3): both False for what is seen and not counted.
    """

    start: int
    end: int
    signal: int
    status: int
    escalation: bool
    de_escalation: bool


@dataclass(frozen=True)
class Unit:
    """A sentence and what is known of it; None is unknown.

    Attributes:
        text: the sentence.
        spans: its phrases; None where they were not labelled, empty where there are none.
        escalation: 0 or 1.
        de_escalation: 0 or 1.
        severity: −10 … 10.
        in_scope: codebook section 2.
        event: index of the one gold signal of a PLOVER-coded text.
        quad: index of its quad class in `QUADS`.
    """

    text: str
    spans: tuple[Span, ...] | None = None
    escalation: int | None = None
    de_escalation: int | None = None
    severity: float | None = None
    in_scope: bool | None = None
    event: int | None = None
    quad: int | None = None


@dataclass(frozen=True)
class Item:
    """A text that belongs together: an article, or a lone sentence.

    Attributes:
        id: of the article or row.
        source: one of `SourceDraws`' names.
        split: train, dev or test.
        units: its sentences.
        label: article label of the codebook, where known.
        severity: article severity, where known.
        in_scope: whether the article is in scope, where known.
    """

    id: str
    source: str
    split: str
    units: tuple[Unit, ...]
    label: str | None = None
    severity: float | None = None
    in_scope: bool | None = None


@dataclass(frozen=True)
class Dataset:
    """All items; `articles` are kept as slots, since each epoch fills them with other names; `notes` say what was done that a reader should know.

    `desks` says of desks how often an epoch shows their articles, as `Config.desks` does; of those that it doesn't name, once.
    """

    items: tuple[Item, ...]
    articles: tuple[tuple[Article, str], ...] = field(default=())  # with the split
    notes: tuple[str, ...] = ()
    desks: Mapping[str, int] = field(default_factory=dict)

    def times_shown(self, article: Article) -> int:
        """How often an epoch shows an article of the train part."""
        return self.desks.get(desk_of(article), 1)

    def of_split(self, name: str) -> list[Item]:
        """Items of a split, the corpus' articles filled with one fixed set of names."""
        return [corpus_item(article, found, f"{name}-names") for article, found in self.articles if found == name] + [
            item for item in self.items if item.split == name
        ]

    def draw(self, draws: SourceDraws, seed: int, epoch: int, *, name_draws: int = 0) -> list[Item]:
        """What an epoch shows, shuffled: of each source a random draw of at most so many, the corpus with new names, and with others each time for what of it
        is shown more than once.

        With `name_draws`, the names come round again after so many epochs, so that a teacher can be asked about every sentence beforehand.
        """
        names = f"{seed}/{epoch % name_draws if name_draws else epoch}"
        by_source: dict[str, list[Callable[[], Item]]] = defaultdict(list)
        for article, found in self.articles:
            for again in range(self.times_shown(article) if found == "train" else 0):
                seed_of_names = f"{names}/{again}" if again else names
                by_source["corpus"].append(lambda article=article, seed=seed_of_names: corpus_item(article, "train", seed))  # type: ignore[misc]
        for item in self.items:
            if item.split == "train":
                by_source[item.source].append(lambda item=item: item)  # type: ignore[misc]
        drawn = []
        for source in sorted(by_source):
            makers = by_source[source]
            rng = random.Random(f"{seed}/{epoch}/{source}")  # each its own, so that a draw is the same whatever is drawn of the others
            drawn += rng.sample(makers, min(len(makers), getattr(draws, source)))
        items = [make() for make in drawn]
        random.Random(f"{seed}/{epoch}").shuffle(items)
        return items


def desk_of(article: Article) -> str:
    """The desk that an article of the corpus belongs to: the file that it stands in."""
    return article.id.rpartition("-")[0]


def describe(dataset: Dataset) -> dict[str, dict[str, int]]:
    """How many texts and sentences each source gives to each split; of the corpus also how many an epoch shows, where `Dataset.desks` says so."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for split_name in ("train", "dev", "test"):
        for item in dataset.of_split(split_name):
            counts[item.source][f"{split_name} texts"] += 1
            counts[item.source][f"{split_name} sentences"] += len(item.units)
    if dataset.desks:
        counts["corpus"]["train texts shown"] = sum(dataset.times_shown(article) for article, found in dataset.articles if found == "train")
    return {source: dict(found) for source, found in sorted(counts.items())}


def counted_direction(phrase: Phrase, sentence: Sentence) -> tuple[bool, bool]:
    """What a phrase counts as, in its sentence: (escalation, de-escalation).

    Asserted and hypothetical phrases count for their direction where the sentence has that label. A negated one counts by its meaning (codebook
    section 3): for the other direction where the sentence is labelled so ("no ceasefire was agreed"), else for its own where it alone can be the reason
    (a foiled attack). Historical and figurative ones never count.
    """
    own = BY_NAME[phrase.signal].direction
    labelled = {ESCALATION: bool(sentence.escalation), DE_ESCALATION: bool(sentence.de_escalation)}
    other = DE_ESCALATION if own == ESCALATION else ESCALATION
    explained = {BY_NAME[p.signal].direction for p in sentence.phrases if p.status in ("asserted", "hypothetical")}
    counts = ""
    if phrase.status in ("asserted", "hypothetical"):
        counts = own if labelled[own] else ""
    elif phrase.status == "negated":
        if labelled[other] and other not in explained:
            counts = other
        elif labelled[own] and own not in explained:
            counts = own
        elif labelled[other]:
            counts = other
    return counts == ESCALATION, counts == DE_ESCALATION


def unit_from_sentence(text: str, sentence: Sentence, phrases: tuple[Phrase, ...], **known: Any) -> Unit:
    """A fully labelled unit; `phrases` are those of `sentence`, their offsets counting characters of `text`."""
    spans = tuple(
        Span(filled.start, filled.end, SIGNAL_INDEX[filled.signal], STATUS_INDEX[filled.status], *counted_direction(written, sentence))
        for filled, written in zip(phrases, sentence.phrases, strict=True)
    )
    return Unit(text, spans, sentence.escalation, sentence.de_escalation, sentence.severity, sentence.in_scope, **known)


def corpus_item(article: Article, found: str, seed: str) -> Item:
    """An article of the corpus, filled."""
    units = tuple(unit_from_sentence(filled.text, filled.source, filled.phrases) for filled in fill(article, seed))
    return Item(article.id, "corpus", found, units, article.label, article.severity, article.in_scope)


def standoff_unit(label: StandoffUnit, text: str, **known: Any) -> Unit:
    """Stand-off labels put on the text they are of."""
    sentence = to_sentence(label, text)
    return unit_from_sentence(sentence.text, sentence, sentence.phrases, **known)


def public_units(
    corpora: Path, labels: dict[tuple[str, str], list[StandoffUnit]], unfit: frozenset[str]
) -> list[tuple[str, str, str, tuple[Unit, ...], bool | None]]:
    """Rows of the public corpora as `(source, id, split key, units, in scope)`; stand-off labels are put on where there are any, `unfit` rows are left out."""
    rows: list[tuple[str, str, str, tuple[Unit, ...], bool | None]] = []

    def labelled(corpus: str, row: dict[str, Any], **known: Any) -> tuple[Unit, ...]:
        found = sorted(labels.get((corpus, row["id"]), []), key=lambda label: (label.field != "title", label.start))
        return tuple(standoff_unit(label, row[label.field], **known) for label in found)

    known: dict[str, Any]
    for row in read_source("plv", corpora):
        known = {"event": SIGNAL_INDEX[row["signal"]], "quad": QUADS.index(row["quad"])}
        rows.append(("plv", row["id"], f"plv/{row['id']}", labelled("plv", row, **known) or (Unit(row["text"], **known),), None))
    for name in ("cameo-train", "cameo-test"):
        for row in read_source(name, corpora):
            known = {"quad": QUADS.index(row["quad"]) if row["quad"] else None}
            rows.append(("cameo", row["id"], f"cameo/{row['id']}", labelled(name, row, **known) or (Unit(row["text"], **known),), None))
    for row in read_source("ngec", corpora):
        event = SIGNAL_INDEX[row["signal"]]
        if units := labelled("ngec", row):
            if units[0].text == row["title"]:  # the event is what the title was written from; the text often wanders off it
                units = (dataclasses.replace(units[0], event=event), *units[1:])
            rows.append(("standoff", row["id"], f"ngec/{row['template']}", units, None))
            continue
        lead = row["text"].split("\n")[0][:400].rsplit(" ", 1)[0]
        rows.append(("ngec", row["id"], f"ngec/{row['template']}", (Unit(f"{row['title']}. {lead}", event=event),), None))
    for name in ("bbc", "bbc-train"):
        for row in read_source(name, corpora):
            if units := labelled(name, row):
                rows.append(("standoff", row["id"], f"standoff/{row['id']}", units, None))
    for row in read_source("ag", corpora):
        units = labelled("ag", row)
        if units:
            rows.append(("standoff", row["id"], f"standoff/{row['id']}", units, None))
        elif row["topic"] != "world" and row["id"] not in unfit:
            outside: dict[str, Any] = {"escalation": 0, "de_escalation": 0, "severity": 0, "in_scope": False}
            rows.append(("ag", row["id"], f"ag/{row['id']}", (Unit(row["title"], **outside), Unit(row["text"].strip(), **outside)), False))
    return rows


def own_key(item: Item) -> str:
    """The split key of a text of one's own: made of the text, so that its split stays whatever file or line it stands on."""
    return f"own/{hashlib.sha256(item_text(item).encode()).hexdigest()[:16]}"


def item_text(item: Item) -> str:
    """The whole text of an item."""
    return " ".join(unit.text for unit in item.units)


def load_dataset(corpora: Path | None, *, articles: Path = ARTICLES, standoff: Path = STANDOFF, own: Sequence[Item] = (), only_own: bool = False) -> Dataset:
    """Reads everything there is to train and measure on.

    Args:
        corpora: folder with the public corpora, or None for the project's own articles alone.
        articles: the project's articles.
        standoff: labels of public text.
        own: a user's own texts (`training.own.read_own`), still without a split.
        only_own: whether to leave the project's articles out.

    Raises:
        ValueError: `own` holds too few different texts to train and to measure on.
    """
    written = [] if only_own else list(read_articles(articles))
    rows = []
    if corpora is not None:
        labels: dict[tuple[str, str], list[StandoffUnit]] = defaultdict(list)
        for label in read_units(standoff):
            if not label.second:
                labels[label.corpus, label.row].append(label)
        rows = public_units(corpora, labels, read_unfit(standoff))
    texts = [" ".join(s.text for s in article.sentences) for article in written] + [" ".join(u.text for u in units) for *_, units, _ in rows]
    keys = [f"scenario/{article.scenario}" for article in written] + [key for _, _, key, _, _ in rows]
    shipped = len(texts)
    texts, keys = texts + [item_text(item) for item in own], keys + [own_key(item) for item in own]
    groups = group(texts, keys)  # together, so that no text of one's own trains while its near-duplicate measures
    splits, notes = settle([choose_split(keys[first]) for first in groups], groups, keys, shipped)
    articles_split = tuple(zip(written, splits[: len(written)], strict=True))
    items = []
    for (source, row_id, _, units, in_scope), found in zip(rows, splits[len(written) : shipped], strict=True):
        # The CAMEO test part measures; it never trains.
        found = "test" if row_id.startswith("cameo-test") else found
        items.append(Item(row_id, source, found, units, None, None, in_scope))
    items += [dataclasses.replace(item, split=found) for item, found in zip(own, splits[shipped:], strict=True)]
    return Dataset(tuple(items), articles_split, notes)
