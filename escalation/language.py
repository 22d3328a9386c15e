"""Which language a text is in, as far as scoring must know: English or not."""

from __future__ import annotations

import re

MIN_LETTERS = 40  # a shorter text in Latin letters is taken for English: language identification is unreliable on a headline
MIN_CONFIDENCE = 0.95
SAMPLE = 20_000  # characters looked at from each end
ENGLISH_SHARE = 0.12  # of the words; measured shares are in training/LOG.md
# The commonest English function words that are no words of French, Spanish, Portuguese, Italian, German, Dutch, Swedish, Turkish or Indonesian.
FUNCTION_WORDS = frozenset(
    ["the", "of", "and", "to", "that", "by", "with", "was", "were", "are", "been", "has", "have", "had", "its", "their", "they", "which", "from", "this",
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
    """py3langid's answer; loaded here because its model costs half a second and an ordinary English text never needs it."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    language, confidence = identifier.classify(text if not text.isupper() else text.lower())
    if is_latin and confidence < MIN_CONFIDENCE:
        return "en"
    return str(language)
