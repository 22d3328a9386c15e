"""Variants of the training text: what is exchanged for what, that no label goes with them, and that they are asked about like other text."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from tiny_training import settings
from tokenizers import Tokenizer, models

from training import train as train_module
from training import vary
from training.card import describe_data
from training.config import Config, SourceDraws, Weights, check_options, override
from training.data import Dataset, Item, Span, Unit
from training.export import sample_windows
from training.lessons import TAUGHT, name_of, save_lessons
from training.network import load_tokenizer
from training.own import open_dataset
from training.vary import add_varied, collect_phrases, ending, exchange_phrases, exchange_words, find_neighbours
from training.vary import vary as make_variant

SENTENCE = "The army shelled two villages."


def unit(text: str, phrase: str, signal: int) -> Unit:
    start = text.index(phrase)
    return Unit(text, (Span(start, start + len(phrase), signal, 0, True, False),), 1, 0, 5.0, True)


UNITS = (
    unit(SENTENCE, "shelled two villages", 15),
    unit("Both signed a truce.", "signed a truce", 1),
    unit("A reopening border helps.", "reopening border", 9),
)


@pytest.mark.parametrize(
    ("word", "form"), [("attacked", "ed"), ("signing", "ing"), ("talks", "s"), ("calmly", "ly"), ("truce", ""), ("ACCUSED", "ed")]
)  # fmt: skip
def test_an_ending_tells_the_form(word: str, form: str) -> None:
    assert ending(word) == form


def test_neighbours_are_the_nearest_words_of_the_same_form() -> None:
    words = ["attacked", "raided", "praised", "attacking", "attack", "at", "##tacked", "Raided"]
    table = torch.tensor([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.0], [1.0, 0.01], [1.0, 0.02], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    found = find_neighbours(Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="at")), table)
    assert found["attacked"] == ("raided", "praised")  # nearest first, not itself, and not `attacking`, which is nearer than both
    assert found["attacking"] == ()
    assert set(found) == {"attacked", "raided", "praised", "attacking", "attack"}


def test_words_of_a_subword_vocabulary_count_behind_their_mark() -> None:
    tokenizer = Tokenizer(models.WordLevel({"Ġattacked": 0, "▁raided": 1}, unk_token="Ġattacked"))
    assert find_neighbours(tokenizer, torch.eye(2)) == {"attacked": ("raided",), "raided": ("attacked",)}


def test_phrases_give_way_to_others_of_their_form_and_of_any_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vary, "PHRASE_SHARE", 1.0)
    phrases = collect_phrases(UNITS)
    found = {exchange_phrases(UNITS[0], phrases, random.Random(seed)) for seed in range(40)}
    assert found == {SENTENCE, "The army signed a truce."}
    opening = unit("Shelled two villages, it did.", "Shelled two villages", 15)
    assert "Signed a truce, it did." in {exchange_phrases(opening, phrases, random.Random(seed)) for seed in range(40)}


def test_several_phrases_of_a_sentence_keep_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vary, "PHRASE_SHARE", 1.0)
    text = "It shelled a village and signed a truce."
    first, last = text.index("shelled"), text.index("signed")
    both = Unit(text, (Span(first, first + 17, 15, 0, True, False), Span(last, last + 14, 1, 0, False, True)), 1, 1, 1.0, True)
    found = {exchange_phrases(both, collect_phrases([both]), random.Random(seed)) for seed in range(40)}
    assert found == {f"It {a} and {b}." for a in ("shelled a village", "signed a truce") for b in ("shelled a village", "signed a truce")}


def test_words_give_way_to_neighbours_and_keep_their_capital(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vary, "WORD_SHARE", 1.0)
    assert (
        exchange_words("Troops attacked; all the army saw.", {"troops": ["forces"], "attacked": ["raided"]}, random.Random(1))
        == "Forces raided; all the army saw."
    )


@pytest.mark.parametrize(("share", "expected"), [("PHRASE_SHARE", 0.5), ("WORD_SHARE", 0.2)])
def test_as_many_are_exchanged_as_is_said(share: str, expected: float) -> None:
    near = {"army": ["navy"]}
    texts = [exchange_words("army", near, random.Random(n)) for n in range(4000)] if share == "WORD_SHARE" else []
    swap = {"ed": {0: ["signed a truce"]}}
    texts = texts or [exchange_phrases(UNITS[0], swap, random.Random(n)) for n in range(4000)]
    changed = [text not in ("army", SENTENCE) for text in texts]
    assert np.mean(changed) == pytest.approx(expected, abs=0.03)


def test_a_variant_has_no_labels_and_is_always_the_same() -> None:
    item = Item("a", "corpus", "train", UNITS, "escalation", 5.0, True)
    phrases = collect_phrases(UNITS)
    first, again, other = (make_variant(item, phrases, {"villages": ["towns"]}, seed) for seed in ("1", "1", "3"))
    assert first == again
    assert [unit.text for unit in first.units] != [unit.text for unit in other.units]
    assert (first.id, first.source, first.split, first.label, first.severity) == ("varied/corpus/a", "varied", "train", None, None)
    assert all(found == Unit(found.text) for found in first.units)


def test_only_text_that_trains_is_varied_or_lends_its_phrases(encoder: Path, dataset: Dataset) -> None:
    measuring = unit("It shelled a hidden dam.", "shelled a hidden dam", 15)
    both = Dataset((Item("kept", "standoff", "dev", (measuring,)), Item("bare", "ag", "train", (Unit("Prices."),))), dataset.articles)
    found = [item for item in add_varied(both, settings(encoder)).items if item.source == "varied"]
    assert {item.id for item in found} == {f"varied/corpus/{item.id}" for item in both.of_split("train") if item.source == "corpus"}
    assert "hidden" not in " ".join(unit.text for item in found for unit in item.units)


def test_only_a_run_that_asks_for_them_has_them(encoder: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.own.load_dataset", lambda *args, **options: dataset)
    assert not open_dataset(settings(encoder), None).items
    asked = open_dataset(override(settings(encoder), ["sources.varied=5"]), None)
    assert {item.source for item in asked.items} == {"varied"}
    assert len([item for item in asked.draw(SourceDraws(varied=5), 1, 0) if item.source == "varied"]) == 5
    assert not [item for item in asked.draw(SourceDraws(), 1, 0) if item.source == "varied"]
    tokenizer, special = load_tokenizer(str(encoder))
    assert len(sample_windows(asked, tokenizer, special, 64)) == len(sample_windows(dataset, tokenizer, special, 64))  # int8 is prepared on text as written


def test_a_run_on_variants_that_the_teacher_was_not_asked_about_does_not_begin(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    varied = add_varied(dataset, settings(encoder))
    texts = sorted({unit.text for item in varied.items for unit in item.units})
    path = tmp_path / "lessons.safetensors"
    config = override(settings(encoder, lessons=str(path)), ["sources.varied=900"])
    for known, fails in ((texts[1:], True), (texts, False)):
        save_lessons({name_of(text): np.zeros((3, TAUGHT), np.float32) for text in known}, path)
        if fails:
            with pytest.raises(ValueError, match=rf"1 of {len(texts)} sentences without labels have no lessons .*sources\.varied to 0"):
                train_module.Trainer(config, varied, tmp_path)
        else:
            train_module.Trainer(config, varied, tmp_path)


@pytest.mark.parametrize(
    ("missing", "message"), [({"lessons": ""}, "no file of lessons"), ({"weights": Weights(varied=0.0)}, "no weights.varied above 0")]
)  # fmt: skip
def test_what_variants_need_is_said(missing: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"sources": SourceDraws(varied=5), "lessons": "lessons"}
    check_options(Config(**values), None)
    with pytest.raises(ValueError, match=rf"sources.varied is 5, but there is {message}.* or set sources.varied to 0"):
        check_options(Config(**{**values, **missing}), ROOT)


def test_the_card_says_what_variants_are() -> None:
    assert "`varied` are variants of the train texts" in describe_data(Config(), {"corpus", "varied"})
    assert "varied" not in describe_data(Config(), {"corpus"})
    assert describe_data(Config(), {"corpus", "varied", "plv"}).splitlines()[-3].startswith("|")  # the table of licences stays one


def test_the_card_says_where_the_first_part_of_the_training_is_described() -> None:
    assert "stands in `training/configs/newswire-en-first.toml`" in describe_data(Config(start="runs/newswire-en-first"), set())
    assert "stands in its own card" in describe_data(Config(start="newswire-fr"), set())
    assert "Training went on" not in describe_data(Config(), set())
