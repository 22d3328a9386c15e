"""Fits a model's screen (`escalation/screen.py`) and measures what it passes over: python -m training.screen models/newswire-en --corpora FOLDER

The export fits one by itself. This command fits it anew for a folder that is there, writes it in, and prints what it costs and brings: of the texts with a
signal, and of those out of scope, how many are read; and how many texts a second are scored without it and with it, and by the pipeline of transformers, on
this machine. Table and threshold are the train part's; dev, test and the BBC's train articles, which have no part in it, are measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from escalation.model import available_cores, check_integrity, open_tokenizer, piece_ids, reseal
from escalation.scorer import load
from escalation.screen import SCREEN_FILE, Screen, ScreenSettings, cut, features
from training.benchmark_figures import interleave
from training.benchmark_machine import describe_machine
from training.benchmark_rivals import ENCODER, REMEDY, missing_packages, prepare, read_with_pipeline
from training.card import CARD, TRAINED, screen_section, screen_table
from training.corpus.duplicates import find_straddling
from training.corpus.schema import STANDOFF
from training.data import Dataset, Item, item_text, load_dataset
from training.results import rewrite
from training.sources import read_source
from training.unlabelled import labelled_articles

PAIRS = 1 << 18
BLOCK = 256  # word pieces; larger blocks pass over more, smaller ones are surer to see one report among others (training/LOG.md)
INVERSE_REGULARISATION = 16.0
KEEP = 0.98  # of the texts with a signal, in the source that loses most
FOLDS = 5
MARK = "<!-- screen -->"
REPETITIONS, BBC_TEXTS = 3, 200  # of the timing
NEEDED = 100  # texts of a source with a signal, and texts out of scope: below, a hundredth is less than one text


def scope_of(item: Item) -> bool | None:
    """Whether a text is in scope: as labelled, else whether one of its sentences is; None where nothing is known."""
    known = [unit.in_scope for unit in item.units if unit.in_scope is not None]
    return item.in_scope if item.in_scope is not None else any(known) if known else None


def has_signal(item: Item) -> bool:
    """Whether a text speaks of escalation or de-escalation."""
    return item.label != "neutral" if item.label is not None else any(unit.escalation or unit.de_escalation for unit in item.units)


def kind_of(item: Item) -> str:
    """What kind of text it is: its source, that of the public text where the labels are ours."""
    return item.id.split("-")[0] if item.source == "standoff" else item.source


def to_matrix(blocks: Sequence[NDArray[np.int64]], pieces: int) -> sparse.csr_matrix:
    """Features of blocks, `(n_blocks, pieces + PAIRS)`, each row of length 1."""
    rows = [features(block, pieces, PAIRS) for block in blocks]
    ends = np.cumsum([0, *map(len, rows)])
    values = np.concatenate([np.full(len(row), len(row) ** -0.5) for row in rows])
    return sparse.csr_matrix((values, np.concatenate(rows), ends), shape=(len(rows), pieces + PAIRS))


def fit_weights(texts: Sequence[NDArray[np.int64]], scopes: Sequence[bool], pieces: int) -> Screen:
    """The table, still without a threshold.

    A text in scope is learnt as a whole, since not every block of it need speak of actors; one out of scope block by block.
    """
    blocks = [(block, scope) for ids, scope in zip(texts, scopes, strict=True) for block in ([ids] if scope else cut(ids, BLOCK))]
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=3000, class_weight="balanced")
    model.fit(to_matrix([block for block, _ in blocks], pieces), [scope for _, scope in blocks])
    scale = float(np.abs(model.coef_[0]).max() / 127)
    weights = np.round(model.coef_[0] / scale).astype(np.int8)
    return Screen(ScreenSettings(pieces, PAIRS, BLOCK, scale, float(model.intercept_[0]), threshold=0.0), weights)


def choose_threshold(items: Sequence[Item], texts: Sequence[NDArray[np.int64]], scopes: Sequence[bool], pieces: int) -> float:
    """The threshold that keeps `KEEP` of the texts with a signal of whichever source loses most, each text judged by a table that was fitted without it."""
    folds = [int(hashlib.sha256(item.id.encode()).hexdigest(), 16) % FOLDS for item in items]
    evidence: dict[str, list[float]] = defaultdict(list)
    for fold in range(FOLDS):
        others = [k for k, place in enumerate(folds) if place != fold]
        screen = fit_weights([texts[k] for k in others], [scopes[k] for k in others], pieces)
        for k, item in enumerate(items):
            if folds[k] == fold and scopes[k] and has_signal(item):
                evidence[kind_of(item)].append(screen.evidence(texts[k]))
    return min(float(np.quantile(values, 1 - KEEP)) for values in evidence.values() if len(values) >= NEEDED)


def fit_screen(dataset: Dataset, tokenizer: Tokenizer) -> Screen | None:
    """A screen of the train part alone; None where there are too few texts to fit or to set one."""
    known = [(item, scope) for item in dataset.of_split("train") if (scope := scope_of(item)) is not None]
    items, scopes = [item for item, _ in known], [scope for _, scope in known]
    signals = Counter(kind_of(item) for item in items if scope_of(item) and has_signal(item))
    if sum(not scope for scope in scopes) < NEEDED or max(signals.values(), default=0) < NEEDED:
        return None
    pieces = tokenizer.get_vocab_size()
    texts = piece_ids(tokenizer, [item_text(item) for item in items])
    screen = fit_weights(texts, scopes, pieces)
    return replace(screen, settings=replace(screen.settings, threshold=choose_threshold(items, texts, scopes, pieces)))


def count(passed: Sequence[bool]) -> dict[str, int]:
    """Number of texts, and of those that are read."""
    return {"texts": len(passed), "read": sum(passed)}


def measure_screen(screen: Screen, tokenizer: Tokenizer, items: Sequence[Item]) -> dict[str, dict[str, int]]:
    """What a screen lets through of labelled texts: those with a signal, and those out of scope, by kind."""
    known = [item for item in items if scope_of(item) is not None]
    passed = [screen.passes(ids) for ids in piece_ids(tokenizer, [item_text(item) for item in known])]
    parts: dict[str, list[bool]] = defaultdict(list)
    for item, read in zip(known, passed, strict=True):
        if has_signal(item) or not scope_of(item):
            title = "with a signal" if has_signal(item) else "out of scope"
            parts[title].append(read)
            parts[f"{title}, {kind_of(item)}"].append(read)
    return {title: count(parts[title]) for title in sorted(parts)}


def measure_bbc(screen: Screen, tokenizer: Tokenizer, corpora: Path) -> dict[str, dict[str, int]]:
    """What it lets through of the BBC's train articles without labels of ours, with conflict and without, by upstream's label. No part of them trains or sets
    a screen; what nearly repeats an article with labels is left out."""
    with_labels = labelled_articles(corpora, STANDOFF)
    labelled = [(f"labelled/{name}", "labelled", text) for name, text in with_labels.items()]
    rows = [row for row in read_source("bbc-train", corpora) if row["id"] not in with_labels]
    near = {name for pair in find_straddling([*labelled, *((row["id"], "measures", row["text"]) for row in rows)]) for name in (pair[0], pair[2])}
    rows = [row for row in rows if row["id"] not in near]
    passed = [screen.passes(ids) for ids in piece_ids(tokenizer, [row["text"] for row in rows])]
    return {
        name: count([p for row, p in zip(rows, passed, strict=True) if bool(row["conflict"]) == wanted])
        for name, wanted in (("conflict", True), ("no conflict", False))
    }


def measure_speed(folder: Path, dataset: Dataset, corpora: Path, encoder: str = ENCODER) -> dict[str, dict[str, float]]:
    """Texts of mixed news that are read a second on all cores: those of AG's rows that don't train and the first of the BBC's train articles, of all topics as
    they come. Median of `REPETITIONS`, taking turns.

    Args:
        folder: of a model with a screen.
        dataset: its train part is left out of AG's rows.
        corpora: folder with the public corpora.
        encoder: of the pipeline, as `training.network.resolve_encoder` takes it.

    Returns:
        By texts, texts a second: of the model `without` its screen and `with` it, and of the `pipeline-1` and `pipeline-32` of transformers in batches of so
        many (one label for a text's first 512 tokens). All share this process, and each repetition begins with another.

    Raises:
        ModuleNotFoundError: transformers isn't installed.
        ValueError: the model has no screen.
        FileNotFoundError: no such encoder, or no such corpora.
    """
    training = {item.id for item in dataset.of_split("train")}
    ag = [f"{row['title']}. {row['text']}" for row in read_source("ag", corpora) if row["id"] not in training]
    bbc = [row["text"] for row in read_source("bbc-train", corpora)[:BBC_TEXTS]]
    figures = {}
    with TemporaryDirectory() as rival:
        prepare(encoder, Path(rival))
        readers: dict[str, Callable[[list[str]], object]] = {
            "without": load(folder).score_many,
            "with": load(folder, screen=True).score_many,
            "pipeline-1": read_with_pipeline(Path(rival), available_cores(), 1),
            "pipeline-32": read_with_pipeline(Path(rival), available_cores(), 32),
        }
        for name, texts in (("AG's news, all four topics", ag), ("the BBC's articles, all topics", bbc)):
            rates: dict[str, list[float]] = {title: [] for title in readers}
            for title in interleave(list(readers), REPETITIONS):
                readers[title](texts[:8])  # warm
                start = time.perf_counter()
                readers[title](texts)
                rates[title].append(len(texts) / (time.perf_counter() - start))
            figures[f"{name} ({len(texts):,})"] = {title: median(values) for title, values in rates.items()}
    return figures


def write_screen(screen: Screen, folder: Path) -> None:
    """Writes the table."""
    np.save(folder / SCREEN_FILE, screen.weights, allow_pickle=False)


def put_screen(screen: Screen, folder: Path, version: str | None) -> None:
    """Gives a model folder a screen, and a version where one is named, in its card too, and seals it anew.

    Raises:
        ValueError: the folder is damaged.
    """
    config = check_integrity(folder)
    write_screen(screen, folder)
    version = version or config["version"]
    card = folder / CARD
    if card.is_file():
        text = card.read_text(encoding="utf-8")
        card.write_text(text.replace(f"# {config['name']} {config['version']}\n", f"# {config['name']} {version}\n", 1), encoding="utf-8")
    reseal(folder, {"version": version, "screen": screen.settings.to_dict()}, added=(SCREEN_FILE,))


def tell(figures: dict[str, Any], document: Path) -> None:
    """Puts the table of figures into a document, between the marks for it; into a card that has none, a section before what the model was trained on."""
    text = document.read_text(encoding="utf-8")
    if MARK in text:
        text = rewrite(text, screen_table(figures), str(document), "screen")
    elif TRAINED in text:
        text = text.replace(TRAINED, screen_section(figures) + TRAINED, 1)
    else:
        raise ValueError(f"{document} has neither the mark {MARK} nor a section {TRAINED!r}")
    document.write_text(text, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.screen", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder, which gets the screen")
    parser.add_argument("--corpora", type=Path, required=True, help="folder with the public corpora")
    parser.add_argument("--documents", type=Path, nargs="*", default=[], help="Markdown files that get the table, beside the model's card")
    parser.add_argument("--to", type=Path, help="JSON file that keeps the figures")
    parser.add_argument("--version", help="of the model with this screen (default: as it was)")
    parser.add_argument("--encoder", default=ENCODER, help=f"of the pipeline measured beside it: python:PACKAGE, a name or a folder (default: {ENCODER})")
    args = parser.parse_args(argv)
    try:
        if missing := missing_packages("pipeline-32"):
            raise ValueError(f"{', '.join(missing)} {REMEDY}")
        check_integrity(args.model)
        dataset = load_dataset(args.corpora)
        tokenizer = open_tokenizer(args.model)
        screen = fit_screen(dataset, tokenizer)
        if screen is None:
            raise ValueError(f"too few texts for a screen: the train part must hold {NEEDED} out of scope and {NEEDED} of one source with a signal")
        figures: dict[str, Any] = {split: measure_screen(screen, tokenizer, dataset.of_split(split)) for split in ("dev", "test")}
        figures["other"] = measure_bbc(screen, tokenizer, args.corpora)
        put_screen(screen, args.model, args.version)
        figures["texts a second"] = measure_speed(args.model, dataset, args.corpora, args.encoder)
        figures["encoder"] = Path(args.encoder).name
        figures["machine"] = f"{describe_machine()['cpu']}, {available_cores()} threads"
        for document in [*([args.model / CARD] if (args.model / CARD).is_file() else []), *args.documents]:
            tell(figures, document)
        if args.to:
            args.to.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
