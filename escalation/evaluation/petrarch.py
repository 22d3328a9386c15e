"""PETRARCH's verb dictionary as a lexicon of patterns: a baseline, and no event coder (no parser, no actors).

The dictionary (Schrodt et al., openeventdata/petrarch2) has blocks of verbs, each with patterns of words before and behind the verb (`*`) and a CAMEO
code. A pattern holds where its words occur in order around a form of the verb; the pattern with the most words wins, then the first in the file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from escalation.signals import SIGNALS

WORD = re.compile(r"[a-z]+")
REACH = 12  # words that a pattern may stretch over on either side of its verb, about a clause
SIGNAL_OF_ROOT = {root: signal.name for signal in SIGNALS if signal.plover for root in signal.cameo}
NO_EVENT = "---"
Phrase = tuple[str, ...]  # words that stand together
Slot = tuple[Phrase, ...]  # alternatives, any of which will do


@dataclass(frozen=True)
class Pattern:
    """Slots before and behind a verb, and the signal of its CAMEO root (None: no event)."""

    before: tuple[Slot, ...]
    behind: tuple[Slot, ...]
    signal: str | None

    def may_hold(self, present: set[str]) -> bool:
        """Whether each slot has an alternative that begins with a word of the text: rules most patterns out at once."""
        return all(any(phrase[0] in present for phrase in slot) for slot in (*self.before, *self.behind))


def inflect(verb: str) -> set[str]:
    """The forms of a regular verb, as PETRARCH makes them where the dictionary gives none."""
    stem = verb[:-1] if verb.endswith("e") else verb
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return {verb, verb[:-1] + "ies", verb[:-1] + "ied", verb + "ing"}
    plural = verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh")) else "s")
    return {verb, plural, stem + "ed", stem + "ing"}


def signal_of(code: str) -> tuple[bool, str | None]:
    """Whether a code is one, and its signal; `[---]` is one without a signal. Of an active and a passive code the active one is taken."""
    code = code.strip("[] ").split(":")[0]
    if code.startswith(NO_EVENT):
        return True, None
    return code[:2].isdigit(), SIGNAL_OF_ROOT.get(code[:2])


def singular(word: str) -> str:
    """A word without its plural s: the dictionary gives nouns in the singular."""
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def find_from(words: Sequence[str], slot: Slot, first: int, last: int) -> int:
    """Where the first of a slot's alternatives ends in `words[first:last]`; −1 where none stands there."""
    for start in range(first, last):
        for phrase in slot:
            end = start + len(phrase)
            if words[start] == phrase[0] and end <= last and tuple(words[start:end]) == phrase:
                return end
    return -1


@dataclass(frozen=True)
class Dictionary:
    """Patterns by form of the verb; `single` is the signal of a verb whose patterns don't hold."""

    patterns: dict[str, list[Pattern]]
    single: dict[str, str | None]

    def holds(self, pattern: Pattern, words: Sequence[str], verb: int) -> bool:
        """Whether a pattern holds around the verb at a position."""
        position = max(0, verb - REACH)
        for slot in pattern.before:
            position = find_from(words, slot, position, verb)
            if position < 0:
                return False
        position, last = verb + 1, min(len(words), verb + 1 + REACH)
        for slot in pattern.behind:
            position = find_from(words, slot, position, last)
            if position < 0:
                return False
        return True

    def find_events(self, text: str) -> Iterator[tuple[int, str | None]]:
        """The best pattern of each verb in a text: its number of slots and its signal."""
        raw = WORD.findall(text.lower())
        words = [singular(word) for word in raw]
        present = set(words)
        for position, word in enumerate(raw):
            if word not in self.single:
                continue
            held = [p for p in self.patterns.get(word, ()) if p.may_hold(present) and self.holds(p, words, position)]
            if held:
                best = max(held, key=lambda p: len(p.before) + len(p.behind))
                yield len(best.before) + len(best.behind), best.signal
            else:
                yield 0, self.single[word]

    def find_event(self, text: str) -> str | None:
        """The signal of the pattern with the most slots, the first of equals; None where there is none."""
        found = [(size, signal) for size, signal in self.find_events(text) if signal is not None]
        return max(found, key=lambda pair: pair[0])[1] if found else None


def phrase_of(text: str) -> Phrase:
    """The words of a piece of a pattern; underscores join them."""
    return tuple(singular(word) for word in WORD.findall(text.lower().replace("_", " ")))


def read_slots(text: str, sets: dict[str, list[Phrase]]) -> tuple[Slot, ...]:
    """The slots of one side of a pattern; markers of source, target and skipped words are left out."""
    slots: list[Slot] = []
    for group, word in re.findall(r"\{([^}]*)\}|([^\s{}()]+)", text):
        if group:
            slots.append((phrase_of(group),))
        elif word.startswith("&"):
            if word[1:] in sets:
                slots.append(tuple(sets[word[1:]]))
        elif words := phrase_of(word):
            slots.append((words,))
    return tuple(tuple(phrase for phrase in slot if phrase) for slot in slots if any(slot))


def read_verb(line: str) -> set[str]:
    """The forms on a verb's line: `FREEZE {FREEZES FROZE}`."""
    name, _, forms = line.partition("{")
    words = WORD.findall(name.lower().replace("_", " "))
    if len(words) != 1:
        return set()
    given = set(WORD.findall(forms.lower()))
    return given | {words[0]} if given else inflect(words[0])


def read_patterns(path: Path) -> Dictionary:
    """Reads the dictionary.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no pattern in it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; baseline:petrarch needs PETRARCH's verb dictionary (openeventdata/petrarch2, CAMEO.2.0.txt)")
    sets: dict[str, list[Phrase]] = defaultdict(list)
    patterns: dict[str, list[Pattern]] = defaultdict(list)
    single: dict[str, str | None] = {}
    current, verbs, block_signal = "", set[str](), None
    for raw in path.read_text(encoding="utf-8", errors="replace").splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("&"):
            current = line[1:].strip().rstrip("_")
        elif line.startswith("+") and current:
            sets[current].append(phrase_of(line))
        elif line.startswith("---"):
            code = re.search(r"\[([^\]]*)\]", line)
            current, verbs, block_signal = "", set(), signal_of(code[1])[1] if code else None
        elif line.startswith("- ") and verbs:
            found = re.match(r"-\s(.*?)\*(.*)\[([^\]]*)\]", line)
            if found and signal_of(found[3])[0]:
                pattern = Pattern(read_slots(found[1], sets), read_slots(found[2], sets), signal_of(found[3])[1])
                for verb in verbs:
                    patterns[verb].append(pattern)
        elif line and not current:
            own = re.search(r"\[([^\]]*)\]", line)
            forms = read_verb(line.partition("[")[0])
            verbs |= forms
            single |= dict.fromkeys(forms, signal_of(own[1])[1] if own else block_signal)
    if not patterns:
        raise ValueError(f"{path} holds no verb pattern; baseline:petrarch needs PETRARCH's verb dictionary (openeventdata/petrarch2, CAMEO.2.0.txt)")
    return Dictionary(dict(patterns), single)
