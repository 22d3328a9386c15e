"""Readings to phrases and sentence figures: the sentences of many texts at once, since a step over a thousand of them costs little more than over one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from escalation.calibration import Calibration
from escalation.evidence import Phrase, SentenceFigures, cut_figures, find_phrases, join_figures, read_logits, score_sentences
from escalation.reading import Reading, join

BLOCK = 1024  # sentences whose evidence is worked out at once: a book of ordinary sentences needs no more memory for it than a long article


@dataclass(frozen=True)
class Interpreted:
    """What a reading says.

    Attributes:
        phrases: those of each sentence; tokens are counted from the beginning of the text.
        figures: of its sentences.
    """

    phrases: tuple[list[Phrase], ...]
    figures: SentenceFigures


@dataclass(frozen=True)
class Stretch:
    """The sentences `first:last` of the reading `number`."""

    number: int
    first: int
    last: int


def cut_blocks(lengths: Sequence[int], block: int) -> Iterator[list[Stretch]]:
    """Stretches of readings with so many sentences, in order, as many in a block as have `block` sentences at most."""
    current: list[Stretch] = []
    room = block
    for number, length in enumerate(lengths):
        first = 0
        while first < length:
            last = min(length, first + room)
            current.append(Stretch(number, first, last))
            room -= last - first
            first = last
            if not room:
                yield current
                current, room = [], block
    if current:
        yield current


def interpret(readings: Sequence[Reading], calibration: Calibration, *, block: int = BLOCK) -> list[Interpreted]:
    """Phrases and sentence figures of each reading; what a reading says does not depend on those beside it.

    Args:
        readings: at least one sentence each.
        calibration: the model's.
        block: sentences worked out at once, at least 1.

    Raises:
        ValueError: `block` is below 1.
    """
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    phrases: list[list[list[Phrase]]] = [[] for _ in readings]
    figures: list[list[SentenceFigures]] = [[] for _ in readings]
    for stretches in cut_blocks([len(reading.sentences) for reading in readings], block):
        joined = join([readings[piece.number].part(piece.first, piece.last) for piece in stretches])
        tokens = read_logits(joined.logits)
        found = find_phrases(tokens, joined.words, joined.is_word, joined.bounds, calibration)
        scored = score_sentences(tokens, joined.bounds, [phrase for of_sentence in found for phrase in of_sentence], calibration)
        at = 0
        for piece in stretches:
            after = at + piece.last - piece.first
            begin, end = int(joined.bounds[at]), int(joined.bounds[after])
            shift = int(readings[piece.number].bounds[piece.first]) - begin
            moved = [[replace(p, first=p.first + shift, last=p.last + shift) for p in of_sentence] if shift else of_sentence for of_sentence in found[at:after]]
            phrases[piece.number] += moved
            figures[piece.number].append(cut_figures(scored, at, after, begin, end))
            at = after
    return [Interpreted(tuple(of_text), join_figures(parts)) for of_text, parts in zip(phrases, figures, strict=True)]
