"""Two passes of a batch through the network, and how far they are apart (`losses.consistency`)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny_training import settings

from escalation.evidence import N_LOGITS, SCOPE_LOGIT, SIGNAL_LOGITS
from training import train as train_module
from training.data import Dataset
from training.losses import consistency_loss

ONE = torch.ones(1)


def test_readings_that_agree_cost_nothing_and_the_order_of_two_does_not_matter() -> None:
    first, second = torch.randn(7, N_LOGITS), torch.randn(7, N_LOGITS)
    factor = torch.ones(7)
    assert consistency_loss(first, first, factor).item() == 0.0
    assert consistency_loss(first, second, factor).item() == pytest.approx(consistency_loss(second, first, factor).item(), rel=1e-5)
    assert consistency_loss(first, second, factor) > 0
    assert consistency_loss(first, second, 2 * factor).item() == pytest.approx(2 * consistency_loss(first, second, factor).item(), rel=1e-5)


def test_the_divergence_by_hand() -> None:
    """Scope 0.5 in one reading and 0.9 in the other; signals nowhere, so that nothing else counts."""
    first = torch.zeros(1, N_LOGITS)
    first[:, SIGNAL_LOGITS.start] = 30.0
    second = first.clone()
    second[:, SCOPE_LOGIT] = math.log(9)
    forth, back = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1), 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert consistency_loss(first, second, ONE).item() == pytest.approx(0.5 * (forth + back) / 2, rel=1e-4)


def test_a_batch_is_read_twice_where_the_readings_are_to_agree(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    read = {}
    for weight in (0.0, 1.0):
        trainer = train_module.Trainer(settings(encoder, losses={"consistency": weight}, dropout=0.5), dataset, tmp_path)
        part = trainer.batches(0)[0]
        calls: list[int] = []
        trainer.network.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        losses = trainer.step([part[0]], 0.0)
        read[weight] = (len(calls), losses["consistency"])
    assert read[0.0] == (1, 0.0)
    assert read[1.0][0] == 2
    assert read[1.0][1] > 0


def test_readings_come_closer_by_training_on_it(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    apart = {}
    for weight in (1e-9, 30.0):  # the first measures how far they are apart without doing anything about it
        trainer = train_module.Trainer(settings(encoder, losses={"consistency": weight}, dropout=0.5), dataset, tmp_path)
        part = trainer.batches(0)[0]
        apart[weight] = sum([trainer.step([part[0]], 1.0, number)["consistency"] for number in range(40)][20:])
    assert apart[30.0] < 0.5 * apart[1e-9]
