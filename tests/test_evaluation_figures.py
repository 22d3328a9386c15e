"""Every figure on a case small enough to check by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from escalation.evaluation.labelled import LabelledPhrase, Labels
from escalation.evaluation.metrics import BY_KEY, reliability, risk_coverage
from escalation.evaluation.predict import Evidence, Prediction
from escalation.evaluation.rows import Rows, count_phrases, label_tokens, make_rows, match
from escalation.evaluation.uncertainty import compare, draw_texts, estimate, interval, measured_rows
from escalation.result import Highlight
from escalation.signals import EVENTS, SIGNAL_INDEX

E, D, M, N = "escalation", "de-escalation", "mixed", "neutral"
HALVES = {E: (1, 0), D: (0, 1), M: (1, 1), N: (0, 0)}
NO_TOKENS = np.zeros((2, 0))


def rows_of(*cases: tuple[Labels, Prediction], groups: list[int] | None = None) -> Rows:
    return make_rows([(group, labels, found, NO_TOKENS) for group, (labels, found) in zip(groups or range(len(cases)), cases, strict=True)])


def labels(name: str | None = None, **known: object) -> Labels:
    halves = HALVES[name] if name else (None, None)
    return Labels(halves[0], halves[1], **known)  # type: ignore[arg-type]


def figure(key: str, rows: Rows) -> float:
    metric = BY_KEY[key]
    return metric.compute(rows.take(metric.needs(rows)))


def highlight(start: int, end: int, signal: str = "attack", direction: str = E, status: str = "asserted", score: float = 0.1) -> Highlight:
    return Highlight("x" * (end - start), start, end, signal, direction, status, score)


def test_direction_is_macro_f1_over_the_classes_that_are_labelled() -> None:
    rows = rows_of(*[(labels(gold), Prediction(found)) for gold, found in [(E, E), (E, D), (D, D), (N, N), (N, E)]])
    # escalation: P 1/2, R 1/2, F 1/2; de-escalation: P 1/2, R 1, F 2/3; neutral: P 1, R 1/2, F 2/3
    assert figure("direction_f1", rows) == pytest.approx((1 / 2 + 2 / 3 + 2 / 3) / 3)
    assert figure("direction_accuracy", rows) == pytest.approx(3 / 5)


def test_severity_is_compared_with_ten_times_the_score() -> None:
    rows = rows_of(*[(labels(severity=s), Prediction(None, score)) for s, score in [(8.0, 0.6), (-4.0, -0.4), (0.0, 0.1)]])
    assert figure("severity_error", rows) == pytest.approx((2 + 0 + 1) / 3)
    assert figure("severity_spearman", rows) == pytest.approx(1.0)
    x, y = np.array([0.8, -0.4, 0.0]), np.array([0.6, -0.4, 0.1])
    by_hand = ((x - x.mean()) * (y - y.mean())).sum() / math.sqrt(((x - x.mean()) ** 2).sum() * ((y - y.mean()) ** 2).sum())
    assert figure("severity_pearson", rows) == pytest.approx(by_hand)


def test_scope_counts_false_alarms_among_what_is_outside_only() -> None:
    cases = [(False, True, E), (False, False, N), (False, False, N), (False, False, D), (True, True, E), (True, False, N)]
    rows = rows_of(*[(labels(in_scope=gold), Prediction(label, in_scope=found)) for gold, found, label in cases])
    assert figure("scope_false_alarm", rows) == pytest.approx(1 / 4)
    assert figure("direction_false_alarm", rows) == pytest.approx(2 / 4)
    assert figure("scope_recall", rows) == pytest.approx(1 / 2)


def test_events_are_scored_as_root_quad_and_binary_without_restrain() -> None:
    cases = [("attack", {"attack": 0.9}), ("attack", {"coerce": 0.9, "attack": 0.1}), ("agree", {"restrain": 0.9, "consult": 0.2}), ("aid", {"accuse": 1.0})]
    quads = {"attack": "material conflict", "agree": "verbal cooperation", "aid": "material cooperation"}
    rows = rows_of(*[(labels(signal=gold, quad=quads[gold]), Prediction(None, signals=found)) for gold, found in cases])
    assert figure("event_root_f1", rows) == pytest.approx((2 / 3 + 0 + 0) / 3)  # attack: P 1, R 1/2
    assert figure("event_quad_f1", rows) == pytest.approx((1 + 1 + 0) / 3)
    # conflict: P 2/3, R 1, F 4/5; cooperation: P 1, R 1/2, F 2/3
    assert figure("event_binary_f1", rows) == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_the_probabilities_of_events_are_held_against_what_coders_chose() -> None:
    sure = dict.fromkeys(EVENTS, 0.0) | {"attack": 1.0}
    half = dict.fromkeys(EVENTS, 0.0) | {"agree": 0.55, "consult": 0.45}
    rows = rows_of(
        (labels(signal="attack"), Prediction(None, events=sure)),
        (labels(signal="agree"), Prediction(None, events=half)),
        (labels(signal="consult"), Prediction(None, events=half)),
        (labels(signal="aid"), Prediction(None, signals={"aid": 1.0})),  # no probabilities of events
        (labels(signal="restrain"), Prediction(None, events=sure)),  # no event of PLOVER
    )
    assert figure("event_ece", rows) == pytest.approx(2 / 3 * 0.05)  # twice 0.55, right once
    assert figure("event_log_loss", rows) == pytest.approx(-(np.log(0.55) + np.log(0.45)) / 3)
    wrong = rows_of((labels(signal="aid"), Prediction(None, events=sure)))
    assert figure("event_log_loss", wrong) == pytest.approx(-np.log(1e-6))
    assert "event_ece" not in measured_rows(rows_of((labels(signal="aid"), Prediction(None, signals={"aid": 1.0}))))


def test_restrain_is_no_plover_root_and_counts_neither_way() -> None:
    cases = [("attack", {"attack": 0.9}), ("restrain", {"restrain": 0.9, "consult": 0.2})]
    assert figure("event_root_f1", rows_of(*[(labels(signal=gold), Prediction(None, signals=found)) for gold, found in cases])) == 1.0


def test_a_quad_class_alone_gives_quad_and_binary_but_no_root() -> None:
    rows = rows_of(
        (labels(quad="verbal conflict"), Prediction(None, signals={"accuse": 1.0})),
        (labels(quad="verbal cooperation"), Prediction(None, signals={"agree": 1.0})),
    )
    assert figure("event_quad_f1", rows) == 1.0
    assert "event_root_f1" not in measured_rows(rows)


def test_spans_are_paired_at_half_overlap_one_to_one_by_direction() -> None:
    found = [highlight(0, 10), highlight(20, 30, "agree", D), highlight(40, 50)]
    gold = [LabelledPhrase(0, 8, "coerce", E, "asserted"), LabelledPhrase(20, 30, "agree", D, "negated"), LabelledPhrase(45, 65, "attack", E, None)]
    rows = rows_of((labels(phrases=tuple(gold)), Prediction(None, highlights=tuple(found))))
    # 0:10 with 0:8 overlaps by 8/10; 20:30 exactly; 40:50 with 45:65 by 5/25, which is too little
    assert figure("span_precision", rows) == figure("span_recall", rows) == figure("span_f1", rows) == pytest.approx(2 / 3)
    assert figure("span_exact_f1", rows) == pytest.approx(1 / 3)
    assert figure("span_signal_f1", rows) == pytest.approx(1 / 3)
    assert figure("span_signal_status_f1", rows) == 0.0
    assert figure("status_accuracy", rows) == pytest.approx(1 / 2)
    # characters: 30 found, 38 labelled, 8 + 10 + 5 in both
    assert figure("span_char_precision", rows) == pytest.approx(23 / 30)
    assert figure("span_char_recall", rows) == pytest.approx(23 / 38)
    assert figure("span_char_f1", rows) == pytest.approx(2 * 23 / 68)


def test_two_highlights_never_share_one_gold_phrase() -> None:
    assert len(match([highlight(0, 6), highlight(5, 10)], [LabelledPhrase(0, 10, "attack", E, None)])) == 1


def test_a_span_of_the_other_direction_is_no_match() -> None:
    assert count_phrases([highlight(0, 10, "agree", D)], [LabelledPhrase(0, 10, "attack", E, None)])[2:5] == [0, 0, 0]


def test_token_evidence_is_ranked_against_gold_tokens() -> None:
    evidence = Evidence(np.array([[0, 2], [3, 5], [6, 8], [9, 11]]), np.array([0.9, 0.8, 0.3, 0.2]))
    tokens = label_tokens(evidence, (LabelledPhrase(0, 2, "attack", E, None), LabelledPhrase(6, 8, "attack", E, None)), 0, 11)
    rows = make_rows([(0, labels(), Prediction(None), tokens)])
    # gold at ranks 1 and 3: average precision (1/1 + 2/3) / 2
    assert figure("evidence_auprc", rows) == pytest.approx((1 + 2 / 3) / 2)


def test_tokens_of_other_sentences_do_not_count() -> None:
    evidence = Evidence(np.array([[0, 2], [3, 5], [6, 8]]), np.array([0.9, 0.8, 0.3]))
    assert label_tokens(evidence, (), 3, 5).tolist() == [[0.8], [0.0]]


def test_calibration_error_weighs_bins_by_their_count() -> None:
    cases = [((0.15, 0.0), N), ((0.15, 0.0), E), ((0.95, 0.0), E), ((0.95, 0.0), E)]
    rows = rows_of(*[(labels(gold), Prediction(None, probabilities=p)) for p, gold in cases])
    # escalation: 2/4 × |0.15 − 0.5| + 2/4 × |0.95 − 1|; de-escalation: 0
    assert figure("ece", rows) == pytest.approx((0.5 * 0.35 + 0.5 * 0.05 + 0) / 2)
    assert figure("brier", rows) == pytest.approx(((0.15**2 + 0.85**2 + 2 * 0.05**2) / 4 + 0) / 2)


def test_a_bin_tells_its_count_its_mean_and_what_happened() -> None:
    (low, high) = reliability(np.array([0.02, 0.08, 1.0]), np.array([0.0, 1.0, 1.0]))
    assert (low.count, low.predicted, low.happened) == (2, pytest.approx(0.05), 0.5)
    assert (high.low, high.high, high.count) == (0.9, 1.0, 1)


def test_the_interval_holds_a_severity_on_its_edge() -> None:
    rows = rows_of(
        (labels(severity=5), Prediction(None, 0.3, interval=(0.1, 0.5))),
        (labels(severity=6), Prediction(None, 0.3, interval=(0.1, 0.5))),
        (labels(severity=1), Prediction(None, 0.3)),
    )
    assert figure("interval_coverage", rows) == pytest.approx(1 / 2)


def test_risk_grows_as_less_sure_answers_are_added() -> None:
    cases = [((0.99, 0.01), E, E), ((0.6, 0.1), E, N), ((0.9, 0.1), E, E)]
    rows = rows_of(*[(labels(gold), Prediction(found, probabilities=p)) for p, found, gold in cases])
    answered, risk = risk_coverage(rows)
    assert answered.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert risk.tolist() == pytest.approx([0, 0, 1 / 3])
    assert figure("risk_area", rows) == pytest.approx(1 / 9)


def test_rows_of_one_text_are_drawn_together() -> None:
    rows = rows_of(*[(labels(E), Prediction(found)) for found in (E, E, N, N)], groups=[0, 0, 1, 1])
    metric = BY_KEY["direction_accuracy"]
    values = {metric.compute(rows.take(np.concatenate([np.flatnonzero(rows.group == text) for text in drawn]))) for drawn in draw_texts(2, 50)}
    assert values == {0.0, 0.5, 1.0}
    found = estimate(rows, metric, draw_texts(2, 400), 2)
    assert (found.value, found.low, found.high, found.count) == (0.5, 0.0, 1.0, 4)


def test_the_interval_is_the_middle_95_per_cent() -> None:
    low, high = interval([float(value) for value in range(1001)])
    assert (low, high) == (25.0, 975.0)
    assert interval([1.0, math.nan, 3.0])[1] <= 3.0
    assert math.isnan(interval([math.nan])[0])


def test_differences_are_paired() -> None:
    ours = rows_of(*[(labels(E), Prediction(found)) for found in (E, N, E, N)])
    theirs = rows_of(*[(labels(E), Prediction(N)) for _ in range(4)])
    same = compare(ours, ours, draw_texts(4, 50), 4)["direction_accuracy"]
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    assert compare(ours, theirs, draw_texts(4, 50), 4)["direction_accuracy"].value == pytest.approx(0.5)


def test_what_only_one_model_can_be_measured_on_is_not_compared() -> None:
    ours = rows_of((labels(E, severity=5), Prediction(E, 0.5)), (labels(N, severity=0), Prediction(N, 0.0)))
    theirs = rows_of((labels(E, severity=5), Prediction(E)), (labels(N, severity=0), Prediction(N)))
    assert set(compare(ours, theirs, draw_texts(2, 5), 2)) == {"direction_f1", "direction_accuracy"}


def test_a_text_that_is_not_scored_has_no_event() -> None:
    rows = rows_of(
        (labels(signal="aid"), Prediction(None, signals={"aid": 0.0}, events={})),
        (labels(signal="aid"), Prediction(None, signals={"attack": 1.0}, events={"aid": 1.0})),
    )
    assert rows.event.tolist() == [-1, SIGNAL_INDEX["aid"]]
