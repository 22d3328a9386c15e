"""What a user would pick instead, evaluated by the same command: majority, VADER, PETRARCH's verb patterns, TF-IDF with logistic regression."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from escalation.evaluation.files import read_labelled
from escalation.evaluation.labelled import LabelledText, Labels
from escalation.evaluation.petrarch import read_patterns
from escalation.evaluation.predict import Prediction, TextPrediction
from escalation.signals import BY_NAME, ESCALATION, LABELS, MAX_SEVERITY

BASELINE = "baseline:"
NEUTRAL_BAND = 0.05  # VADER's own thresholds for its compound score (Hutto and Gilbert, ICWSM 2014)


class TextBaseline:
    """A baseline that reads one string at a time; whole text and sentences alike."""

    def __init__(self, name: str, read: Callable[[Sequence[str]], list[Prediction]]) -> None:
        self.name = name
        self._read = read

    def predict(self, texts: Sequence[LabelledText]) -> list[TextPrediction]:
        """See `predict.Predictor.predict`."""
        strings = [piece for text in texts for piece in (text.text, *(text.text[s.start : s.end] for s in text.sentences))]
        read = iter(self._read(strings))
        return [TextPrediction(next(read), tuple(next(read) for _ in text.sentences)) for text in texts]


def labelled_strings(texts: Sequence[LabelledText]) -> list[tuple[str, Labels]]:
    """Every labelled string of some texts: sentences where they are labelled, else the text."""
    return [
        pair for text in texts for pair in ([(text.text[s.start : s.end], s.labels) for s in text.sentences] if text.sentences else [(text.text, text.labels)])
    ]


def majority(texts: Sequence[LabelledText]) -> TextBaseline:
    """Always the most frequent label, the mean severity and the most frequent event of `texts`.

    Raises:
        ValueError: no label among them.
    """
    labels = [labels for _, labels in labelled_strings(texts)]
    found = Counter(label.label for label in labels if label.label)
    events = Counter(label.signal for label in labels if label.signal)
    severities = [label.severity for label in labels if label.severity is not None]
    if not found and not events:
        raise ValueError("baseline:majority needs texts with labels or events; give a labelled file with train")
    share = tuple(float(np.mean([getattr(x, half) for x in labels if x.label])) for half in ("escalation", "de_escalation")) if found else None
    answer = Prediction(
        found.most_common(1)[0][0] if found else None, float(np.mean(severities)) / MAX_SEVERITY if severities else None, share,  # type: ignore[arg-type]
        signals={events.most_common(1)[0][0]: 1.0} if events else None,
    )  # fmt: skip
    return TextBaseline("majority", lambda strings: [answer] * len(strings))


def vader() -> TextBaseline:
    """VADER's compound sentiment, negative taken as escalation.

    Raises:
        ModuleNotFoundError: vaderSentiment is not installed.
    """
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('baseline:vader needs vaderSentiment; install it with: pip install "escalation[evaluate]"') from error
    analyzer = SentimentIntensityAnalyzer()

    def read(strings: Sequence[str]) -> list[Prediction]:
        compounds = [analyzer.polarity_scores(string)["compound"] for string in strings]
        return [Prediction(LABELS[0] if c <= -NEUTRAL_BAND else LABELS[1] if c >= NEUTRAL_BAND else "neutral", -c) for c in compounds]

    return TextBaseline("VADER", read)


def petrarch(patterns: Path) -> TextBaseline:
    """PETRARCH's verb patterns as a lexicon: the longest pattern that a text holds gives its event, its direction and its Goldstein severity.

    Args:
        patterns: PETRARCH's dictionary `CAMEO.2.0.txt` (openeventdata/petrarch2, MIT); not part of this package.
    """
    dictionary = read_patterns(patterns)

    def read_one(string: str) -> Prediction:
        event = dictionary.find_event(string)
        if event is None:
            return Prediction("neutral", 0.0, signals={})
        signal = BY_NAME[event]
        sign = 1 if signal.direction == ESCALATION else -1
        return Prediction(signal.direction, sign * signal.severity / MAX_SEVERITY, signals={event: 1.0})

    return TextBaseline("PETRARCH patterns", lambda strings: [read_one(string) for string in strings])


def fit_linear(strings: Sequence[str], targets: Sequence[Any]) -> Any:
    """TF-IDF of words and word pairs, then logistic regression; None where there is but one target."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if len(set(targets)) < 2:
        return None
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=1, sublinear_tf=True)
    return make_pipeline(vectors, LogisticRegression(C=10.0, max_iter=2000)).fit(list(strings), list(targets))


def tfidf(texts: Sequence[LabelledText]) -> TextBaseline:
    """TF-IDF and logistic regression for each half of the direction, for scope and for the event; ridge regression for the severity.

    Args:
        texts: to learn from.

    Raises:
        ValueError: nothing to learn from them.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    pairs = labelled_strings(texts)

    def fit(name: str) -> Any:
        known = [(string, getattr(labels, name)) for string, labels in pairs if getattr(labels, name) is not None]
        return fit_linear([string for string, _ in known], [value for _, value in known]) if known else None

    halves, scope, event = [fit("escalation"), fit("de_escalation")], fit("in_scope"), fit("signal")
    measured = [(string, labels.severity) for string, labels in pairs if labels.severity is not None]
    ridge = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), Ridge()).fit(*zip(*measured, strict=True)) if len(measured) > 1 else None
    if None in halves and event is None:
        raise ValueError("baseline:tfidf found nothing to learn: the training file needs both values of each direction, or several events")

    def read(strings: Sequence[str]) -> list[Prediction]:
        probabilities = np.stack([half.predict_proba(strings)[:, 1] for half in halves], axis=1) if None not in halves else None
        inside = scope.predict(strings) if scope is not None else [None] * len(strings)
        events = event.predict(strings) if event is not None else [None] * len(strings)
        scores = np.clip(ridge.predict(strings) / MAX_SEVERITY, -1, 1) if ridge is not None else None
        result = []
        for row in range(len(strings)):
            p = None if probabilities is None else (float(probabilities[row, 0]), float(probabilities[row, 1]))
            label = None if p is None else Labels(int(p[0] >= 0.5), int(p[1] >= 0.5)).label
            signals = None if events[row] is None else {str(events[row]): 1.0}
            score = None if scores is None else float(scores[row])
            result.append(Prediction(label, score, p, None, None if inside[row] is None else bool(inside[row]), signals))
        return result

    return TextBaseline("TF-IDF + logistic regression", read)


def load_baseline(
    name: str, *, train: str | os.PathLike[str] | None = None, patterns: str | os.PathLike[str] | None = None, texts: Sequence[LabelledText] = ()
) -> TextBaseline:
    """A baseline by name.

    Args:
        name: `"baseline:majority"`, `"baseline:vader"`, `"baseline:petrarch"` or `"baseline:tfidf"`.
        train: labelled file that TF-IDF learns from; majority counts its labels.
        patterns: PETRARCH's dictionary.
        texts: what majority counts where there is no `train`.

    Raises:
        ValueError: an unknown name, or a file that it needs is not given.
    """
    kind = name.removeprefix(BASELINE)
    known = ("majority", "vader", "petrarch", "tfidf")
    if kind not in known:
        raise ValueError(f"baseline must be one of {', '.join(BASELINE + k for k in known)}, got {name!r}")
    if kind == "vader":
        return vader()
    if kind == "petrarch":
        if patterns is None:
            raise ValueError("baseline:petrarch needs patterns: the path of PETRARCH's verb dictionary (openeventdata/petrarch2, CAMEO.2.0.txt)")
        return petrarch(Path(patterns))
    learnt = read_labelled(Path(train)) if train is not None else None
    if kind == "tfidf":
        if learnt is None:
            raise ValueError("baseline:tfidf needs train: a labelled file to learn from (not the one that is evaluated)")
        return tfidf(learnt)
    return majority(learnt if learnt is not None else texts)
