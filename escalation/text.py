"""An article to sentences to windows, with exact character offsets; nothing is cut off.

Sentence boundaries within a line come from nupunkt; line breaks are read here, since a line break ends a sentence in a headline or a list and does not
in hard-wrapped text. `pack` puts whole sentences into windows and cuts only a sentence that is longer than a window, into overlapping parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import nupunkt

OVERLAP = 64  # tokens that neighbouring parts of an over-long sentence share, so that each token is read with at least 32 on its inner side
WRAP_COLUMNS = (40, 100)  # hard-wrapped text is at least and at most this wide
MAX_CHUNK = 20_000  # characters given to the sentence splitter at once; a longer line is cut at white space
LINE = re.compile(r"[^\r\n\v\f\x85\u2028\u2029]+")
BULLET = re.compile(r"\s*(?:[-*•‣◦▪–—]|\(?\d{1,3}[.)])\s")
WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Piece:
    """A run of one sentence's tokens inside a window.

    `first:last` are the tokens of the sentence that the window holds, `keep_first:keep_last` those whose evidence is taken from here: the rest of an
    overlap is taken from the neighbouring window. `offset` is where the run begins in the window (1 behind the opening special token).
    """

    sentence: int
    first: int
    last: int
    keep_first: int
    keep_last: int
    offset: int


Window = tuple[Piece, ...]


def find_lines(text: str) -> list[tuple[int, int]]:
    """Spans of lines with something on them, their outer white space left out."""
    spans = []
    for match in LINE.finditer(text):
        line = match[0]
        if line.strip():
            spans.append((match.start() + len(line) - len(line.lstrip()), match.start() + len(line.rstrip())))
    return spans


def is_wrapped(text: str, lines: Sequence[tuple[int, int]]) -> bool:
    """Whether these neighbouring lines are one paragraph, hard-wrapped: no line but the last had room for the word that begins the next."""
    width = max(end - start for start, end in lines)
    if not WRAP_COLUMNS[0] <= width <= WRAP_COLUMNS[1] or any(BULLET.match(text, start, end) for start, end in lines):
        return False
    for (start, end), (next_start, next_end) in pairwise(lines):
        first_word = WORD.match(text, next_start, next_end)
        if first_word is None or end - start + 1 + len(first_word[0]) <= width:
            return False
    return len(lines) > 2 or text[lines[-1][0]].islower()


def find_blocks(text: str) -> Iterator[tuple[int, int]]:
    """Spans within which a line break means nothing: a line, or a hard-wrapped paragraph of several."""
    paragraph: list[tuple[int, int]] = []
    for span in [*find_lines(text), None]:
        gap = text[paragraph[-1][1] : span[0]] if paragraph and span else ""
        breaks = len(re.findall(r"\r\n|[\r\n\v\f\x85\u2028\u2029]", gap))
        if paragraph and (span is None or breaks > 1):
            if len(paragraph) > 1 and is_wrapped(text, paragraph):
                yield paragraph[0][0], paragraph[-1][1]
            else:
                yield from paragraph
            paragraph = []
        if span:
            paragraph.append(span)


def split_chunks(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cuts a span that is longer than `MAX_CHUNK` at white space (or, if there is none, anywhere): keeps the splitter's time linear."""
    while end - start > MAX_CHUNK:
        space = max(text.rfind(" ", start + 1, start + MAX_CHUNK), text.rfind("\n", start + 1, start + MAX_CHUNK))
        cut = space if space > start else start + MAX_CHUNK
        yield start, cut
        start = cut
    yield start, end


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Finds the sentences of a text.

    Returns:
        `(start, end)` character offsets in text order; spans do not overlap, begin and end with something other than white space, and hold every
        character of the text that is not white space.
    """
    spans = []
    for block_start, block_end in find_blocks(text):
        for chunk_start, chunk_end in split_chunks(text, block_start, block_end):
            chunk = text[chunk_start:chunk_end]
            edges = [start for start, _ in nupunkt.sent_spans(chunk)][1:]
            for first, last in zip([0, *edges], [*edges, len(chunk)], strict=True):
                words = chunk[first:last].strip()
                if words:
                    start = chunk_start + first + len(chunk[first:last]) - len(chunk[first:last].lstrip())
                    spans.append((start, start + len(words)))
    return spans


def cut_parts(n_tokens: int, budget: int, overlap: int) -> list[tuple[int, int]]:
    """Token spans of at most `budget` that cover a sentence of `n_tokens`, neighbours sharing `overlap`; the last one is moved back to be full."""
    if n_tokens <= budget:
        return [(0, n_tokens)]
    starts = [*range(0, n_tokens - budget, budget - overlap), n_tokens - budget]
    return [(start, start + budget) for start in starts]


def pack(lengths: Sequence[int], budget: int, *, overlap: int = OVERLAP) -> list[Window]:
    """Packs sentences into windows, in order.

    Args:
        lengths: tokens of each sentence.
        budget: tokens that a window holds, special tokens not counted.
        overlap: tokens shared by neighbouring parts of a sentence that is longer than `budget`; at most half of `budget` is used.

    Returns:
        Windows of pieces. Over all windows each token of each sentence is kept exactly once. A sentence without tokens has an empty piece.

    Raises:
        ValueError: `budget` is below 2.
    """
    if budget < 2:
        raise ValueError(f"a window must hold at least 2 tokens, got {budget}; use a model with a larger max_tokens")
    overlap = min(overlap, budget // 2)
    windows: list[Window] = []
    current: list[Piece] = []
    used = 0
    for sentence, length in enumerate(lengths):
        if used + length > budget and current:
            windows.append(tuple(current))
            current, used = [], 0
        parts = cut_parts(length, budget, overlap)
        if len(parts) == 1:
            current.append(Piece(sentence, 0, length, 0, length, 1 + used))
            used += length
            continue
        middles = [(end + start) // 2 for (_, end), (start, _) in pairwise(parts)]
        for (first, last), keep_first, keep_last in zip(parts, [0, *middles], [*middles, length], strict=True):
            windows.append((Piece(sentence, first, last, keep_first, keep_last, 1),))
    if current:
        windows.append(tuple(current))
    return windows
