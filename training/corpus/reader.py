"""A labelled article as a `Score`, so that a person reads labels as they read results."""

from __future__ import annotations

from escalation.result import Coverage, Highlight, Score
from escalation.signals import BY_NAME, DE_ESCALATION, ESCALATION
from training.corpus.fill import fill, join
from training.corpus.schema import Article

WEIGHT = {"asserted": 1.0, "hypothetical": 0.5, "negated": -0.5, "historical": 0.0, "figurative": 0.0}


def labelled_score(article: Article, seed: float | str) -> Score:
    """The article with names filled in and its labels as the result; a highlight's `score` is its severity with its sign / 10, halved where hypothetical."""
    filled = fill(article, str(seed))
    text, starts = join(filled)
    highlights = []
    for start, sentence in zip(starts, filled, strict=True):
        for phrase in sentence.phrases:
            signal = BY_NAME[phrase.signal]
            sign = 1 if signal.direction == ESCALATION else -1
            value = sign * (phrase.severity or signal.severity) / 10 * WEIGHT[phrase.status]
            highlights.append(Highlight(phrase.text, start + phrase.start, start + phrase.end, signal.name, signal.direction, phrase.status, value))
    probabilities = {ESCALATION: float(article.label in (ESCALATION, "mixed")), DE_ESCALATION: float(article.label in (DE_ESCALATION, "mixed"))}
    score, length = article.severity / 10, len(text)
    coverage = Coverage(length, length, 0, 0)
    return Score(text, score, article.label, probabilities, (score, score), article.in_scope, {}, tuple(highlights), (), coverage, model="labels")
