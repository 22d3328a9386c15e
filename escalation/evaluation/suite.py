"""Runs the behaviour suite on a model."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import binomtest

from escalation.evaluation.behaviour import Case, Verdict, judge
from escalation.evaluation.report import Capability, Failure
from escalation.scorer import Scorer


def run_suite(scorer: Scorer, cases: Sequence[Case], *, show_progress_bar: bool = False) -> list[Verdict]:
    """Judges every case; their texts are read by `score_many`, as a user would."""
    results = scorer.score_many([text for case in cases for text in case.texts], show_progress_bar=show_progress_bar)
    verdicts, first = [], 0
    for case in cases:
        verdicts.append(judge(case, results[first : first + len(case.texts)]))
        first += len(case.texts)
    return verdicts


def summarize(verdicts: Sequence[Verdict]) -> tuple[tuple[Capability, ...], tuple[Failure, ...]]:
    """Failure rates by capability, with Wilson's (1927) interval, and the failed cases."""
    found = []
    for name in sorted({verdict.case.capability for verdict in verdicts}):
        part = [verdict for verdict in verdicts if verdict.case.capability == name]
        failed = sum(bool(verdict.problems) for verdict in part)
        bounds = binomtest(failed, len(part)).proportion_ci(method="wilson")
        found.append(Capability(name, len(part), failed, float(bounds.low), float(bounds.high)))
    failures = tuple(Failure(v.case.id, v.case.capability, " ⟶ ".join(v.case.texts), v.problems, v.case.why) for v in verdicts if v.problems)
    return tuple(found), failures
