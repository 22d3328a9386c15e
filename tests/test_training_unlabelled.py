"""Text without labels: which is taken, what it teaches, and that nothing else comes of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from tiny_training import settings

from training import train as train_module
from training import unlabelled
from training.batches import make_examples
from training.card import describe_data
from training.config import Config, LossWeights, SourceDraws, Weights, check_options, override
from training.data import Dataset, Item, Unit
from training.export import sample_windows
from training.lessons import TAUGHT, name_of, save_lessons
from training.network import load_tokenizer
from training.own import open_dataset

LONG = "the minister said on the radio that prices rose again and the army was on the border ."
OWN = "It was said in the village that the border would be shut on Friday and that no envoy had come."


def rows(name: str, corpora: Path) -> list[dict[str, Any]]:
    return {
        "ngec": [{"id": f"ngec-{n}", "title": f"Title {n}", "text": f"Army shelled village {n}. It said no."} for n in range(4)],
        "bbc": [{"id": "bbc-0", "text": LONG + " prices fell later"}, {"id": "bbc-1", "text": "prices rose a little on the border of the village today"}],
        "bbc-train": [
            {"id": "train-0", "text": LONG},
            {"id": "train-1", "text": "prices rose a little on the border of the village today"},
            {"id": "train-2", "text": OWN},
            {"id": "train-3", "text": "the mayor opened a school in the hills and nobody spoke of anything else all week"},
            {"id": "train-4", "text": "the mayor opened a school in the hills and nobody spoke of anything else for days"},
        ],
    }[name]


def items(own: str = "train") -> tuple[Item, ...]:
    """NGEC rows 0 and 1 train, 2 measures, 3 has labels and so is no row of the source `ngec`; and a text of one's own."""
    ngec = [Item(f"ngec-{n}", "ngec", "dev" if n == 2 else "train", (Unit("Title."),)) for n in range(3)]
    return (*ngec, Item("ngec-3", "standoff", "train", (Unit("Title."),)), Item("mine", "own", own, (Unit(OWN),)))


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the BBC's dev part row 0 has a label, on some of its words, of its train part row 3."""
    monkeypatch.setattr(unlabelled, "read_source", rows)
    label = {"corpus": "bbc", "row": "bbc-0", "field": "text", "start": 0, "end": 10, "escalation": 0, "de_escalation": 0, "severity": 0, "in_scope": True}
    of_train = {"corpus": "bbc-train", "row": "train-3"}
    (tmp_path / "bbc.jsonl").write_text("".join(json.dumps(label | row | {"phrases": []}) + "\n" for row in ({}, of_train)))
    return tmp_path


@pytest.fixture
def added(corpora: Path) -> Dataset:
    return unlabelled.add_unlabelled(Dataset(items()), corpora, standoff=corpora)


def test_text_that_measures_is_left_out(added: Dataset) -> None:
    found = {item.id: item for item in added.items if item.source == "unlabelled"}
    # train-3 has labels, train-0 and train-4 repeat what has
    assert set(found) == {f"unlabelled/{name}" for name in ("ngec-0", "ngec-1", "train-1", "train-2")}
    assert [unit.text for unit in found["unlabelled/ngec-0"].units] == ["Title 0.", "Army shelled village 0.", "It said no."]
    assert all(unit == Unit(unit.text) for item in found.values() for unit in item.units)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_near_duplicates_of_what_measures_are_left_out(corpora: Path, split: str) -> None:
    found = unlabelled.add_unlabelled(Dataset(items(own=split)), corpora, standoff=corpora)
    assert "unlabelled/train-2" not in {item.id for item in found.items}


def test_only_a_run_that_asks_for_it_reads_it(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.own.load_dataset", lambda *args, **options: Dataset(()))
    monkeypatch.setattr("training.own.add_unlabelled", lambda dataset, corpora: Dataset(items()))
    config = settings(encoder)
    assert open_dataset(config, ROOT).items == ()
    asked = override(config, ["sources.unlabelled=5"])
    assert open_dataset(asked, ROOT).items


def test_int8_is_prepared_on_labelled_sentences_alone(encoder: Path, added: Dataset) -> None:
    tokenizer, special = load_tokenizer(str(encoder))
    labelled = [unit for item in added.of_split("train") if item.source != "unlabelled" for unit in item.units]
    assert len(labelled) < len([unit for item in added.of_split("train") for unit in item.units])
    assert len(sample_windows(added, tokenizer, special, 64)) == len(labelled)


def test_an_epoch_draws_as_many_as_it_is_told(added: Dataset) -> None:
    drawn = [item.id for epoch in range(24) for item in added.draw(SourceDraws(unlabelled=1), 1, epoch) if item.source == "unlabelled"]
    assert len(drawn) == 24
    assert len(set(drawn)) == 4
    assert not [item for item in added.draw(SourceDraws(), 1, 0) if item.source == "unlabelled"]


def test_a_draw_is_the_same_whatever_is_drawn_of_other_sources(added: Dataset) -> None:
    """So a teacher that is asked about this source alone is asked about what the student will see."""
    for epoch in range(8):
        some, none = ([item.id for item in added.draw(SourceDraws(unlabelled=1, ngec=ngec), 1, epoch) if item.source == "unlabelled"] for ngec in (1, 0))
        assert some == none


def test_the_lessons_alone_teach_by_it(encoder: Path, dataset: Dataset, added: Dataset, tmp_path: Path) -> None:
    chosen = [item for item in added.items if item.source == "unlabelled"]
    texts = {unit.text for item in chosen for unit in item.units}
    trainer = train_module.Trainer(settings(encoder), dataset, tmp_path)
    examples = make_examples(chosen, trainer.tokenizer, budget=62, single_share=0.0, seed="1")
    rng = np.random.default_rng(0)
    lengths = {unit.text: len(tokens.ids) for e in examples for unit, tokens in zip(e.units, e.tokens, strict=True)}
    assert set(lengths) == texts
    save_lessons({name_of(text): rng.normal(size=(n, TAUGHT)).astype(np.float32) for text, n in lengths.items()}, tmp_path / "lessons.safetensors")
    taught = train_module.Trainer(settings(encoder, lessons=str(tmp_path / "lessons.safetensors")), dataset, tmp_path)
    losses = [taught.step([examples], 1.0, number) for number in range(30)]
    assert all(value == 0.0 for step in losses for name, value in step.items() if name not in ("teacher", "loss"))
    assert 0.0 < losses[-1]["teacher"] < 0.9 * losses[0]["teacher"]
    assert trainer.step([examples], 1.0)["loss"] == 0.0  # and without lessons nothing does


def test_a_run_on_text_that_the_teacher_was_not_asked_about_does_not_begin(encoder: Path, dataset: Dataset, added: Dataset, tmp_path: Path) -> None:
    texts = sorted({unit.text for item in added.items if item.source == "unlabelled" for unit in item.units})
    path = tmp_path / "lessons.safetensors"
    save_lessons({name_of(text): np.zeros((3, TAUGHT), np.float32) for text in texts[1:]}, path)
    both = dataclasses.replace(added, articles=dataset.articles)
    config = override(settings(encoder, lessons=str(path)), ["sources.unlabelled=9"])
    with pytest.raises(ValueError, match=rf"1 of {len(texts)} sentences without labels have no lessons .*python -m training\.teach"):
        train_module.Trainer(config, both, tmp_path)
    save_lessons({name_of(text): np.zeros((3, TAUGHT), np.float32) for text in texts}, path)
    train_module.Trainer(config, both, tmp_path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ({"lessons": ""}, "no file of lessons"), ({}, "no folder of public corpora"),
        ({"losses": LossWeights(teacher=0.0)}, "no losses.teacher above 0"), ({"weights": Weights(unlabelled=0.0)}, "no weights.unlabelled above 0"),
    ],
)  # fmt: skip
def test_what_text_without_labels_needs_is_said(missing: dict[str, Any], message: str) -> None:
    config = Config(sources=SourceDraws(unlabelled=5), lessons="lessons")
    check_options(config, ROOT)
    with pytest.raises(ValueError, match=rf"sources.unlabelled is 5, but there is {message}.* or set sources.unlabelled to 0"):
        check_options(dataclasses.replace(config, **missing), ROOT if missing else None)


def test_the_card_says_what_it_is() -> None:
    plain, more = (describe_data(Config(), {"corpus", "ngec", *extra}) for extra in ((), ("unlabelled",)))
    words = "`unlabelled` are sentences of other NGEC and BBC articles"
    assert words not in plain
    assert words in more
