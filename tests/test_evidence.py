"""Evidence to phrases and scores: the formulas on cases small enough to check by hand."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest

from escalation.calibration import Calibration, logistic, logit, sigmoid
from escalation.evidence import (
    DIRECTION_LOGITS,
    DOUBT,
    EVENT_LOGITS,
    MANY,
    N_LOGITS,
    SIGNAL_LOGITS,
    Phrase,
    SentenceFigures,
    TokenFigures,
    article_features,
    choose_directions,
    choose_label,
    find_phrases,
    label_words,
    pool,
    read_logits,
    score_article,
    score_sentences,
    weigh_sentences,
)  # fmt: skip
from escalation.signals import BY_NAME, EVENTS, SIGNAL_INDEX, SIGNALS, STATUS_INDEX

ATTACK, AGREE = SIGNAL_INDEX["attack"], SIGNAL_INDEX["agree"]


def figures(rows: list[tuple[int | None, float]], direction: list[tuple[float, float]] | None = None, severity: float = 1.0) -> TokenFigures:
    """Token figures of rows (signal, probability)."""
    signal = np.zeros((len(rows), len(SIGNALS)))
    for row, (index, probability) in enumerate(rows):
        if index is not None:
            signal[row, index] = probability
    counted = np.array(direction if direction is not None else [(0.0, 0.0)] * len(rows))
    n = len(rows)
    return TokenFigures(signal, np.tile([1.0, 0, 0, 0, 0], (n, 1)), counted, np.full(n, severity), np.zeros(n), np.zeros((n, 0)))


EVEN = Calibration(phrase_threshold=0.5, switch_cost=0.5)


def phrases(tokens: TokenFigures, words: list[int], is_word: list[bool] | None = None, calibration: Calibration = EVEN) -> list[tuple[int, int, int]]:
    found = find_phrases(tokens, np.array(words), np.array(is_word or [True] * len(words)), np.array([0, len(words)]), calibration)[0]
    return [(p.first, p.last, p.signal) for p in found]


def test_linear_softmax_pooling_by_hand() -> None:
    bounds = np.array([0, 2, 2, 3])
    pooled = pool(np.array([0.9, 0.1, 0.5]), bounds)
    np.testing.assert_allclose(pooled, [(0.81 + 0.01) / 1.0, 0.0, 0.5], atol=1e-5)


def test_severity_is_the_evidence_weighted_mean_with_doubt() -> None:
    tokens = figures([(ATTACK, 1.0), (None, 0.0), (AGREE, 1.0)], [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0)], severity=0.8)
    result = score_sentences(tokens, np.array([0, 3]), [Phrase(0, 1, ATTACK, 0), Phrase(2, 3, AGREE, 0)], Calibration())
    np.testing.assert_allclose(result.share, [0.8 / (DOUBT + 2), 0, -0.8 / (DOUBT + 2)])
    assert result.score[0] == pytest.approx(0.0)
    only_attack = score_sentences(tokens, np.array([0, 3]), [Phrase(0, 1, ATTACK, 0)], Calibration())
    assert only_attack.score[0] == pytest.approx(0.8 / (DOUBT + 1))


def test_shares_add_up_to_the_sentence_score() -> None:
    rng = np.random.default_rng(0)
    tokens = read_logits(rng.normal(size=(30, N_LOGITS)).astype(np.float32))
    bounds = np.array([0, 7, 7, 30])
    result = score_sentences(tokens, bounds, [Phrase(2, 5, 0, 0), Phrase(10, 20, 3, 1)], Calibration())
    np.testing.assert_allclose([result.share[a:b].sum() for a, b in pairwise(bounds)], result.score, atol=1e-12)


def test_token_figures_are_probabilities() -> None:
    tokens = read_logits(np.random.default_rng(1).normal(size=(9, N_LOGITS)).astype(np.float32) * 20)
    assert (tokens.signal.sum(axis=1) <= 1 + 1e-9).all()
    np.testing.assert_allclose(tokens.status.sum(axis=1), 1)
    assert (tokens.direction <= tokens.signal.sum(axis=1, keepdims=True) + 1e-9).all()


def test_no_phrase_no_counted_evidence() -> None:
    logits = np.zeros((1, N_LOGITS), np.float32)
    logits[0, SIGNAL_LOGITS.start] = 50.0
    assert read_logits(logits).direction.max() < 1e-9


def test_a_phrase_is_a_run_of_whole_words_of_one_signal() -> None:
    tokens = figures([(ATTACK, 0.95), (ATTACK, 0.5), (None, 0), (AGREE, 0.9), (ATTACK, 0.95)])
    # the first two tokens are one word, its evidence their mean
    assert phrases(tokens, [0, 0, 1, 2, 3]) == [(0, 2, ATTACK), (3, 4, AGREE), (4, 5, ATTACK)]


def test_a_word_in_doubt_does_not_break_a_phrase() -> None:
    doubtful = figures([(ATTACK, 0.95), (ATTACK, 0.4), (ATTACK, 0.95)])
    assert phrases(doubtful, [0, 1, 2]) == [(0, 3, ATTACK)]
    assert phrases(doubtful, [0, 1, 2], calibration=Calibration(phrase_threshold=0.5, switch_cost=0.0)) == [(0, 1, ATTACK), (2, 3, ATTACK)]
    assert phrases(figures([(ATTACK, 0.95), (None, 0.0), (ATTACK, 0.95)]), [0, 1, 2]) == [(0, 1, ATTACK), (2, 3, ATTACK)]


def test_decoding_is_the_best_sequence() -> None:
    """Against every sequence of a short sentence, tried one by one."""
    rng = np.random.default_rng(2)
    calibration = Calibration(phrase_threshold=0.4, switch_cost=1.0)
    bias = math.log(0.4 / 0.6)
    for _ in range(20):
        raw = rng.dirichlet([0.3, 0.3, 0.3], size=4)
        signal = np.zeros((4, len(SIGNALS)))
        signal[:, [ATTACK, AGREE]] = raw[:, 1:]

        def quality(path: tuple[int, ...], raw: np.ndarray = raw) -> float:
            gain = sum(math.log(max(row[label], 1e-4)) + (bias if label == 0 else 0) for row, label in zip(raw, path, strict=True))
            return gain - sum(a != b for a, b in pairwise(path))

        best = max(product(range(3), repeat=4), key=quality)
        assert label_words(signal, np.array([0, 4]), calibration).tolist() == [{0: -1, 1: ATTACK, 2: AGREE}[label] for label in best]


def test_sentences_decoded_together_are_decoded_as_each_alone() -> None:
    rng = np.random.default_rng(3)
    lengths = [4, 1, 9, 2, 9]
    signal = rng.dirichlet(np.full(17, 0.2), size=sum(lengths))[:, 1:]
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    assert len(lengths) >= MANY  # so that they are decoded side by side
    together = label_words(signal, bounds, EVEN)
    alone = [label_words(signal[a:b], np.array([0, b - a]), EVEN) for a, b in pairwise(bounds)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    assert len(label_words(np.zeros((0, 16)), np.array([0]), EVEN)) == 0


def test_phrases_keep_to_their_sentence() -> None:
    """The last word of one sentence and the first of the next carry the same signal and the same number; between them stands an empty sentence."""
    tokens = figures([(None, 0.0), (ATTACK, 0.9), (ATTACK, 0.9), (None, 0.0), (AGREE, 0.9)])
    found = find_phrases(tokens, np.array([0, 1, 1, 2, 3]), np.ones(5, bool), np.array([0, 2, 2, 4, 5]), EVEN)
    assert [[(p.first, p.last, p.signal) for p in of_sentence] for of_sentence in found] == [[(1, 2, ATTACK)], [], [(2, 3, ATTACK)], [(4, 5, AGREE)]]


def test_sums_know_nothing_of_their_neighbours() -> None:
    """To the last bit: a running total, subtracted, would carry the digits of what went before."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=(40, 3)) * 1e6
    small = rng.normal(size=(7, 3)) * 1e-6
    alone = pool(np.abs(small), np.array([0, 0, 7, 7]))
    behind = pool(np.abs(np.concatenate([values, small])), np.array([0, 40, 40, 47, 47]))
    np.testing.assert_array_equal(alone, behind[1:])


def test_events_told_by_signals_know_nothing_of_their_neighbours() -> None:
    """A model whose logits end before the events."""
    logits = np.random.default_rng(5).normal(size=(60, EVENT_LOGITS.start)).astype(np.float32)
    bounds = np.arange(0, 61, 3)
    together = score_sentences(read_logits(logits), bounds, [], Calibration()).event
    for index, (first, last) in enumerate(pairwise(bounds)):
        alone = score_sentences(read_logits(logits[first:last]), np.array([0, 3]), [], Calibration()).event
        np.testing.assert_array_equal(alone[0], together[index])


def test_the_threshold_weighs_no_phrase() -> None:
    tokens = figures([(ATTACK, 0.4)])
    assert phrases(tokens, [0]) == []
    assert phrases(tokens, [0], calibration=Calibration(phrase_threshold=0.3)) == [(0, 1, ATTACK)]


def test_punctuation_at_the_ends_is_left_out() -> None:
    tokens = figures([(ATTACK, 0.9)] * 4)
    assert phrases(tokens, [0, 1, 2, 3], [False, True, False, False]) == [(1, 2, ATTACK)]
    assert phrases(tokens, [0, 1, 2, 3], [False] * 4) == []


def test_weights_follow_relevance_position_and_doubt() -> None:
    direction = np.array([[0.8, 0.1], [0.0, 0.0], [0.1, 0.8]])
    even = weigh_sentences(direction, Calibration(doubt=0.4))
    np.testing.assert_allclose(even, [0.4, 0.0, 0.4])
    early = weigh_sentences(direction, Calibration(doubt=0.0, position_decay=math.log(3)))
    np.testing.assert_allclose(early, [0.75, 0.0, 0.25])


def sentence_figures(direction: list[tuple[float, float]], scope: list[float], score: list[float]) -> SentenceFigures:
    n = len(score)
    return SentenceFigures(
        np.array(direction), np.array(scope), np.zeros((n, 16)), np.array(score), np.zeros(0), np.ones((n, 2), bool), np.full((n, 15), 1 / 15)
    )  # fmt: skip


def test_article_score_is_the_weighted_sum_and_zero_out_of_scope() -> None:
    calibration = Calibration(doubt=0.4, article_scope=(-5.0, 10.0, 0.0))
    inside = score_article(sentence_figures([(0.8, 0.0), (0.0, 0.8)], [1.0, 1.0], [0.9, -0.3]), calibration)
    assert inside.score == pytest.approx(0.4 * 0.9 - 0.4 * 0.3)
    outside = score_article(sentence_figures([(0.8, 0.0), (0.0, 0.8)], [0.0, 0.0], [0.9, -0.3]), calibration)
    assert (outside.score, outside.weight.sum()) == (0.0, 0.0)
    assert outside.scope < 0.5 < inside.scope


def test_article_features_by_hand() -> None:
    direction, scope = article_features(np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([1.0, 0.5]), np.array([0.5, 0.25]))
    np.testing.assert_allclose(direction, [0.5, 0.25, 0.8, 0.6])
    np.testing.assert_allclose(scope, [0.75, 0.8])


@pytest.mark.parametrize(
    ("probabilities", "label"), [((0.9, 0.9), "mixed"), ((0.9, 0.1), "escalation"), ((0.1, 0.9), "de-escalation"), ((0.1, 0.1), "neutral")]
)
def test_labels(probabilities: tuple[float, float], label: str) -> None:
    named = choose_directions(np.array(probabilities), np.array([False, False]), (0.5, 0.5), Calibration())
    assert choose_label(named, in_scope=True) == label
    assert choose_label(named, in_scope=False) == "neutral"


def test_bound_labels_name_only_what_a_phrase_carries() -> None:
    bound = Calibration(phrase_bound=True)
    for carried, label in (((True, True), "mixed"), ((True, False), "escalation"), ((False, True), "de-escalation"), ((False, False), "neutral")):
        named = choose_directions(np.array([0.9, 0.9]), np.array(carried), (0.5, 0.5), bound)
        assert choose_label(named, in_scope=True) == label
    assert not choose_directions(np.array([0.4, 0.4]), np.array([True, True]), (0.5, 0.5), bound).any()


def test_phrases_carry_the_directions_that_their_shares_have() -> None:
    raw = np.zeros((6, N_LOGITS), np.float32)
    raw[:, 0] = 9.0
    raw[[0, 2, 4], 1] = 18.0  # a word of a phrase in each of three sentences
    raw[:, DIRECTION_LOGITS] = -9.0
    raw[[0, 4], DIRECTION_LOGITS.start] = 9.0
    raw[2, DIRECTION_LOGITS.start + 1] = 9.0
    past = STATUS_INDEX["historical"]
    found = [Phrase(0, 1, 0, 0), Phrase(2, 3, 0, 0), Phrase(4, 5, 0, past)]
    figures = score_sentences(read_logits(raw), np.array([0, 2, 4, 6]), found, Calibration())
    assert figures.carried.tolist() == [[True, False], [False, True], [False, False]]  # what is past carries nothing
    assert score_article(figures, Calibration()).carried.tolist() == [True, True]


def test_a_calibration_of_before_labels_were_bound_reads_as_unbound() -> None:
    values = Calibration(phrase_bound=True).to_dict()
    assert Calibration.from_dict(values).phrase_bound
    del values["phrase_bound"], values["event_map"]
    assert not Calibration.from_dict(values).phrase_bound
    assert Calibration.from_dict(values).event_map == (1.0, 0.0)


def test_logistic_maps() -> None:
    assert logistic((1.0, 2.0), np.array([0.5])) == pytest.approx(1 / (1 + math.exp(-2.0)))
    np.testing.assert_allclose(sigmoid(logit(np.array([0.01, 0.5, 0.99]))), [0.01, 0.5, 0.99])
    assert np.isfinite(sigmoid(np.array([-1e4, 1e4]))).all()


def test_calibration_round_trip_and_unknown_fields() -> None:
    calibration = Calibration(doubt=0.3, sentence_scope=(0.1, 0.2))
    assert Calibration.from_dict(calibration.to_dict()) == calibration
    with pytest.raises(ValueError, match="calibration must have the fields"):
        Calibration.from_dict({"doubt": 0.3})


def test_the_codebook_as_data() -> None:
    assert len(SIGNALS) == 16
    assert [s.name for s in SIGNALS if s.plover is None] == ["restrain"]
    assert {s.quad for s in SIGNALS if s.direction == "escalation"} == {"material conflict", "verbal conflict"}
    assert (BY_NAME["attack"].severity, BY_NAME["yield"].severity, BY_NAME["accuse"].severity) == (10, 8, 3)


def test_historical_and_figurative_phrases_carry_no_share() -> None:
    tokens = figures([(ATTACK, 1.0)] * 3, [(1.0, 0.0)] * 3, severity=0.8)
    found = [Phrase(i, i + 1, ATTACK, STATUS_INDEX[status]) for i, status in enumerate(("asserted", "historical", "figurative"))]
    share = score_sentences(tokens, np.array([0, 3]), found, Calibration()).share
    assert share[0] > 0
    assert share[1] == share[2] == 0.0


def test_events_are_the_mean_over_the_tokens_of_a_sentence() -> None:
    logits = np.zeros((3, N_LOGITS), np.float32)
    logits[:2, EVENT_LOGITS.start + EVENTS.index("agree")] = (4.0, 2.0)
    logits[2, EVENT_LOGITS.start + EVENTS.index("protest")] = 1.0
    figures = score_sentences(read_logits(logits), np.array([0, 2, 3]), [], Calibration())
    assert figures.event[0, EVENTS.index("agree")] == pytest.approx(np.exp(3) / (np.exp(3) + 14))
    assert figures.event[1, EVENTS.index("protest")] == pytest.approx(np.e / (np.e + 14))
    assert score_article(figures, Calibration()).event.sum() == pytest.approx(1.0)


def test_signals_have_the_say_in_the_events_that_the_calibration_gives_them() -> None:
    logits = np.zeros((1, N_LOGITS), np.float32)
    logits[0, EVENT_LOGITS.start + EVENTS.index("reject")] = 2.0
    logits[0, 1 + SIGNAL_INDEX["sanction"]] = 5.0
    logits[0, 1 + SIGNAL_INDEX["restrain"]] = 5.0  # PLOVER lacks it
    tokens, bounds = read_logits(logits), np.array([0, 1])

    def events(*slopes: float) -> np.ndarray:
        return score_sentences(tokens, bounds, [], Calibration(event_map=slopes)).event[0]

    assert EVENTS[int(events(1.0, 0.0).argmax())] == "reject"
    assert EVENTS[int(events(0.5, 1.0).argmax())] == "sanction"
    assert events(0.5, 1.0).sum() == pytest.approx(1.0)
    odds = events(0.5, 0.0)[EVENTS.index("reject")] / events(0.5, 0.0)[EVENTS.index("aid")]
    assert odds == pytest.approx(np.e)  # half of a logit of 2: a temperature


def test_a_model_without_events_tells_them_by_its_signals() -> None:
    logits = np.zeros((1, EVENT_LOGITS.start), np.float32)
    logits[0, 1 + SIGNAL_INDEX["restrain"]] = 9.0  # PLOVER lacks it
    logits[0, 1 + SIGNAL_INDEX["aid"]] = 5.0
    figures = score_sentences(read_logits(logits), np.array([0, 1]), [], Calibration())
    assert EVENTS[int(figures.event[0].argmax())] == "aid"
    assert figures.event.sum() == pytest.approx(1.0)
