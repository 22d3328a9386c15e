"""How far two labellers agree (codebook section 7): Krippendorff's alpha, span F1, status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import krippendorff
import numpy as np

from escalation.signals import BY_NAME
from training.corpus.schema import Phrase, Sentence

IOU = 0.5
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


def overlap(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Intersection over union of two character spans; 0 where they do not touch."""
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return max(0.0, shared / (max(a[1], b[1]) - min(a[0], b[0])))


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
