"""What scoring returns: frozen dataclasses, plain numbers and text inside, no state."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Coverage:
    """How much was read.

    Attributes:
        characters: characters read; for a scored text always `total_characters`, and 0 for a text that is not scored (see `Score.warnings`).
        total_characters: characters of the text, white space included.
        tokens: word pieces that went through the model, each counted once.
        total_tokens: word pieces of the text; equal to `tokens` for a scored text.
    """

    characters: int
    total_characters: int
    tokens: int
    total_tokens: int


@dataclass(frozen=True)
class Highlight:
    """Words that carry a signal. `article[start:end] == text`, always.

    Attributes:
        text: the words.
        start: offset of the first character in the article.
        end: offset behind the last character in the article.
        signal: one of the 16 signals of the codebook, such as `"restrain"`.
        direction: `"escalation"` or `"de-escalation"`: where the signal points when asserted.
        status: `"asserted"`, `"hypothetical"`, `"negated"`, `"historical"` or `"figurative"` (codebook section 3).
        score: the signed share of the score of the sentence or article it is listed under; the shares of all highlights add up to that
            score. 0 for what is seen and not counted. A negated phrase may count against its direction ("no ceasefire was reached").
    """

    text: str
    start: int
    end: int
    signal: str
    direction: str
    status: str
    score: float


@dataclass(frozen=True)
class SentenceScore:
    """The figures of one sentence; offsets count the characters of the article.

    Attributes:
        text: the sentence as it stands in the article: `article[start:end] == text`.
        start: offset of its first character.
        end: offset behind its last character.
        score: −1 … 1, above 0 escalatory, below 0 de-escalatory: expected severity (codebook section 4) / 10.
        label: `"escalation"`, `"de-escalation"`, `"mixed"` or `"neutral"`.
        probabilities: `{"escalation": p, "de-escalation": p}`, each calibrated for itself; both can be high (mixed) or low (neutral).
        interval: 90 % interval of `score`, from held-out sentences.
        in_scope: False where the sentence speaks of no political or armed actors.
        signals: for each of the 16 signals the probability that the sentence speaks of it, whatever the status.
        highlights: the words that carry the score, in text order, their `score` relative to this sentence.
        coverage: what was read of the sentence.
        events: the same for the sentence as for the article.
    """

    text: str
    start: int
    end: int
    score: float
    label: str
    probabilities: dict[str, float]
    interval: tuple[float, float]
    in_scope: bool
    signals: dict[str, float]
    highlights: tuple[Highlight, ...]
    coverage: Coverage
    events: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """The figures of one article.

    Attributes:
        text: the article, as given.
        score: −1 … 1, above 0 escalatory, below 0 de-escalatory; the sum of the highlights' scores. 0 where `in_scope` is False.
        label: `"escalation"`, `"de-escalation"`, `"mixed"` or `"neutral"`.
        probabilities: `{"escalation": p, "de-escalation": p}`, each calibrated for itself on articles that training did not see.
        interval: 90 % interval of `score`, from held-out articles.
        in_scope: False for sport, markets, weather, however warlike the words.
        signals: for each of the 16 signals the probability of the sentence that speaks of it most clearly.
        highlights: the words that carry the score, in text order.
        sentences: the same figures for each sentence, in text order.
        coverage: characters and tokens read of the total.
        language: `"en"`, another ISO 639-1 code where the text is not English, or `None` where it holds no words.
        warnings: plain sentences about anything that limits the result; empty for an ordinary English text.
        model: name and version of the model that gave the figures.
        events: which one event a PLOVER coder (Halterman et al. 2023) would choose for the text, given that there is one (see `in_scope` and `label`): for
            each of the 15 signals that PLOVER has a number, 1 in all, fitted to coders' choices on held-out sentences; an article's are the mean of its
            sentences', by their weight. Empty for a text that is not scored. They say nothing of status: "no ceasefire was agreed" is `agree`. A model that
            nothing taught events tells them by its signals.
    """

    text: str
    score: float
    label: str
    probabilities: dict[str, float]
    interval: tuple[float, float]
    in_scope: bool
    signals: dict[str, float]
    highlights: tuple[Highlight, ...]
    sentences: tuple[SentenceScore, ...]
    coverage: Coverage
    language: str | None = "en"
    warnings: tuple[str, ...] = ()
    model: str = field(default="")
    events: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain dicts, lists, numbers and text, ready for `json.dumps`."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def to_html(self) -> str:
        """The article with its phrases marked, as one self-contained HTML fragment without scripts; the text is escaped."""
        from escalation.render import to_html

        return to_html(self)

    def _repr_html_(self) -> str:
        """Notebooks show the marked article."""
        return self.to_html()


def _plain(value: Any) -> Any:
    """Tuples become lists, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
