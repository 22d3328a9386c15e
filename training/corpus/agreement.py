"""How far two labellers agree (codebook section 7): Krippendorff's alpha, span F1, status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np

from escalation.evaluation.rows import IOU, overlap
from escalation.signals import BY_NAME
from training.corpus.schema import ADJUDICATION, ARTICLES, SECOND, STANDOFF, Phrase, Sentence, read_articles
from training.corpus.standoff import read_units, to_sentence

DIRECTION_CODES = {"neutral": 0, "escalation": 1, "de-escalation": 2, "mixed": 3}


@dataclass(frozen=True)
class Agreement:
    """Agreement of two labellings of the same sentences.

    Attributes:
        sentences: how many.
        direction_alpha: Krippendorff's alpha of the four-class direction (nominal).
        severity_alpha: Krippendorff's alpha of the severity (interval).
        direction_f1: macro-F1 of one labelling's direction against the other's.
        span_f1: phrases paired at IoU ≥ 0.5 with the same direction.
        span_signal_f1: the same, with the same signal.
        span_exact_f1: the same signal and the same offsets.
        status_accuracy: share of the paired phrases with the same status.
    """

    sentences: int
    direction_alpha: float
    severity_alpha: float
    direction_f1: float
    span_f1: float
    span_signal_f1: float
    span_exact_f1: float
    status_accuracy: float


def pair_phrases(first: Sequence[Phrase], second: Sequence[Phrase]) -> list[tuple[Phrase, Phrase]]:
    """Pairs phrases one to one, IoU ≥ 0.5 and the same direction, best overlap first."""
    candidates = [
        (overlap((a.start, a.end), (b.start, b.end)), a, b) for a in first for b in second if BY_NAME[a.signal].direction == BY_NAME[b.signal].direction
    ]
    pairs: list[tuple[Phrase, Phrase]] = []
    for value, a, b in sorted(candidates, key=lambda item: -item[0]):
        if value >= IOU and all(a is not x and b is not y for x, y in pairs):
            pairs.append((a, b))
    return pairs


def compare(first: Sequence[Sentence], second: Sequence[Sentence]) -> Agreement:
    """Compares two labellings, sentence by sentence.

    Raises:
        ValueError: a sentence's text differs.
    """
    from sklearn.metrics import f1_score

    paired = phrases = same_signal = exact = same_status = 0
    for a, b in zip(first, second, strict=True):
        if a.text != b.text:
            raise ValueError(f"the labellings are of different text: {a.text[:60]!r} and {b.text[:60]!r}")
        pairs = pair_phrases(a.phrases, b.phrases)
        phrases += len(a.phrases) + len(b.phrases)
        paired += len(pairs)
        same_signal += sum(x.signal == y.signal for x, y in pairs)
        exact += sum((x.signal, x.start, x.end) == (y.signal, y.start, y.end) for x, y in pairs)
        same_status += sum(x.status == y.status for x, y in pairs)
    directions = [[DIRECTION_CODES[s.direction] for s in labelling] for labelling in (first, second)]
    severities = [[s.severity for s in labelling] for labelling in (first, second)]
    return Agreement(
        len(first),
        float(krippendorff.alpha(np.array(directions), level_of_measurement="nominal")),
        float(krippendorff.alpha(np.array(severities), level_of_measurement="interval")),
        float(f1_score(*directions, average="macro")),
        2 * paired / max(1, phrases),
        2 * same_signal / max(1, phrases),
        2 * exact / max(1, phrases),
        same_status / max(1, paired),
    )


def first_labels(path: Path = ADJUDICATION) -> dict[str, dict[str, Any]]:
    """First labels of the adjudicated sentences, by id: `ARTICLE#NUMBER`, or `CORPUS/ROW/FIELD/START` for public text.

    Adjudication changed the corpus; agreement is between the labellings as they were before.
    """
    if not path.is_file():
        return {}
    return {record["id"]: record["first"] for record in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def with_labels(sentence: Sentence, labels: dict[str, Any], *, shift: int = 0) -> Sentence:
    """The sentence with other labels; `shift` is where it begins in the text that the labels' offsets count."""
    phrases = tuple(
        Phrase(p["start"] - shift, p["end"] - shift, sentence.text[p["start"] - shift : p["end"] - shift], p["signal"], p["status"], p.get("severity"))
        for p in labels["phrases"]
    )
    known = {key: labels[key] for key in ("escalation", "de_escalation", "severity", "in_scope")}
    return replace(sentence, phrases=phrases, **known)


def article_pairs() -> tuple[int, list[Sentence], list[Sentence]]:
    """How many articles were labelled twice, and their sentences by the first and by the second labeller."""
    first = {article.id: article for article in read_articles(ARTICLES)}
    before = first_labels()
    ours: list[Sentence] = []
    theirs: list[Sentence] = []
    count = 0
    for article in read_articles(SECOND):
        count += 1
        for number, (a, b) in enumerate(zip(first[article.id].sentences, article.sentences, strict=True), 1):
            labels = before.get(f"{article.id}#{number}")
            ours.append(with_labels(a, labels) if labels else a)
            theirs.append(b)
    return count, ours, theirs


def standoff_pairs(corpora: Path) -> dict[str, tuple[list[Sentence], list[Sentence]]]:
    """First and second labels of the public sentences that were labelled twice, by corpus."""
    from training.sources import read_source

    units = list(read_units(STANDOFF))
    before = first_labels()
    first = {(u.corpus, u.row, u.field, u.start): u for u in units if not u.second}
    pairs: dict[str, tuple[list[Sentence], list[Sentence]]] = {}
    texts: dict[str, dict[str, dict[str, Any]]] = {}
    for second in (u for u in units if u.second):
        if second.corpus not in texts:
            texts[second.corpus] = {row["id"]: row for row in read_source(second.corpus, corpora)}
        text = texts[second.corpus][second.row][second.field]
        ours, theirs = pairs.setdefault(second.corpus, ([], []))
        sentence = to_sentence(first[second.corpus, second.row, second.field, second.start], text)
        labels = before.get(f"{second.corpus}/{second.row}/{second.field}/{second.start}")
        ours.append(with_labels(sentence, labels, shift=second.start) if labels else sentence)
        theirs.append(to_sentence(second, text))
    return pairs
