"""What must hold in the corpus: format, enums, offsets, slots, labels that follow from phrases, duplicates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from escalation.signals import BY_NAME, DE_ESCALATION, ESCALATION, LABELS, MAX_SEVERITY, STATUSES
from training.corpus.schema import VOICES, Article, Phrase, Sentence

SLOT = re.compile(r"\{([^{}]*)\}")
BUILT_IN = ("weekday", "weekday2", "month")
FORMS = {
    "country": ("", "adj", "people", "capital"),
    "city": ("",),
    "person": ("", "last"),
    "place": ("",),
    "group": ("", "short"),
    "party": ("",),
    "body": ("", "short"),
    "media": ("",),
    "company": ("",),
    "club": ("",),
}
YEARS = (1950, 2026)


def slot_kind(kind: str) -> str:
    """The basic type of a declared slot type: `person.f/A` is a `person`."""
    return kind.partition("/")[0].partition(".")[0]


def slot_problems(article: Article) -> Iterator[str]:
    """Slots that are undeclared, of an unknown type or form, or that lean on a slot which is no country."""
    for name, kind in article.slots.items():
        owner = kind.partition("/")[2]
        if not re.fullmatch(r"[A-Z][A-Z0-9]*", name):
            yield f"slot name {name!r} is not capital letters and digits"
        if slot_kind(kind) not in FORMS:
            yield f"slot {name}={kind}: unknown type; one of {', '.join(FORMS)}"
        if owner and article.slots.get(owner) != "country":
            yield f"slot {name}={kind}: {owner!r} is not a country slot of this article"
    for sentence in article.sentences:
        for reference in SLOT.findall(sentence.text):
            name, _, form = reference.partition(".")
            if reference in BUILT_IN:
                continue
            if name not in article.slots:
                yield f"slot {{{reference}}} is not declared: {sentence.text[:60]!r}"
            elif form not in FORMS.get(slot_kind(article.slots[name]), ("",)):
                yield f"slot {{{reference}}}: a {article.slots[name]} has the forms {FORMS.get(slot_kind(article.slots[name]))}"


def phrase_problems(sentence: Sentence, phrase: Phrase) -> Iterator[str]:
    """A phrase whose offsets, signal, status or severity break a rule."""
    if not 0 <= phrase.start < phrase.end <= len(sentence.text) or sentence.text[phrase.start : phrase.end] != phrase.text:
        yield f"offsets {phrase.start}:{phrase.end} do not hold {phrase.text!r}"
    if phrase.text != phrase.text.strip():
        yield f"phrase {phrase.text!r} begins or ends with a space"
    if phrase.text.count("{") != phrase.text.count("}"):
        yield f"phrase {phrase.text!r} cuts a slot"
    if phrase.signal not in BY_NAME:
        yield f"unknown signal {phrase.signal!r}"
    elif phrase.severity is not None and abs(phrase.severity - BY_NAME[phrase.signal].severity) > 3:
        yield f"severity {phrase.severity} of {phrase.text!r} is over 3 from the default {BY_NAME[phrase.signal].severity} of {phrase.signal}"
    if phrase.status not in STATUSES:
        yield f"unknown status {phrase.status!r}"


def direction_problems(sentence: Sentence) -> Iterator[str]:
    """Sentence labels that do not follow from the phrases (codebook sections 3 and 4)."""
    speaking = {(BY_NAME[p.signal].direction, p.status) for p in sentence.phrases if p.signal in BY_NAME}
    for direction, other, labelled in (
        (ESCALATION, DE_ESCALATION, sentence.escalation),
        (DE_ESCALATION, ESCALATION, sentence.de_escalation),
    ):
        if (direction, "asserted") in speaking and not labelled:
            yield f"has an asserted {direction} phrase but is labelled {sentence.direction}"
        reasons = {(direction, "asserted"), (direction, "hypothetical"), (direction, "negated"), (other, "negated")}
        if labelled and not reasons & speaking:
            yield f"is labelled {sentence.direction} but no phrase carries {direction}"
    if (sentence.direction == "escalation" and sentence.severity <= 0) or (sentence.direction == "de-escalation" and sentence.severity >= 0):
        yield f"severity {sentence.severity} has the wrong sign for {sentence.direction}"
    if sentence.direction == "neutral" and sentence.severity:
        yield f"severity {sentence.severity} but labelled neutral"
    if not sentence.in_scope and any(p.status != "figurative" for p in sentence.phrases):
        yield "is out of scope but has a phrase that is not figurative"


def sentence_problems(sentence: Sentence) -> Iterator[str]:
    """Everything that is wrong with one sentence."""
    for phrase in sentence.phrases:
        yield from phrase_problems(sentence, phrase)
    last = 0
    for phrase in sentence.phrases:
        if phrase.start < last:
            yield f"phrase {phrase.text!r} overlaps the one before or stands before it"
        last = phrase.end
    if abs(sentence.severity) > MAX_SEVERITY:
        yield f"severity {sentence.severity} is outside -10..10"
    if not sentence.text.strip():
        yield "has no text"
    yield from direction_problems(sentence)


def article_problems(article: Article) -> Iterator[str]:
    """Everything that is wrong with one article, one message each."""
    if article.voice not in VOICES:
        yield f"unknown voice {article.voice!r}; one of {', '.join(VOICES)}"
    if article.label not in LABELS:
        yield f"unknown label {article.label!r}; one of {', '.join(LABELS)}"
    if abs(article.severity) > MAX_SEVERITY:
        yield f"severity {article.severity} is outside -10..10"
    if not YEARS[0] <= article.year <= YEARS[1]:
        yield f"year {article.year} is outside {YEARS[0]}..{YEARS[1]}"
    if not article.in_scope and (article.label != "neutral" or article.severity):
        yield "is out of scope but not labelled neutral, 0"
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", article.scenario):
        yield f"scenario {article.scenario!r} is not a lower-case slug"
    if not article.sentences:
        yield "has no sentences"
    yield from slot_problems(article)
    for number, sentence in enumerate(article.sentences, 1):
        yield from (f"sentence {number} {problem}: {sentence.text[:70]!r}" for problem in sentence_problems(sentence))


def normalise(text: str) -> str:
    """Words only, lower case: what two duplicates share."""
    return " ".join(re.findall(r"\w+", text.lower()))


def duplicate_problems(articles: Iterable[Article], *, min_words: int = 6) -> Iterator[str]:
    """Article ids used twice, and sentences of at least `min_words` words that stand in two places."""
    ids: Counter[str] = Counter()
    seen: dict[str, str] = {}
    for article in articles:
        ids[article.id] += 1
        for number, sentence in enumerate(article.sentences, 1):
            words = normalise(sentence.text)
            place = f"{article.id} sentence {number}"
            if len(words.split()) >= min_words and words in seen:
                yield f"{place} repeats {seen[words]}: {sentence.text[:70]!r}"
            seen.setdefault(words, place)
    yield from (f"article id {name!r} is used {count} times" for name, count in ids.items() if count > 1)


def problems(articles: Iterable[Article]) -> list[str]:
    """All problems of a corpus, each beginning with the article's id; an empty list is a valid corpus."""
    articles = list(articles)
    found = [f"{article.id}: {problem}" for article in articles for problem in article_problems(article)]
    return found + list(duplicate_problems(articles))
