"""Figures to the result that a caller gets: plain numbers, text and tuples, with character offsets."""

from __future__ import annotations

from collections.abc import Sequence

from escalation.calibration import Array, Calibration
from escalation.evidence import Phrase, choose_directions, choose_label, score_article
from escalation.interpreting import Interpreted
from escalation.reading import Reading
from escalation.result import Coverage, Highlight, Score, SentenceScore
from escalation.signals import DIRECTIONS, EVENTS, SIGNAL_NAMES, SIGNALS, STATUSES


def assemble(text: str, spans: Sequence[tuple[int, int]], reading: Reading, interpreted: Interpreted, *, calibration: Calibration, model: str) -> Score:
    """The result of a text.

    Args:
        text: the text.
        spans: `(start, end)` of its sentences, at least one.
        reading: what the network gave of them.
        interpreted: what that says.
        calibration: the model's.
        model: its name and version.
    """
    article = score_article(interpreted.figures, calibration)
    in_scope = article.scope >= calibration.scope_threshold
    share, weight = interpreted.figures.share, article.weight.tolist()
    named = choose_directions(article.direction, article.carried, calibration.article_thresholds, calibration)
    highlights = tuple(
        highlight
        for index, (start, _) in enumerate(spans)
        for highlight in _highlights(text, start, index, reading, interpreted.phrases[index], share, weight[index])
    )
    n_tokens = int(reading.bounds[-1])
    return Score(
        text, _plain(article.score), choose_label(named, in_scope=in_scope),
        _named(DIRECTIONS, article.direction.tolist()), _interval(article.score, calibration.article_interval), in_scope,
        _named(SIGNAL_NAMES, interpreted.figures.signal.max(axis=0).tolist()), highlights, _sentences(text, spans, reading, interpreted, calibration),
        Coverage(len(text), len(text), n_tokens, n_tokens), "en", (), model, _named(EVENTS, article.event.tolist()),
    )  # fmt: skip


def _sentences(text: str, spans: Sequence[tuple[int, int]], reading: Reading, interpreted: Interpreted, calibration: Calibration) -> tuple[SentenceScore, ...]:
    """The results of the sentences. Arrays become lists all at once, since taking them apart number by number costs more than working them out did."""
    figures = interpreted.figures
    named = choose_directions(figures.direction, figures.carried, calibration.sentence_thresholds, calibration)
    rows = zip(
        spans, reading.tokens, interpreted.phrases, figures.direction.tolist(), named.tolist(), figures.scope.tolist(), figures.signal.tolist(),
        figures.score.tolist(), figures.event.tolist(), strict=True,
    )  # fmt: skip
    results = []
    for index, ((start, end), tokens, phrases, direction, directions, scope, signal, score, event) in enumerate(rows):
        in_scope = scope >= calibration.scope_threshold
        results.append(
            SentenceScore(
                text[start:end], start, end, _plain(score), choose_label(directions, in_scope=in_scope),
                _named(DIRECTIONS, direction), _interval(score, calibration.sentence_interval), in_scope, _named(SIGNAL_NAMES, signal),
                _highlights(text, start, index, reading, phrases, figures.share, 1.0),
                Coverage(end - start, end - start, len(tokens.ids), len(tokens.ids)), _named(EVENTS, event),
            )
        )  # fmt: skip
    return tuple(results)


def _highlights(text: str, start: int, index: int, reading: Reading, phrases: Sequence[Phrase], share: Array, weight: float) -> tuple[Highlight, ...]:
    """Phrases to characters; `start` is where the sentence begins in the text, `weight` that of the sentence in what the highlights add up to."""
    if not phrases:
        return ()
    offsets, first_token = reading.tokens[index].offsets, int(reading.bounds[index])
    found = []
    for phrase in phrases:
        first = start + int(offsets[phrase.first - first_token, 0])
        last = start + int(offsets[phrase.last - 1 - first_token, 1])
        signal = SIGNALS[phrase.signal]
        value = _plain(share[phrase.first : phrase.last].sum() * weight)
        found.append(Highlight(text[first:last], first, last, signal.name, signal.direction, STATUSES[phrase.status], value))
    return tuple(found)


def _plain(value: float) -> float:
    """A Python float; minus zero becomes zero."""
    return float(value) + 0.0


def _named(names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return dict(zip(names, values, strict=True))


def _interval(score: float, half_width: float) -> tuple[float, float]:
    """The interval around a score, within the scale."""
    return max(-1.0, float(score) - half_width), min(1.0, float(score) + half_width)
