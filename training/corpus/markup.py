"""The hand-written form of the corpus: markup to records and back (see WRITING.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from escalation.signals import SIGNAL_NAMES, STATUSES
from training.corpus.schema import Article, Phrase, Sentence

LETTERS = {"E": (1, 0, True), "D": (0, 1, True), "M": (1, 1, True), "N": (0, 0, True), "X": (0, 0, False)}
HEADER = ("scenario", "topic", "region", "voice", "year", "scope", "label", "severity", "slots")
SENTENCE = re.compile(r"([EDMNX])\s+([+-]?\d+)\s*\|\s*(.*\S)\s*$")
KEY = re.compile(r"[a-z]+\s*:")
PHRASE = re.compile(r"\[([^\[\]|]+)\|([^\[\]|]+)\]")


class MarkupError(ValueError):
    """A draft breaks the markup; the message gives the line, the rule and what stood there."""


def parse_tag(tag: str) -> tuple[str, str, int | None]:
    """Splits `signal[:status[:severity]]`.

    Raises:
        MarkupError: unknown signal or status, or a severity that is no whole number.
    """
    signal, _, rest = tag.strip().partition(":")
    status, _, severity = rest.partition(":")
    status = status or "asserted"
    if signal not in SIGNAL_NAMES:
        raise MarkupError(f"unknown signal {signal!r} in {tag!r}; one of {', '.join(SIGNAL_NAMES)}")
    if status not in STATUSES:
        raise MarkupError(f"unknown status {status!r} in {tag!r}; one of {', '.join(STATUSES)}")
    if severity and not re.fullmatch(r"-?\d+", severity):
        raise MarkupError(f"severity {severity!r} in {tag!r} is not a whole number")
    return signal, status, abs(int(severity)) if severity else None


def parse_sentence(line: str, paragraph: int) -> Sentence:
    """Reads `LABEL SEVERITY | text with [words|signal:status]`.

    Raises:
        MarkupError: the line has another shape.
    """
    match = SENTENCE.match(line)
    if not match:
        raise MarkupError(f"expected 'LABEL SEVERITY | text' with LABEL one of {' '.join(LETTERS)}: {line[:80]!r}")
    letter, severity, marked = match.groups()
    text, phrases, last = "", [], 0
    for found in PHRASE.finditer(marked):
        text += marked[last : found.start()]
        signal, status, phrase_severity = parse_tag(found[2])
        words = found[1].strip()
        start = len(text) + len(found[1]) - len(found[1].lstrip())
        phrases.append(Phrase(start, start + len(words), words, signal, status, phrase_severity))
        text += found[1]
        last = found.end()
    text += marked[last:]
    if stray := re.search(r"[\[\]|]", text):
        raise MarkupError(f"stray {stray[0]!r} in {marked[:100]!r}; phrases are [words|signal:status] and do not nest")
    escalation, de_escalation, in_scope = LETTERS[letter]
    return Sentence(text, escalation, de_escalation, int(severity), in_scope, paragraph, tuple(phrases))


def parse_slots(text: str) -> dict[str, str]:
    """Reads `A=country P=person/A`.

    Raises:
        MarkupError: an item without `=`.
    """
    slots = {}
    for item in text.replace(",", " ").split():
        name, equals, kind = item.partition("=")
        if not equals or not kind:
            raise MarkupError(f"slot {item!r} is not NAME=type")
        slots[name] = kind
    return slots


def parse_article(block: list[tuple[int, str]], article_id: str) -> Article:
    """Reads one article from its numbered lines (without the `=== article` line).

    Raises:
        MarkupError: with the number of the line.
    """
    header: dict[str, str] = {}
    sentences: list[Sentence] = []
    paragraph, blank, body = 0, False, False
    at = block[0][0] if block else 0
    try:
        for number, line in block:
            at = number
            if not line.strip():
                blank = True
            elif not body and KEY.match(line):
                key, _, value = line.partition(":")
                header[key.strip()] = value.strip()
            else:
                paragraph += blank and bool(sentences)
                body, blank = True, False
                sentences.append(parse_sentence(line, paragraph))
        if missing := [key for key in HEADER if key not in header]:
            raise MarkupError(f"header lacks {', '.join(missing)}")
        if unknown := [key for key in header if key not in (*HEADER, "note", "id")]:
            raise MarkupError(f"unknown header {', '.join(unknown)}")
        return Article(
            header.get("id", article_id), header["scenario"], header["topic"], header["region"], header["voice"], int(header["year"]),
            header["scope"] == "in", header["label"], int(header["severity"]), parse_slots(header["slots"]), tuple(sentences),
            header.get("note", ""),
        )  # fmt: skip
    except ValueError as error:
        raise MarkupError(f"line {at}: {error}") from error


def parse_articles(text: str, prefix: str) -> Iterator[Article | MarkupError]:
    """Reads a draft file. An article that breaks the markup comes back as its error, so that one mistake hides no other."""
    blocks: list[list[tuple[int, str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip().startswith("=== article"):
            blocks.append([])
        elif blocks:
            blocks[-1].append((number, line))
        elif line.strip():
            yield MarkupError(f"line {number}: text before the first '=== article'")
    for index, block in enumerate(blocks, 1):
        try:
            yield parse_article(block, f"{prefix}-{index:03d}")
        except MarkupError as error:
            yield error


def format_article(article: Article) -> str:
    """The markup of an article; `parse_articles` reads it back to an equal one."""
    slots = " ".join(f"{name}={kind}" for name, kind in article.slots.items())
    scope = "in" if article.in_scope else "out"
    lines = ["=== article", f"id: {article.id}"]
    for key, value in zip(HEADER, (article.scenario, article.topic, article.region, article.voice, article.year, scope, article.label,
                                   article.severity, slots), strict=True):  # fmt: skip
        lines.append(f"{key}: {value}")
    if article.note:
        lines.append(f"note: {article.note}")
    paragraph = -1
    for sentence in article.sentences:
        if sentence.paragraph != paragraph:
            lines.append("")
            paragraph = sentence.paragraph
        letter = {value: key for key, value in LETTERS.items()}[sentence.escalation, sentence.de_escalation, sentence.in_scope]
        marked, last = "", 0
        for phrase in sentence.phrases:
            tag = phrase.signal
            if phrase.status != "asserted" or phrase.severity is not None:
                tag += f":{phrase.status}"
            if phrase.severity is not None:
                tag += f":{phrase.severity}"
            marked += f"{sentence.text[last : phrase.start]}[{phrase.text}|{tag}]"
            last = phrase.end
        lines.append(f"{letter} {sentence.severity} | {marked}{sentence.text[last:]}")
    return "\n".join(lines) + "\n"
