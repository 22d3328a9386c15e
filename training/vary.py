"""Variants of the training text: phrases exchanged for other phrases, words for their neighbours. What each says, a teacher is asked (`training/teach.py`).

A small network knows its labels by heart long before it reads as its teacher does. What it lacks is text on which the two differ, and text with signals is
scarce. A variant keeps the shape of a sentence and changes what it says, often to the contrary; no label of the sentence holds for it, only the lessons do.

Phrases are exchanged as in Dai and Adel's (2020, "An Analysis of Simple Data Augmentation for Named Entity Recognition") mention replacement, words as in
Jiao et al.'s (2020, TinyBERT, section 3.3 and algorithm 1) data augmentation for distillation.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import torch
from tokenizers import Tokenizer

from training.config import Config
from training.data import Dataset, Item, Unit
from training.network import load_encoder, load_tokenizer

SOURCE = "varied"
PHRASE_SHARE = 0.5  # of the phrases that are exchanged
WORD_SHARE = 0.2  # of the words that are: half of TinyBERT's 0.4, for whole sentences of news are to stay readable
NEIGHBOURS = 8  # of a word, half of TinyBERT's 15: the ending must be the same too
SEARCHED = 40  # nearest words among which those with the same ending are looked for
SPACES = ("Ġ", "▁")  # what byte-level BPE and SentencePiece write for the space before a word
WORD = re.compile(r"[A-Za-z]{4,}")
ENDING = re.compile(r"(ed|ing|s|ly)$")

Phrases = Mapping[str, Mapping[int, Sequence[str]]]  # by the ending of the first word, then by signal


def ending(word: str) -> str:
    """The ending that tells a word's form: `attacked` and `signed` share it, `attacked` and `attacking` don't."""
    found = ENDING.search(word.lower())
    return found.group(1) if found else ""


def match_case(new: str, old: str) -> str:
    """`new`, with a capital where `old` begins with one."""
    return new[0].upper() + new[1:] if old[0].isupper() else new


def find_neighbours(tokenizer: Tokenizer, table: torch.Tensor) -> dict[str, tuple[str, ...]]:
    """The words nearest to each word of the vocabulary, by the cosine of the encoder's embeddings, among those with the same ending.

    Args:
        tokenizer: of the encoder; only whole lower-case words of four letters and more are taken. Where a vocabulary marks the space before a word, what
            has no mark is the end of another word.
        table: `(n_vocabulary, n_dimensions)` embeddings.
    """
    vocabulary = tokenizer.get_vocab()
    marked = {token[1:]: number for token, number in vocabulary.items() if token.startswith(SPACES)}
    whole = marked or vocabulary
    words = sorted(word for word in whole if WORD.fullmatch(word) and word.islower())
    unit = torch.nn.functional.normalize(table[[whole[word] for word in words]].detach().float(), dim=1)
    endings = [ending(word) for word in words]
    found: dict[str, tuple[str, ...]] = {}
    for first in range(0, len(words), 1024):
        near = (unit[first : first + 1024] @ unit.T).topk(min(SEARCHED + 1, len(words)), dim=1).indices.tolist()
        for row, others in enumerate(near, first):
            same = [words[other] for other in others if other != row and endings[other] == endings[row]]
            found[words[row]] = tuple(same[:NEIGHBOURS])
    return found


def collect_phrases(units: Iterable[Unit]) -> Phrases:
    """The labelled phrases of some sentences, to be exchanged for each other."""
    found: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for unit in units:
        for span in unit.spans or ():
            text = unit.text[span.start : span.end]
            found[ending(text.split()[0])][span.signal].append(text)
    return {form: dict(by_signal) for form, by_signal in found.items()}


def exchange_phrases(unit: Unit, phrases: Phrases, rng: random.Random) -> str:
    """A sentence with some of its phrases exchanged for others of the same form, of any signal, each signal as likely."""
    text = unit.text
    for span in sorted(unit.spans or (), key=lambda span: -span.start):
        if rng.random() < PHRASE_SHARE:
            old = text[span.start : span.end]
            by_signal = phrases[ending(old.split()[0])]
            new = rng.choice(by_signal[rng.choice(sorted(by_signal))])
            text = text[: span.start] + match_case(new, old) + text[span.end :]
    return text


def exchange_words(text: str, neighbours: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """A sentence with some of its words exchanged for neighbours of theirs."""

    def exchange(match: re.Match[str]) -> str:
        word = match.group()
        near = neighbours.get(word.lower(), ())
        return match_case(rng.choice(near), word) if near and rng.random() < WORD_SHARE else word

    return WORD.sub(exchange, text)


def vary(item: Item, phrases: Phrases, neighbours: Mapping[str, Sequence[str]], seed: str) -> Item:
    """The variant of a text: as many sentences, of which nothing is known; always the same for a seed."""
    rng = random.Random(f"{seed}/{SOURCE}/{item.source}/{item.id}")
    units = tuple(Unit(exchange_words(exchange_phrases(unit, phrases, rng), neighbours, rng)) for unit in item.units)
    return Item(f"{SOURCE}/{item.source}/{item.id}", SOURCE, "train", units)


def add_varied(dataset: Dataset, config: Config) -> Dataset:
    """Adds one variant of every text of the train part whose phrases are labelled, none or some; the corpus' articles keep one set of names for it.

    Only sources and desks that train are varied and lend phrases. Variants depend on the seed, the encoder and all that text, so that a teacher has to be
    asked anew when any of it changes.

    Raises:
        ValueError: there is nothing to vary, or the encoder's vocabulary has no whole words.
        ModuleNotFoundError: the encoder's package is not installed.
        OSError: there is no such encoder.
    """
    count = config.sources.varied
    left_out = {article.id for article, _ in dataset.articles if not dataset.times_shown(article)}
    chosen = [
        item
        for item in dataset.of_split("train")
        if getattr(config.sources, item.source) and getattr(config.weights, item.source) and not (item.source == "corpus" and item.id in left_out)
    ]
    labelled = [item for item in chosen if any(unit.spans is not None for unit in item.units)]
    if not labelled:
        raise ValueError(f"sources.varied is {count}, but no text that trains has phrases labelled; label some, or set sources.varied to 0")
    phrases = collect_phrases(unit for item in labelled for unit in item.units)
    tokenizer, _ = load_tokenizer(config.encoder)
    neighbours = find_neighbours(tokenizer, load_encoder(config.encoder).get_input_embeddings().weight)  # type: ignore[operator]
    if not any(neighbours.values()):
        raise ValueError(
            f"sources.varied is {count}, but the vocabulary of {config.encoder!r} has no whole words; take another encoder, or set sources.varied to 0"
        )
    varied = tuple(vary(item, phrases, neighbours, str(config.seed)) for item in labelled)
    return dataclasses.replace(dataset, items=(*dataset.items, *varied))
