"""Do the highlighted words make the score? The text is scored again without them, and with them alone.

Comprehensiveness and sufficiency as ERASER defines them (DeYoung et al., ACL 2020, section 4) and ferret computes them (Attanasio et al., EACL 2023): the
fall of the predicted direction's probability when the rationale is taken out, and when only it is left. A faithful rationale has a high
comprehensiveness and a low sufficiency. Beside them stand the same figures for as many words drawn at random from the rest of the text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from escalation.result import Score
from escalation.scorer import Scorer
from escalation.signals import DIRECTIONS

WORD = re.compile(r"\w+(?:['’-]\w+)*")
NEUTRAL = "something"  # what stands in for a word that is replaced: as a subject or an object it says nothing of conflict
CASES = 400  # texts that are tried at most: each costs six readings
KEYS = (
    "comprehensiveness",
    "comprehensiveness_random",
    "replacement",
    "replacement_random",
    "sufficiency",
    "sufficiency_random",
    "score_drop",
    "score_drop_random",
)
TITLES = {
    "comprehensiveness": "Fall of the probability without the highlighted words",
    "comprehensiveness_random": "… without as many random words",
    "replacement": "Fall with the highlighted words replaced",
    "replacement_random": "… with as many random words replaced",
    "sufficiency": "Fall with the highlighted words alone",
    "sufficiency_random": "… with as many random words alone",
    "score_drop": "Fall of |score| without the highlighted words",
    "score_drop_random": "… without as many random words",
}


@dataclass(frozen=True)
class Faithfulness:
    """What was measured.

    Attributes:
        group: `(n,)` text that each case belongs to.
        values: `(n, len(KEYS))`.
        largest_gap: largest difference between a score and the sum of its highlights' scores, over all texts.
    """

    group: NDArray[np.int64]
    values: NDArray[np.float64]
    largest_gap: float


def words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand."""
    return [match.span() for match in WORD.finditer(text)]


def rewrite(text: str, words: Sequence[tuple[int, int]], chosen: set[tuple[int, int]], put: Callable[[str, bool], str]) -> str:
    """The text with each word as `put(word, whether chosen)` gives it, spaces tidied."""
    parts, last = [], 0
    for start, end in words:
        parts += [text[last:start], put(text[start:end], (start, end) in chosen)]
        last = end
    return re.sub(r"\s+", " ", "".join([*parts, text[last:]])).strip()


def variants(text: str, chosen: set[tuple[int, int]]) -> list[str]:
    """The text without the chosen words, with them replaced, and with them alone."""
    words = words_of(text)
    return [
        rewrite(text, words, chosen, lambda word, taken: "" if taken else word),
        rewrite(text, words, chosen, lambda word, taken: NEUTRAL if taken else word),
        " ".join(text[start:end] for start, end in words if (start, end) in chosen),
    ]


def highlighted(result: Score, direction: str) -> set[tuple[int, int]]:
    """The words of the counted highlights that speak for a direction."""
    sign = 1 if direction == DIRECTIONS[0] else -1
    spans = [(h.start, h.end) for h in result.highlights if h.score * sign > 0]
    return {(start, end) for start, end in words_of(result.text) if any(start < b and end > a for a, b in spans)}


def choose(results: Sequence[Score], rng: random.Random) -> list[tuple[int, str, set[tuple[int, int]], set[tuple[int, int]]]]:
    """Cases: number of the text, predicted direction, its highlighted words, as many random others.

    A text is tried where it has a direction and counted highlights, and at least as many other words to draw from.
    """
    found = []
    for number, result in enumerate(results):
        direction = max(DIRECTIONS, key=lambda name: result.probabilities[name])
        words = highlighted(result, direction)
        rest = sorted(set(words_of(result.text)) - words)
        if result.label != "neutral" and words and len(rest) >= len(words):
            found.append((number, direction, words, set(rng.sample(rest, len(words)))))
    return rng.sample(found, CASES) if len(found) > CASES else found


def measure_faithfulness(scorer: Scorer, results: Sequence[Score], *, seed: int = 0, show_progress_bar: bool = False) -> Faithfulness:
    """Scores texts again without their highlights and with them alone.

    Args:
        scorer: the model that gave `results`.
        results: texts as it read them.
        seed: of the random words.
        show_progress_bar: on standard error.
    """
    cases = choose(results, random.Random(seed))
    texts = [text for number, _, ours, others in cases for words in (ours, others) for text in variants(results[number].text, words)]
    scored = scorer.score_many(texts, show_progress_bar=show_progress_bar)
    values = np.zeros((len(cases), len(KEYS)))
    for row, (number, direction, _, _) in enumerate(cases):
        before = results[number]
        removed, replaced, alone, removed_random, replaced_random, alone_random = scored[6 * row : 6 * row + 6]

        def fall(after: Score, before: Score = before, direction: str = direction) -> float:
            return before.probabilities[direction] - after.probabilities[direction]

        values[row] = [
            fall(removed), fall(removed_random), fall(replaced), fall(replaced_random), fall(alone), fall(alone_random),
            abs(before.score) - abs(removed.score), abs(before.score) - abs(removed_random.score),
        ]  # fmt: skip
    gaps = [abs(result.score - sum(h.score for h in result.highlights)) for result in results]
    return Faithfulness(np.array([number for number, *_ in cases], np.int64), values, max(gaps, default=0.0))
