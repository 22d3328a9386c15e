"""Token evidence to phrases, sentence figures and article figures: fixed functions, no second model.

Per token the network gives logits (columns below). With p(t, k) the probability that token t belongs to a phrase of signal k, q(t) = Σk p(t, k), and
e(t), d(t) = q(t) × the probability that the phrase, as it stands (status, negation), counts as escalation or de-escalation:

    pooled probability of a sentence    P = Σt x(t)² / Σt x(t)  for x = e, d or p(·, k): "linear softmax" of Wang, Li and Metze (2019, ICASSP)
    severity of a sentence              S = Σt [e(t) − d(t)] r(t) / (DOUBT + Σt [e(t) + d(t)])      over the tokens of its phrases
    event of a sentence                 softmax of [α × the mean of its tokens' event logits + β × log of its signals' probabilities],
                                        α and β the calibration's `event_map`
    score of an article                 Σs w(s) S(s),  w(s) = g(s) / (doubt + Σ g),  g(s) = relevance^power × exp(−decay × position)

Both sums run over tokens, so the share of a phrase is the sum over its tokens, and the phrases' shares add up to the score.
The same pooling stands in `training/network.py` in torch; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from escalation.calibration import Array, Calibration, logistic, logit, sigmoid
from escalation.signals import EVENTS, SIGNAL_INDEX, SIGNALS, STATUS_INDEX, STATUSES

N_SIGNALS = len(SIGNALS)
# Columns of the network's output, per token: no signal + 16 signals | 5 statuses | escalation, de-escalation | severity | scope | 15 events
SIGNAL_LOGITS = slice(0, 1 + N_SIGNALS)
STATUS_LOGITS = slice(SIGNAL_LOGITS.stop, SIGNAL_LOGITS.stop + len(STATUSES))
DIRECTION_LOGITS = slice(STATUS_LOGITS.stop, STATUS_LOGITS.stop + 2)
SEVERITY_LOGIT = DIRECTION_LOGITS.stop
SCOPE_LOGIT = SEVERITY_LOGIT + 1
EVENT_LOGITS = slice(SCOPE_LOGIT + 1, SCOPE_LOGIT + 1 + len(EVENTS))  # missing in models before 0.3
N_LOGITS = EVENT_LOGITS.stop
EVENT_SIGNALS = [SIGNAL_INDEX[name] for name in EVENTS]
DOUBT = 0.5  # half a token's worth of "nothing was said" in the denominator of a sentence's severity
UNCOUNTED = tuple(STATUS_INDEX[status] for status in ("historical", "figurative"))  # seen, not counted (codebook section 3)
TINY = 1e-6
FLOOR = 1e-4  # a word's probabilities count as at least this in the decoding: no single word can forbid a phrase
MANY = 4  # sentences from which decoding them side by side is faster than one by one
SILENCE = 0.05  # where no token reaches this there is no phrase: saves decoding most sentences


@dataclass(frozen=True)
class TokenFigures:
    """Figures of the tokens of one text, `(n_tokens, ...)`."""

    signal: Array  # (n_tokens, 16) probability of belonging to a phrase of each signal
    status: Array  # (n_tokens, 5)
    direction: Array  # (n_tokens, 2) counted evidence: escalation, de-escalation
    severity: Array  # (n_tokens,) 0 ... 1
    scope: Array  # (n_tokens,) logits
    event: Array  # (n_tokens, 15) logits; no columns where the model has none


@dataclass(frozen=True)
class Phrase:
    """A run of tokens, `first:last`, that carries a signal."""

    first: int
    last: int
    signal: int
    status: int


@dataclass(frozen=True)
class SentenceFigures:
    """Figures of the sentences of one text, `(n_sentences, ...)`, calibrated."""

    direction: Array  # (n_sentences, 2) probabilities of escalation and de-escalation
    scope: Array  # (n_sentences,) probability
    signal: Array  # (n_sentences, 16) probabilities
    score: Array  # (n_sentences,) -1 ... 1
    share: Array  # (n_tokens,) signed share of each token in its sentence's score
    carried: NDArray[np.bool_]  # (n_sentences, 2) whether a phrase has a share towards escalation, towards de-escalation
    event: Array  # (n_sentences, 15) probabilities, 1 in all


@dataclass(frozen=True)
class ArticleFigures:
    """Figures of one text."""

    direction: Array  # (2,) probabilities
    scope: float
    weight: Array  # (n_sentences,) weight of each sentence's score
    score: float
    event: Array  # (15,) probabilities, 1 in all
    carried: NDArray[np.bool_]  # (2,) whether a phrase has a share towards escalation, towards de-escalation


def read_logits(raw: NDArray[np.float32]) -> TokenFigures:
    """Turns network output `(n_tokens, n_logits)` into token figures."""
    logits = raw.astype(np.float64)
    signal = _softmax(logits[:, SIGNAL_LOGITS])
    in_phrase = 1.0 - signal[:, :1]
    return TokenFigures(
        signal[:, 1:], _softmax(logits[:, STATUS_LOGITS]), in_phrase * sigmoid(logits[:, DIRECTION_LOGITS]),
        sigmoid(logits[:, SEVERITY_LOGIT]), logits[:, SCOPE_LOGIT], logits[:, EVENT_LOGITS],
    )  # fmt: skip


def _softmax(x: Array) -> Array:
    exponential = np.exp(x - x.max(axis=1, keepdims=True)) if len(x) else x
    result: Array = exponential / exponential.sum(axis=1, keepdims=True)
    return result


def segment_sum(values: Array, bounds: NDArray[np.int64]) -> Array:
    """Sums of `values` over `bounds[i]:bounds[i + 1]`, `(n_segments, ...)`; an empty segment gives 0. What lies in other segments leaves no trace, not in
    the last digit either, so that a text's figures are the same whatever is read beside it."""
    sums: Array = np.zeros((len(bounds) - 1, *values.shape[1:]))
    filled = np.diff(bounds) > 0
    if filled.any():
        sums[filled] = np.add.reduceat(values[: bounds[-1]], bounds[:-1][filled], axis=0)
    return sums


def pool(values: Array, bounds: NDArray[np.int64]) -> Array:
    """Linear softmax pooling of token probabilities to sentences, `(n_sentences, ...)`; 0 where a sentence has no tokens."""
    return np.asarray(np.clip(segment_sum(values**2, bounds) / (segment_sum(values, bounds) + TINY), 0.0, 1.0))


def label_words(signal: Array, bounds: NDArray[np.int64], calibration: Calibration) -> NDArray[np.int64]:
    """The likeliest sequence of labels of each sentence's words, `(n_words,)`, −1 for no phrase.

    Viterbi decoding (Viterbi 1967) with log probabilities as emissions and one cost for every change of label, so that a phrase is not broken up by a
    word that is in doubt. `phrase_threshold` weighs "no phrase" by its odds; at 0.5 it is as good as any signal.

    Args:
        signal: `(n_words, 16)` probability of belonging to a phrase of each signal, sentence after sentence.
        bounds: `(n_sentences + 1,)` first word of each sentence, and the number of words; no sentence is empty.
        calibration: the model's.
    """
    none = np.clip(1.0 - signal.sum(axis=1, keepdims=True), TINY, 1.0)
    # A signal that no word has above the floor can't win.
    active = np.flatnonzero(np.concatenate([[True], signal.max(axis=0, initial=0.0) > FLOOR]))
    emission = np.log(np.maximum(np.concatenate([none, signal], axis=1)[:, active], FLOOR))
    emission[:, 0] += np.log(calibration.phrase_threshold / (1.0 - calibration.phrase_threshold))
    if len(bounds) - 1 < MANY:
        paths = [_decode_one(emission[first:last].tolist(), calibration.switch_cost) for first, last in pairwise(bounds)]
        return active[[label for path in paths for label in path]] - 1
    return active[_decode_many(emission, bounds, calibration.switch_cost)] - 1


def _decode_one(rows: list[list[float]], cost: float) -> list[int]:
    """The best path through `(n_words, n_labels)` gains: plain lists, faster for a sentence or two than arrays of a handful of numbers."""
    labels = range(len(rows[0]))
    total, came_from = rows[0], []
    for row in rows[1:]:
        best = max(labels, key=total.__getitem__)
        changed = total[best] - cost
        came_from.append([label if total[label] >= changed else best for label in labels])
        total = [max(before, changed) + now for before, now in zip(total, row, strict=True)]
    path = [max(labels, key=total.__getitem__)]
    for sources in reversed(came_from):
        path.append(sources[path[-1]])
    return path[::-1]


def _decode_many(emission: Array, bounds: NDArray[np.int64], cost: float) -> NDArray[np.int64]:
    """The same for sentences side by side, `(n_words,)`: all take their first word, then their second, and so on; as many steps as the longest has words."""
    lengths = np.diff(bounds)
    order = np.argsort(-lengths, kind="stable")  # longest first: those that still have a word are always the first ones
    starts = bounds[:-1][order]
    going_on = np.searchsorted(-lengths[order], -np.arange(lengths.max()), side="left")  # how many have a word at each step
    total, rows, labels = emission[starts], np.arange(len(starts)), np.arange(emission.shape[1])
    came_from = []
    for step, count in enumerate(going_on[1:], 1):
        before = total[:count]
        best = before.argmax(axis=1)
        changed = before[rows[:count], best][:, None] - cost
        came_from.append(np.where(before >= changed, labels, best[:, None]))
        total[:count] = np.maximum(before, changed) + emission[starts[:count] + step]
    label = total.argmax(axis=1)
    path = np.empty(len(emission), np.int64)
    path[starts + lengths[order] - 1] = label
    for step in range(len(came_from), 0, -1):
        sources = came_from[step - 1]
        count = len(sources)
        label[:count] = sources[rows[:count], label[:count]]
        path[starts[:count] + step - 1] = label[:count]
    return path


def find_phrases(
    tokens: TokenFigures, words: NDArray[np.int64], is_word: NDArray[np.bool_], bounds: NDArray[np.int64], calibration: Calibration
) -> list[list[Phrase]]:
    """Finds the phrases of each sentence.

    A phrase is a run of whole words that `label_words` gives the same signal; a word's evidence is the mean of its tokens'. Punctuation at either end is
    left out.

    Args:
        tokens: figures of the tokens of the sentences, one after the other.
        words: `(n_tokens,)` number of the word that a token belongs to, counted up through its sentence.
        is_word: `(n_tokens,)` whether a token is more than punctuation.
        bounds: `(n_sentences + 1,)` first token of each sentence, and the number of tokens.
        calibration: the model's.
    """
    found: list[list[Phrase]] = [[] for _ in range(len(bounds) - 1)]
    loudest = np.zeros(len(found))
    filled = np.flatnonzero(np.diff(bounds) > 0)
    if len(filled):
        loudest[filled] = np.maximum.reduceat(tokens.signal[: bounds[-1]].sum(axis=1), bounds[:-1][filled])
    loud = np.flatnonzero(loudest >= SILENCE)
    if not len(loud):
        return found
    begins = np.concatenate([[True], np.diff(words) != 0])  # a token that begins a word
    begins[bounds[filled]] = True
    edges = np.concatenate([np.flatnonzero(begins), bounds[-1:]])
    firsts = np.searchsorted(edges, bounds)  # of each sentence, its first word
    kept = np.concatenate([np.arange(firsts[index], firsts[index + 1]) for index in loud])  # words of the sentences that are not silent
    sums = np.add.reduceat(tokens.signal[: bounds[-1]], edges[:-1], axis=0)
    word_bounds = np.concatenate([[0], np.cumsum(firsts[loud + 1] - firsts[loud])])
    marked = label_words(sums[kept] / np.diff(edges)[kept, None], word_bounds, calibration)
    turns = np.concatenate([[True], np.diff(marked) != 0])
    turns[word_bounds[:-1]] = True
    runs = np.concatenate([np.flatnonzero(turns), [len(marked)]])
    for begin, end in pairwise(runs.tolist()):
        if marked[begin] < 0:
            continue
        first, last = int(kept[begin]), int(kept[end - 1]) + 1
        while first < last and not is_word[edges[first] : edges[first + 1]].any():
            first += 1
        while first < last and not is_word[edges[last - 1] : edges[last]].any():
            last -= 1
        if first < last:
            span = slice(int(edges[first]), int(edges[last]))
            sentence = loud[np.searchsorted(word_bounds, begin, side="right") - 1]
            found[sentence].append(Phrase(span.start, span.stop, int(marked[begin]), int(tokens.status[span].sum(axis=0).argmax())))
    return found


def score_sentences(tokens: TokenFigures, bounds: NDArray[np.int64], phrases: Sequence[Phrase], calibration: Calibration) -> SentenceFigures:
    """Pools token figures to sentences.

    Args:
        tokens: figures of the tokens of the text.
        bounds: `(n_sentences + 1,)` first token of each sentence, and the number of tokens.
        phrases: those of the text; tokens outside them carry no share of the score, nor do tokens of historical and figurative ones.
        calibration: the model's.
    """
    counted = np.zeros(len(tokens.severity))
    for phrase in phrases:
        counted[phrase.first : phrase.last] = phrase.status not in UNCOUNTED
    evidence = tokens.direction * counted[:, None]
    signed = (evidence[:, 0] - evidence[:, 1]) * tokens.severity
    mass = DOUBT + segment_sum(evidence.sum(axis=1), bounds)
    lengths = np.diff(bounds)
    share = signed / np.repeat(mass, lengths)
    carried = np.zeros((len(lengths), 2), np.bool_)
    for phrase in phrases:
        sentence, value = np.searchsorted(bounds, phrase.first, side="right") - 1, share[phrase.first : phrase.last].sum()
        carried[sentence] |= (value > 0, value < 0)
    pooled = logit(pool(tokens.direction, bounds))
    direction = np.stack([logistic(calibration.sentence_escalation, pooled[:, 0]), logistic(calibration.sentence_de_escalation, pooled[:, 1])], axis=1)
    scope = logistic(calibration.sentence_scope, segment_sum(tokens.scope, bounds) / np.maximum(lengths, 1))
    signal = logistic(calibration.sentence_signal, logit(pool(tokens.signal, bounds)))
    return SentenceFigures(direction, scope, signal, segment_sum(share, bounds), share, carried, read_events(tokens, bounds, signal, calibration))


def event_inputs(tokens: TokenFigures, bounds: NDArray[np.int64], signal: Array) -> tuple[Array, Array]:
    """What the events of sentences are made of, each `(n_sentences, 15)`: the mean event logits of their tokens (no columns where the model has none), and
    the logarithms of their signals' probabilities."""
    shares = np.take(signal, EVENT_SIGNALS, axis=1) + TINY  # row by row in memory, as an index would not leave it: the order of the sums must not depend on n
    return segment_sum(tokens.event, bounds) / np.maximum(np.diff(bounds), 1)[:, None], np.log(shares)


def read_events(tokens: TokenFigures, bounds: NDArray[np.int64], signal: Array, calibration: Calibration) -> Array:
    """Which one event a coder would choose for each sentence, `(n_sentences, 15)`: softmax of the mean logits of its tokens and of its signals' logarithms,
    as much of each as the calibration says (a logarithmic opinion pool: Genest and Zidek 1986).

    Where the model has no logits for it, the probabilities of the signals, made to sum to 1.
    """
    by_event, by_signal = event_inputs(tokens, bounds, signal)
    if not tokens.event.shape[1]:
        return _softmax(by_signal)
    alpha, beta = calibration.event_map
    return _softmax(alpha * by_event + beta * by_signal)


def join_figures(parts: Sequence[SentenceFigures]) -> SentenceFigures:
    """Figures of the sentences of several stretches of one text, one after the other; at least one stretch."""
    if len(parts) == 1:
        return parts[0]
    return SentenceFigures(**{item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(SentenceFigures)})


def cut_figures(figures: SentenceFigures, first: int, last: int, begin: int, end: int) -> SentenceFigures:
    """Figures of the sentences `first:last` alone, whose tokens are `begin:end`."""
    cut = {item.name: getattr(figures, item.name)[first:last] for item in fields(SentenceFigures) if item.name != "share"}
    return SentenceFigures(**cut, share=figures.share[begin:end])


def weigh_sentences(direction: Array, calibration: Calibration) -> Array:
    """Weights of the sentences in the article's score, `(n_sentences,)`, each at least 0, their sum below 1."""
    n = len(direction)
    relevance = direction.max(axis=1) ** calibration.relevance_power
    gross = relevance * np.exp(-calibration.position_decay * np.arange(n) / max(n - 1, 1))
    weight: Array = gross / (calibration.doubt + gross.sum())
    return weight


def article_features(direction: Array, scope: Array, weight: Array) -> tuple[Array, Array]:
    """What the article's probabilities are logistic functions of.

    Returns:
        `(escalation mass, de-escalation mass, largest escalation, largest de-escalation)`, each 0 ... 1, and `(mean scope, largest scope × direction)`.
    """
    mass, largest = weight @ direction, direction.max(axis=0)
    return np.concatenate([mass, largest]), np.array([scope.mean(), (scope * direction.max(axis=1)).max()])


def score_article(sentences: SentenceFigures, calibration: Calibration) -> ArticleFigures:
    """Pools sentence figures to the article; at least one sentence. Out of scope, the score and all weights are 0."""
    weight = weigh_sentences(sentences.direction, calibration)
    direction, scope = article_features(sentences.direction, sentences.scope, weight)
    escalation = logistic(calibration.article_escalation, *direction)
    de_escalation = logistic(calibration.article_de_escalation, *direction[[1, 0, 3, 2]])
    in_scope = float(logistic(calibration.article_scope, scope[0], scope[1]))
    event = (weight + TINY) @ sentences.event / (weight + TINY).sum()
    if in_scope < calibration.scope_threshold:
        weight = np.zeros_like(weight)
    return ArticleFigures(
        np.array([escalation, de_escalation]), in_scope, weight, float(weight @ sentences.score), event, np.asarray(sentences.carried.any(axis=0))
    )


def choose_directions(probabilities: Array, carried: NDArray[np.bool_], thresholds: tuple[float, float], calibration: Calibration) -> NDArray[np.bool_]:
    """Which directions are named, `(..., 2)`: those whose probability reaches the threshold and, where labels are bound to phrases, that a phrase carries.

    Args:
        probabilities: `(..., 2)` of escalation and de-escalation.
        carried: `(..., 2)` of `SentenceFigures` or `ArticleFigures`.
        thresholds: the calibration's for sentences, or for articles.
        calibration: the model's.
    """
    named: NDArray[np.bool_] = (probabilities >= np.array(thresholds)) & (carried | (not calibration.phrase_bound))
    return named


def choose_label(named: Sequence[bool] | NDArray[np.bool_], *, in_scope: bool) -> str:
    """The four-class label of codebook sections 4 and 5, from `(escalation, de-escalation)`; out of scope it is `"neutral"`."""
    escalation, de_escalation = (bool(one) and in_scope for one in named)
    if escalation and de_escalation:
        return "mixed"
    return "escalation" if escalation else "de-escalation" if de_escalation else "neutral"
