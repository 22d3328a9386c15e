"""Items to tensors: tokens, windows, labels, batches of similar length."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from escalation.evidence import pool, read_logits
from escalation.model import Tokens, encode
from escalation.signals import SIGNALS
from escalation.text import pack
from training.config import Weights
from training.data import Item, Unit
from training.lessons import EVENTS_TAUGHT, TAUGHT, Lessons

UNKNOWN = -100  # token labels that no loss counts


@dataclass(frozen=True)
class Example:
    """What goes through the network together: the windows of some neighbouring sentences."""

    windows: tuple[NDArray[np.int64], ...]  # ids, special tokens not included
    kept: tuple[tuple[int, int, int, int, int], ...]  # window, column, sentence, first token, length
    units: tuple[Unit, ...]
    tokens: tuple[Tokens, ...]
    factor: float = 1.0  # that of the source

    @property
    def width(self) -> int:
        """Tokens of the longest window, special ones included."""
        return max(len(window) for window in self.windows) + 2


def make_example(units: Sequence[Unit], tokens: Sequence[Tokens], budget: int, factor: float = 1.0) -> Example:
    """Packs sentences into windows of `budget` tokens."""
    packed = pack([len(t.ids) for t in tokens], budget)
    windows = tuple(np.concatenate([tokens[p.sentence].ids[p.first : p.last] for p in window]) for window in packed)
    kept = tuple(
        (index, p.offset + p.keep_first - p.first, p.sentence, p.keep_first, p.keep_last - p.keep_first) for index, window in enumerate(packed) for p in window
    )
    return Example(windows, kept, tuple(units), tuple(tokens), factor)


def make_examples(items: Sequence[Item], tokenizer: Tokenizer, *, budget: int, single_share: float, seed: str, weights: Weights | None = None) -> list[Example]:
    """Cuts items into examples: an article window by window, or (in a random `single_share` of the articles) sentence by sentence."""
    rng = random.Random(seed)
    flat = iter(encode(tokenizer, [unit.text for item in items for unit in item.units]))
    examples = []
    for item in items:
        tokens = [next(flat) for _ in item.units]
        limit = 1 if rng.random() < single_share else budget
        factor = getattr(weights, item.source) if weights else 1.0
        group: list[int] = []
        used = 0
        for index in range(len(item.units)):
            length = len(tokens[index].ids)
            if not length:
                continue
            if group and used + length > limit:
                examples.append(make_example([item.units[i] for i in group], [tokens[i] for i in group], budget, factor))
                group, used = [], 0
            group.append(index)
            used += length
        if group:
            examples.append(make_example([item.units[i] for i in group], [tokens[i] for i in group], budget, factor))
    return examples


@dataclass
class Batch:
    """Tensors of a step. S sentences, N kept tokens; unknown sentence labels are NaN or -1, unknown token labels `UNKNOWN`."""

    input_ids: Tensor  # (n_windows, width)
    attention_mask: Tensor  # (n_windows, width)
    index: Tensor  # (N,) position of each kept token in the flattened (n_windows * width)
    sentence: Tensor  # (N,)
    signal: Tensor  # (N,) 0 none, 1 + signal
    status: Tensor  # (N,)
    counted: Tensor  # (N, 2) 0 or 1, NaN unknown
    direction: Tensor  # (S, 2) 0 or 1, NaN unknown
    severity: Tensor  # (S,) -1 ... 1, NaN unknown
    scope: Tensor  # (S,) 0 or 1, NaN unknown
    signals: Tensor  # (S, 16) 0 or 1, NaN unknown
    event: Tensor  # (S,) signal, -1 unknown
    quad: Tensor  # (S,) index in training.data.QUADS, -1 unknown
    taught: Tensor  # (N, TAUGHT) a teacher's logits, NaN unknown
    event_taught: Tensor  # (S, EVENTS_TAUGHT) those of a teacher of events, NaN unknown
    weight: Tensor  # (S,) factor in every loss
    label_weight: Tensor  # (S,) further factor in the loss of the direction

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(**{item.name: getattr(self, item.name).to(device) for item in fields(self)})


def label_tokens(unit: Unit, tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Token labels of a sentence: signal, status, counted direction. A token belongs to the span that it shares a character with."""
    n = len(tokens.ids)
    if unit.spans is None:
        outside = unit.escalation == 0 and unit.de_escalation == 0
        counted = np.full((n, 2), 0.0 if outside else np.nan, np.float32)
        return np.full(n, UNKNOWN), np.full(n, UNKNOWN), counted
    signal, status, counted = np.zeros(n, np.int64), np.full(n, UNKNOWN), np.zeros((n, 2), np.float32)
    for span in unit.spans:
        inside = (tokens.offsets[:, 0] < span.end) & (tokens.offsets[:, 1] > span.start)
        signal[inside], status[inside] = 1 + span.signal, span.status
        counted[inside] = (span.escalation, span.de_escalation)
    return signal, status, counted


def sentence_signals(unit: Unit) -> NDArray[np.float32]:
    """Which signals a sentence speaks of, `(16,)`; NaN where its phrases are unknown."""
    if unit.spans is None:
        return np.full(len(SIGNALS), np.nan, np.float32)
    found = np.zeros(len(SIGNALS), np.float32)
    found[[span.signal for span in unit.spans]] = 1.0
    return found


def known(value: float | bool | None, missing: float = float("nan")) -> float:
    """A label as a number; `missing` where it is unknown."""
    return missing if value is None else float(value)


def label_factor(unit: Unit, weights: Weights | None) -> float:
    """The factor of a sentence's label; 1 where it is not known."""
    if weights is None or unit.escalation is None or unit.de_escalation is None:
        return 1.0
    if unit.escalation and unit.de_escalation:
        return weights.mixed
    return weights.escalation if unit.escalation else weights.de_escalation if unit.de_escalation else weights.neutral


def recall(lessons: Lessons | None, text: str, rows: int, columns: int) -> NDArray[np.float32]:
    """What a teacher said of a sentence, `(rows, columns)`: of its tokens, or in one row of its event; NaN where it was not asked, or reads other tokens."""
    found = lessons.get(text) if lessons is not None else None
    return found if found is not None and len(found) == rows else np.full((rows, columns), np.nan, np.float32)


def contradicts(said: NDArray[np.float32], unit: Unit) -> bool:
    """Whether a teacher's evidence, `(n_tokens, TAUGHT)`, pooled as `escalation.evidence` pools it, names another direction than the sentence's label."""
    if unit.escalation is None or unit.de_escalation is None or not len(said) or np.isnan(said[0, 0]):
        return False
    pooled = pool(read_logits(said).direction, np.array([0, len(said)]))[0]
    return bool(((pooled > 0.5) != (unit.escalation, unit.de_escalation)).any())


def collate(
    examples: Sequence[Example], *, cls_id: int, sep_id: int, pad_id: int, lessons: Lessons | None = None, event_lessons: Lessons | None = None,
    agreeing: bool = False, weights: Weights | None = None,
) -> Batch:  # fmt: skip
    """Puts examples into one batch; the lessons are teachers' logits (`training/teach.py`), with `agreeing` only where they do not contradict the label;
    `weights` are the factors of the labels."""
    width = max(example.width for example in examples)
    n_windows = sum(len(example.windows) for example in examples)
    ids = np.full((n_windows, width), pad_id, np.int64)
    mask = np.zeros((n_windows, width), np.int64)
    index, sentence, token_labels, taught = [], [], [], []
    row = n_sentences = 0
    for example in examples:
        labels = [label_tokens(unit, tokens) for unit, tokens in zip(example.units, example.tokens, strict=True)]
        said = [recall(lessons, unit.text, len(tokens.ids), TAUGHT) for unit, tokens in zip(example.units, example.tokens, strict=True)]
        if agreeing:
            said = [np.full_like(heard, np.nan) if contradicts(heard, unit) else heard for heard, unit in zip(said, example.units, strict=True)]
        for window, column, number, first, length in example.kept:
            index.append((row + window) * width + column + np.arange(length))
            sentence.append(np.full(length, n_sentences + number))
            token_labels.append([values[first : first + length] for values in labels[number]])
            taught.append(said[number][first : first + length])
        for window_ids in example.windows:
            full = [cls_id, *window_ids, sep_id]
            ids[row, : len(full)], mask[row, : len(full)] = full, 1
            row += 1
        n_sentences += len(example.units)
    units = [unit for example in examples for unit in example.units]
    signal, status, counted = (torch.from_numpy(np.concatenate(values)) for values in zip(*token_labels, strict=True))
    return Batch(
        torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(np.concatenate(index)), torch.from_numpy(np.concatenate(sentence)),
        signal, status, counted,
        torch.tensor([[known(unit.escalation), known(unit.de_escalation)] for unit in units]),
        torch.tensor([known(unit.severity) / 10 for unit in units]),
        torch.tensor([known(unit.in_scope) for unit in units]),
        torch.from_numpy(np.stack([sentence_signals(unit) for unit in units])),
        torch.tensor([int(known(unit.event, -1)) for unit in units]),
        torch.tensor([int(known(unit.quad, -1)) for unit in units]),
        torch.from_numpy(np.concatenate(taught)),
        torch.from_numpy(np.concatenate([recall(event_lessons, unit.text, 1, EVENTS_TAUGHT) for unit in units])),
        torch.tensor([example.factor for example in examples for _ in example.units]),
        torch.tensor([label_factor(unit, weights) for unit in units]),
    )  # fmt: skip


def make_batches(examples: Sequence[Example], batch_tokens: int, seed: str) -> list[list[Example]]:
    """Batches of examples of similar width, at most `batch_tokens` padded tokens each, in random order."""
    rng = random.Random(seed)
    order = sorted(range(len(examples)), key=lambda i: (examples[i].width + rng.random() * 8, i))
    batches: list[list[Example]] = [[]]
    windows = 0
    for i in order:
        windows += len(examples[i].windows)
        if batches[-1] and windows * max(examples[i].width, max(e.width for e in batches[-1])) > batch_tokens:
            batches.append([])
            windows = len(examples[i].windows)
        batches[-1].append(examples[i])
    rng.shuffle(batches)
    return batches
