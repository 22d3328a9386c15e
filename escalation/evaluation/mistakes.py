"""The worst mistakes: wrong labels and far scores, the surest first, shown with what was highlighted."""

from __future__ import annotations

from collections.abc import Sequence

from escalation.evaluation.labelled import LabelledText, Labels
from escalation.evaluation.predict import Prediction, TextPrediction
from escalation.evaluation.report import Mistake
from escalation.render import highlights_to_html
from escalation.result import Highlight

SHOWN = 20


def badness(labels: Labels, found: Prediction) -> float:
    """How wrong a prediction is: the distance of the score from the severity, and how far the probabilities are from the labels."""
    wrong = 0.0
    if labels.severity is not None and found.score is not None:
        wrong += abs(found.score - labels.severity / 10)
    if found.probabilities is not None:
        for gold, probability in zip((labels.escalation, labels.de_escalation), found.probabilities, strict=True):
            wrong += abs(probability - gold) if gold is not None else 0.0
    if labels.label is not None and found.label is not None and labels.label != found.label:
        wrong += 1.0
    return wrong


def shifted(highlights: Sequence[Highlight], start: int) -> tuple[Highlight, ...]:
    """Highlights with offsets counted from `start`."""
    return tuple(Highlight(h.text, h.start - start, h.end - start, h.signal, h.direction, h.status, h.score) for h in highlights)


def find_mistakes(texts: Sequence[LabelledText], predictions: Sequence[TextPrediction]) -> tuple[Mistake, ...]:
    """The worst mistakes, worst first; sentences where they are labelled, else texts."""
    found: list[tuple[float, Mistake]] = []
    for text, prediction in zip(texts, predictions, strict=True):
        cases = [(text.labels, prediction.whole, 0, len(text.text), "texts", text.id)] if not text.sentences else []
        cases += [
            (s.labels, p, s.start, s.end, "sentences", f"{text.id}, sentence {number}")
            for number, (s, p) in enumerate(zip(text.sentences, prediction.sentences, strict=True), 1)
        ]
        for labels, guess, start, end, level, name in cases:
            if labels.label is None or guess.label is None or labels.label == guess.label:
                continue
            piece = text.text[start:end]
            html = highlights_to_html(piece, shifted(guess.highlights or (), start))
            found.append((badness(labels, guess), Mistake(name, level, piece, labels.label, guess.label, labels.severity, guess.score, html)))
    return tuple(mistake for _, mistake in sorted(found, key=lambda pair: -pair[0])[:SHOWN])
