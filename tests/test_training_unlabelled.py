"""Text without labels: which is taken, what it teaches, and that nothing else comes of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from tiny_training import settings

from training import train as train_module
from training import unlabelled
from training.batches import make_examples
from training.config import Config, SourceDraws, check_options
from training.data import Dataset, Item, Unit
from training.lessons import TAUGHT, name_of, save_lessons
from training.measure import measurable

LONG = "the minister said on the radio that prices rose again and the army was on the border ."


def rows(name: str, corpora: Path) -> list[dict[str, Any]]:
    return {
        "ngec": [{"id": f"ngec-{n}", "title": f"Title {n}", "text": f"Army shelled village {n}. It said no."} for n in range(4)],
        "bbc": [{"id": "bbc-0", "text": LONG + " prices fell later"}, {"id": "bbc-1", "text": "nothing of this has a label"}],
        "bbc-train": [{"id": "train-0", "text": LONG}, {"id": "train-1", "text": "prices rose a little on the border of the village today"}],
    }[name]


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """NGEC rows 0 and 1 train, 2 measures, 3 has labels and so is no row of the source `ngec`; of the BBC's dev part row 0 has labels."""
    monkeypatch.setattr(unlabelled, "read_source", rows)
    monkeypatch.setattr(unlabelled, "labelled_texts", lambda corpora, standoff: [rows("bbc", corpora)[0]["text"]])
    items = [Item(f"ngec-{n}", "ngec", "dev" if n == 2 else "train", (Unit("Title."),)) for n in range(3)]
    items.append(Item("ngec-3", "standoff", "train", (Unit("Title."),)))
    return unlabelled.add_unlabelled(Dataset(tuple(items)), tmp_path)


def test_text_that_measures_is_left_out(added: Dataset) -> None:
    found = {item.id: item for item in added.items if item.source == "unlabelled"}
    assert set(found) == {"unlabelled/ngec-0", "unlabelled/ngec-1", "unlabelled/train-1"}  # train-0 repeats a labelled article, which may measure
    assert [unit.text for unit in found["unlabelled/ngec-0"].units] == ["Title 0.", "Army shelled village 0.", "It said no."]
    assert all(unit == Unit(unit.text) for item in found.values() for unit in item.units)
    assert not [item for split in ("dev", "test") for item in measurable(added.of_split(split)) if item.source == "unlabelled"]


def test_an_epoch_draws_as_many_as_it_is_told(added: Dataset) -> None:
    drawn = [item.id for epoch in range(12) for item in added.draw(SourceDraws(unlabelled=1), 1, epoch) if item.source == "unlabelled"]
    assert len(drawn) == 12
    assert len(set(drawn)) == 3
    assert not [item for item in added.draw(SourceDraws(), 1, 0) if item.source == "unlabelled"]


def test_a_draw_is_the_same_whatever_is_drawn_of_other_sources(added: Dataset) -> None:
    """So a teacher that is asked about this source alone is asked about what the student will see."""
    for epoch in range(8):
        some, none = ([item.id for item in added.draw(SourceDraws(unlabelled=1, ngec=ngec), 1, epoch) if item.source == "unlabelled"] for ngec in (1, 0))
        assert some == none


def test_the_lessons_alone_teach_by_it(encoder: Path, dataset: Dataset, added: Dataset, tmp_path: Path) -> None:
    items = [item for item in added.items if item.source == "unlabelled"]
    texts = {unit.text for item in items for unit in item.units}
    trainer = train_module.Trainer(settings(encoder), dataset, tmp_path)
    examples = make_examples(items, trainer.tokenizer, budget=62, single_share=0.0, seed="1")
    rng = np.random.default_rng(0)
    lengths = {unit.text: len(tokens.ids) for e in examples for unit, tokens in zip(e.units, e.tokens, strict=True)}
    assert set(lengths) == texts
    save_lessons({name_of(text): rng.normal(size=(n, TAUGHT)).astype(np.float32) for text, n in lengths.items()}, tmp_path / "lessons.safetensors")
    taught = train_module.Trainer(settings(encoder, lessons=str(tmp_path / "lessons.safetensors")), dataset, tmp_path)
    losses = [taught.step([examples], 1.0, number) for number in range(30)]
    assert all(value == 0.0 for step in losses for name, value in step.items() if name not in ("teacher", "loss"))
    assert 0.0 < losses[-1]["teacher"] < 0.9 * losses[0]["teacher"]
    assert trainer.step([examples], 1.0)["loss"] == 0.0  # and without lessons nothing does


def test_unlabelled_text_needs_lessons_and_corpora() -> None:
    config = Config(sources=SourceDraws(unlabelled=5))
    with pytest.raises(ValueError, match=r"unlabelled is 5, but without lessons .* set lessons, or 0"):
        check_options(config, ROOT)
    with pytest.raises(ValueError, match="add --corpora FOLDER, or set 0"):
        check_options(dataclasses.replace(config, lessons="lessons"), None)
    check_options(dataclasses.replace(config, lessons="lessons"), ROOT)
