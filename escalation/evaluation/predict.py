"""What a model says of labelled texts, in the one shape that every figure is made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from escalation.evaluation.labelled import LabelledText
from escalation.evidence import read_logits
from escalation.language import detect_language
from escalation.reading import Reading
from escalation.result import Highlight, Score, SentenceScore
from escalation.scorer import Scorer
from escalation.signals import DIRECTIONS
from escalation.text import split_sentences

BATCH = 32  # texts read at once
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """How much each token speaks for a signal, whatever its status: the soft rationale of ERASER (DeYoung et al., ACL 2020).

    Attributes:
        offsets: `(n_tokens, 2)` characters of the text.
        value: `(n_tokens,)` 0 … 1.
    """

    offsets: NDArray[np.int64]
    value: Array


@dataclass(frozen=True)
class Prediction:
    """What a model says of a text or a sentence; None is what it does not say.

    Attributes:
        label: the four-class label.
        score: −1 … 1.
        probabilities: of escalation and de-escalation.
        interval: of the score.
        in_scope: codebook section 2.
        signals: probability of each signal.
        highlights: phrases; offsets count characters of the whole text.
        events: probability of each event that PLOVER has, 1 in all; where it is None, `signals` stand for it.
    """

    label: str | None
    score: float | None = None
    probabilities: tuple[float, float] | None = None
    interval: tuple[float, float] | None = None
    in_scope: bool | None = None
    signals: dict[str, float] | None = None
    highlights: tuple[Highlight, ...] | None = None
    events: dict[str, float] | None = None


@dataclass(frozen=True)
class TextPrediction:
    """What a model says of a text as a whole and of each of its labelled sentences."""

    whole: Prediction
    sentences: tuple[Prediction, ...]
    evidence: Evidence | None = None
    result: Score | None = None  # where the model is one of escalation: to show what it marks


class Predictor(Protocol):
    """Anything that can be evaluated."""

    @property
    def name(self) -> str:
        """Name and version."""
        ...

    def predict(self, texts: Sequence[LabelledText]) -> list[TextPrediction]:
        """One prediction a text, in order."""
        ...


def as_prediction(result: Score | SentenceScore) -> Prediction:
    """A result of the scorer as a prediction."""
    probabilities = (result.probabilities[DIRECTIONS[0]], result.probabilities[DIRECTIONS[1]])
    return Prediction(result.label, result.score, probabilities, result.interval, result.in_scope, result.signals, result.highlights, result.events)


def token_evidence(spans: Sequence[tuple[int, int]], reading: Reading) -> Evidence:
    """The evidence of a text's tokens: the probability of standing in a phrase."""
    offsets = [tokens.offsets + start for (start, _), tokens in zip(spans, reading.tokens, strict=True)]
    return Evidence(np.concatenate(offsets), np.clip(read_logits(reading.logits).signal.sum(axis=1), 0.0, 1.0))


class ModelPredictor:
    """A model of escalation.

    A text with labelled sentences is read with these sentences, so that nothing depends on the sentence splitter; any other as `score` reads it. What the
    scorer's screen passes over, if it has one, is not read.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    @property
    def name(self) -> str:
        """Name and version of the model, and whether it reads through a screen."""
        return f"{self.scorer.name}, screened" if self.scorer.screens else self.scorer.name

    def predict(self, texts: Sequence[LabelledText]) -> list[TextPrediction]:
        """See `Predictor.predict`."""
        return [found for start in range(0, len(texts), BATCH) for found in self._predict(texts[start : start + BATCH])]

    def _predict(self, texts: Sequence[LabelledText]) -> list[TextPrediction]:
        spans = [[(s.start, s.end) for s in text.sentences] or split_sentences(text.text) for text in texts]
        english = [bool(found) and detect_language(text.text) == "en" for text, found in zip(texts, spans, strict=True)]
        passed_over = self.scorer.passed_over([text.text for text, is_english in zip(texts, english, strict=True) if is_english])
        wanted = [is_english and text.text not in passed_over for text, is_english in zip(texts, english, strict=True)]
        readings = iter(self.scorer.read([(text.text, found) for text, found, read in zip(texts, spans, wanted, strict=True) if read]))
        return [self._interpret(text, found, next(readings) if read else None) for text, found, read in zip(texts, spans, wanted, strict=True)]

    def _interpret(self, text: LabelledText, spans: Sequence[tuple[int, int]], reading: Reading | None) -> TextPrediction:
        """Figures of one text; one that is not read (no English, passed over) gets the scorer's neutral result, its sentences too."""
        if reading is None:
            score = self.scorer.score(text.text)
            return TextPrediction(as_prediction(score), tuple(as_prediction(score) for _ in text.sentences), None, score)
        score = self.scorer.figures(text.text, spans, reading)
        sentences = tuple(as_prediction(s) for s in score.sentences) if text.sentences else ()
        return TextPrediction(as_prediction(score), sentences, token_evidence(spans, reading), score)


def predict_all(predictor: Predictor, texts: Sequence[LabelledText], *, show_progress_bar: bool = False) -> list[TextPrediction]:
    """Predicts in batches, with a progress bar on standard error."""
    from tqdm import tqdm

    starts: Iterable[int] = tqdm(range(0, len(texts), BATCH), desc=predictor.name, unit="batch", disable=not show_progress_bar)
    return [found for start in starts for found in predictor.predict(texts[start : start + BATCH])]
