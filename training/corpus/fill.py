"""Slots become names: an article of the corpus becomes text with character offsets, each time with other actors."""

from __future__ import annotations

import functools
import json
import random
import re
from dataclasses import dataclass, replace
from typing import Any

from training.corpus.schema import FOLDER, Article, Phrase, Sentence
from training.corpus.validate import SLOT, slot_kind

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
ARTICLE_WORD = re.compile(r"\b(an?|An?|AN?) $")
# Spelt with a vowel and spoken with a consonant, or the other way round.
CONSONANT_SOUND = re.compile(r"(?:u\.|u[ks]\b|uk|uae|un[io]|ur[au]|ug|uz|eu|one\b)", re.IGNORECASE)
VOWEL_SOUND = re.compile(r"[aeiouAEIOU]|[Hh]on(?:est|our|or)\b|[FHLMNRSX](?=[A-Z.])")


@functools.cache
def names() -> dict[str, Any]:
    """The lists of names.json."""
    loaded: dict[str, Any] = json.loads((FOLDER / "names.json").read_text(encoding="utf-8"))
    return loaded


@dataclass(frozen=True)
class FilledSentence:
    """A sentence with names in; phrases' offsets count the characters of `text`."""

    text: str
    source: Sentence
    phrases: tuple[Phrase, ...]


def choose(article: Article, rng: random.Random) -> dict[str, dict[str, str]]:
    """Chooses a name for every slot of an article: `{"A": {"": "Iran", "adj": "Iranian", ...}}`. Two slots of a type get different names."""
    chosen: dict[str, dict[str, str]] = {}
    used: set[str] = set()
    countries: dict[str, dict[str, Any]] = {}

    def draw(items: list[Any], key: str = "name") -> Any:
        free = [item for item in items if (item[key] if isinstance(item, dict) else item) not in used] or items
        item = rng.choice(free)
        used.add(item[key] if isinstance(item, dict) else item)
        return item

    for name, kind in article.slots.items():
        if kind == "country":
            country = draw(names()["countries"])
            countries[name] = country
            chosen[name] = {"": country["name"], **{form: country[form] for form in ("adj", "people", "capital")}}
    for name, kind in article.slots.items():
        basic, owner = slot_kind(kind), kind.partition("/")[2]
        country = countries.get(owner) or rng.choice(names()["countries"])
        if basic == "city":
            chosen[name] = {"": draw(country["cities"])}
        elif basic == "person":
            pool = names()["person_names"][country["names"]]
            sex = kind.partition("/")[0].partition(".")[2] or rng.choice("fm")
            last = draw(pool["last"])
            chosen[name] = {"": f"{rng.choice(pool[sex])} {last}", "last": last}
        elif basic in ("group", "body"):
            item = draw(names()[basic])
            chosen[name] = {"": item["name"], "short": item["short"]}
        elif basic != "country":
            chosen[name] = {"": draw(names()[basic])}
    return chosen


def indefinite(word: str) -> str:
    """`"a"` or `"an"`, by the sound the word begins with."""
    return "an" if VOWEL_SOUND.match(word) and not CONSONANT_SOUND.match(word) else "a"


def substitute(text: str, values: dict[str, str]) -> tuple[str, list[tuple[int, int]]]:
    """Puts `values` in for `{slot}`s, with the right indefinite article and a capital at the beginning.

    Returns:
        The new text and `(old offset, new offset)` pairs, one behind each change, from which any offset outside a slot can be carried over.
    """
    result, last, shifts = "", 0, []
    for match in SLOT.finditer(text):
        result += text[last : match.start()]
        value = values[match[1]]
        word = ARTICLE_WORD.search(result)
        if word:
            right = indefinite(value)
            right = right if word[1][0].islower() else right.capitalize()
            result = result[: word.start()] + right + " "
            shifts.append((match.start(), len(result)))
        if value[0].islower() and not result.strip(" \"“'‘("):
            value = value[0].upper() + value[1:]
        result += value
        last = match.end()
        shifts.append((last, len(result)))
    return result + text[last:], shifts


def carry(offset: int, shifts: list[tuple[int, int]]) -> int:
    """Where an offset of the old text stands in the new one."""
    old, new = 0, 0
    for at, to in shifts:
        if at > offset:
            break
        old, new = at, to
    return new + offset - old


def fill(article: Article, seed: int | str) -> list[FilledSentence]:
    """Fills an article's slots; the same seed gives the same names."""
    rng = random.Random(f"{article.id}/{seed}")
    values = {f"{name}.{form}" if form else name: value for name, forms in choose(article, rng).items() for form, value in forms.items()}
    days, month = rng.sample(WEEKDAYS, 2), rng.choice(MONTHS)
    values |= {"weekday": days[0], "weekday2": days[1], "month": month}
    filled = []
    for sentence in article.sentences:
        text, shifts = substitute(sentence.text, values)
        phrases = []
        for phrase in sentence.phrases:
            start, end = carry(phrase.start, shifts), carry(phrase.end, shifts)
            phrases.append(replace(phrase, start=start, end=end, text=text[start:end]))
        filled.append(FilledSentence(text, sentence, tuple(phrases)))
    return filled


def join(filled: list[FilledSentence]) -> tuple[str, list[int]]:
    """The article's text, sentences parted by a space and paragraphs by a blank line, and where each sentence begins."""
    text, starts = "", []
    for index, sentence in enumerate(filled):
        if index:
            text += " " if sentence.source.paragraph == filled[index - 1].source.paragraph else "\n\n"
        starts.append(len(text))
        text += sentence.text
    return text, starts
