"""The numbers that turn raw evidence into calibrated figures; fitted on held-out articles by `training.calibrate`, stored in a model's config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Parameters of evidence pooling. Logistic maps are `(intercept, slope, ...)` over the inputs named.

    Attributes:
        phrase_threshold: odds that "no phrase" is weighed by in decoding, as a probability; at 0.5 it counts as any signal.
        switch_cost: cost, in natural log units, of each change of label from word to word.
        sentence_escalation: Platt (1999) map of the logit of the pooled escalation evidence of a sentence.
        sentence_de_escalation: the same for de-escalation.
        sentence_scope: the same for scope.
        sentence_signal: the same, one map shared by the 16 signals.
        event_map: slopes of the event logits and of the logarithms of the signals' probabilities in what the events are a softmax of.
        relevance_power: exponent of a sentence's larger direction probability in its article weight.
        position_decay: weight of the last sentence of an article is exp(−decay) of the first's, all else equal.
        doubt: added to the sum of the weights: an article with little evidence stays near 0.
        article_escalation: logistic map of (escalation mass, de-escalation mass, largest escalation in a sentence, largest de-escalation).
        article_de_escalation: the same for de-escalation, the two directions exchanged.
        article_scope: logistic map of (mean scope probability of the sentences, largest scope × direction probability of a sentence).
        sentence_thresholds: escalation and de-escalation probability from which a sentence is labelled so.
        article_thresholds: the same for an article.
        scope_threshold: scope probability from which a text is in scope.
        phrase_bound: whether a label names a direction only where a highlight carries it: so that no label is without its reason. Not for models that
            learnt from sentences alone and mark few phrases; `training.calibrate` decides on held-out sentences.
        sentence_interval: half width of the 90 % interval of a sentence's score (split conformal: Vovk et al. 2005; Lei et al. 2018).
        article_interval: the same for an article.
    """

    phrase_threshold: float = 0.3
    switch_cost: float = 1.5
    sentence_escalation: tuple[float, ...] = (0.0, 1.0)
    sentence_de_escalation: tuple[float, ...] = (0.0, 1.0)
    sentence_scope: tuple[float, ...] = (0.0, 1.0)
    sentence_signal: tuple[float, ...] = (0.0, 1.0)
    event_map: tuple[float, float] = (1.0, 0.0)
    relevance_power: float = 1.0
    position_decay: float = 0.0
    doubt: float = 0.1
    article_escalation: tuple[float, ...] = (-4.0, 4.0, 0.0, 4.0, 0.0)
    article_de_escalation: tuple[float, ...] = (-4.0, 4.0, 0.0, 4.0, 0.0)
    article_scope: tuple[float, ...] = (-3.0, 4.0, 2.0)
    sentence_thresholds: tuple[float, float] = (0.5, 0.5)
    article_thresholds: tuple[float, float] = (0.5, 0.5)
    scope_threshold: float = 0.5
    phrase_bound: bool = False
    sentence_interval: float = 1.0
    article_interval: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Reads `to_dict`'s form.

        Raises:
            ValueError: a name is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        values = {"phrase_bound": False, "event_map": (1.0, 0.0), **values}  # models before 0.6 don't have the first, those before 0.8 the second
        if set(values) != names:
            raise ValueError(f"calibration must have the fields {sorted(names)}, got {sorted(values)}; export the model again")
        given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        for name in ("article_escalation", "article_de_escalation"):  # before 0.3 without the other direction's largest value
            given[name] = (*given[name], 0.0)[:5]
        return cls(**given)


def sigmoid(x: Array) -> Array:
    """The logistic function, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(x, dtype=np.float64)))


def logit(probability: Array) -> Array:
    """Inverse of `sigmoid`; its argument is kept within 1e-6 of 0 and 1."""
    clipped = np.clip(np.asarray(probability, dtype=np.float64), 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def logistic(coefficients: tuple[float, ...], *inputs: Array | float) -> Array:
    """`sigmoid(c0 + c1·x1 + c2·x2 + ...)`, elementwise."""
    total = np.full(np.shape(inputs[0]), coefficients[0], dtype=np.float64)
    for coefficient, value in zip(coefficients[1:], inputs, strict=True):
        total = total + coefficient * np.asarray(value, dtype=np.float64)
    return sigmoid(total)
