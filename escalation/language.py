"""Which language a text is in, as far as scoring must know: English or not."""

from __future__ import annotations

import functools
import re
from typing import Any

MIN_LETTERS = 40  # a shorter text in Latin letters is taken for English: language identification is unreliable on a headline
MAX_ENGLISH = 0.01  # a text in Latin letters is taken for another language when English is less likely than this
SAMPLE = 20_000  # characters looked at from each end
ENGLISH_SHARE = 0.12  # of the words
# The commonest English function words that are no words of French, Spanish, Portuguese, Italian, German, Dutch, Swedish, Turkish or Indonesian.
FUNCTION_WORDS = frozenset(
    ["the", "of", "and", "to", "that", "by", "with", "were", "are", "been", "has", "have", "its", "their", "they", "which", "from", "this",
     "these", "for", "not"]
)  # fmt: skip
WORD = re.compile(r"[^\W\d_]+")


def detect_language(text: str) -> str | None:
    """Names the language of a text.

    A share of English function words decides at once (no model is loaded); what is left goes to py3langid.

    Returns:
        `"en"`, another ISO 639-1 code, or None where the text holds no letters. Text in Latin letters that is too short or too unclear to tell is
        `"en"`.
    """
    sample = text if len(text) <= 2 * SAMPLE else text[:SAMPLE] + "\n" + text[-SAMPLE:]
    words = WORD.findall(sample.lower())
    if not words:
        return None
    if sum(word in FUNCTION_WORDS for word in words) >= ENGLISH_SHARE * len(words):
        return "en"
    letters = "".join(words)
    latin = sum(letter < "\u0250" or "\u1e00" <= letter < "\u1f00" for letter in letters)
    if 2 * latin >= len(letters) and len(letters) < MIN_LETTERS:
        return "en"
    return _identify(sample, is_latin=2 * latin >= len(letters))


def _identify(text: str, *, is_latin: bool) -> str:
    """py3langid's answer; loaded here because its model costs half a second and an ordinary English text never needs it.

    `MAX_ENGLISH` was measured on 8,650 English news titles, leads and sentences: one was taken for another language, a title that is Spanish.
    """
    probabilities = dict(_identifier().rank(text.lower() if text.isupper() else text))
    if is_latin and probabilities["en"] >= MAX_ENGLISH:
        return "en"
    return str(max(probabilities, key=lambda code: probabilities[code]))


@functools.cache
def _identifier() -> Any:
    """The language identifier, loaded once."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
