"""Variants of the training text: what is exchanged for what, that no label goes with them, and that they are asked about like other text."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from tiny_training import settings
from tokenizers import Tokenizer, models

from training import teach, vary
from training import train as train_module
from training.card import describe_data
from training.checkpoint import BEST
from training.config import Config, LossWeights, SourceDraws, Weights, check_options, override, to_toml
from training.corpus.schema import STANDOFF
from training.data import Dataset, Item, Span, Unit
from training.export import sample_windows
from training.lessons import TAUGHT, Lessons, name_of, save_lessons
from training.network import EvidenceNetwork, load_encoder, load_tokenizer
from training.own import open_dataset
from training.reader import NetworkReader
from training.vary import NEIGHBOURS, add_varied, collect_phrases, ending, exchange_phrases, exchange_words, find_neighbours
from training.vary import vary as make_variant

SENTENCE = "The army shelled two villages."


def unit(text: str, phrase: str, signal: int) -> Unit:
    start = text.index(phrase)
    return Unit(text, (Span(start, start + len(phrase), signal, 0, True, False),), 1, 0, 5.0, True)


PINNED = ["The army shelled two villages.", "Both shelled two villages.", "A reopening border helps."]
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


@pytest.mark.parametrize("mark", ["Ġ", "▁"])
def test_in_a_vocabulary_that_marks_spaces_only_marked_tokens_are_words(mark: str) -> None:
    """`raided` without a mark is the end of another word, and the order in which a vocabulary is given must not matter."""
    tokens = [f"{mark}attacked", "raided", f"{mark}raided", "opened", f"{mark}signed"]
    table = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 0.0], [0.9, 0.1]])
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="raided"))
    assert find_neighbours(tokenizer, table)["attacked"] == ("signed", "raided")


def test_large_vocabularies_have_their_own_neighbours() -> None:
    """The table is worked out in blocks; a word has a few neighbours, however many are near."""
    letters = "bcdfghjklmnpqrtvwxz"
    words = [f"{a}{b}{c}a" for a in letters for b in letters for c in letters][:1500]
    angles = torch.linspace(0.0, 3.0, len(words))
    table = torch.stack([angles.cos(), angles.sin()], dim=1)
    order = {word: number for number, word in enumerate(words)}
    found = find_neighbours(Tokenizer(models.WordLevel(order, unk_token=words[0])), table)
    assert {len(near) for near in found.values()} == {NEIGHBOURS}
    assert all(abs(order[other] - order[word]) <= NEIGHBOURS for word, near in found.items() for other in near)


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
    assert [unit.text for unit in first.units] == PINNED  # in another process too
    assert (first.id, first.source, first.split, first.label, first.severity) == ("varied/corpus/a", "varied", "train", None, None)
    assert all(found == Unit(found.text) for found in first.units)


@pytest.mark.parametrize("left_out", ["sources.standoff=0", "weights.standoff=0"])
def test_a_source_that_is_left_out_is_neither_varied_nor_lends_its_phrases(encoder: Path, dataset: Dataset, left_out: str) -> None:
    both = Dataset((Item("licensed", "standoff", "train", (unit("It shelled a hidden dam.", "shelled a hidden dam", 15),)),), dataset.articles)
    config = override(settings(encoder), ["sources.varied=5"])
    with_it, without = (
        [unit.text for item in add_varied(both, c).items if item.source == "varied" for unit in item.units] for c in (config, override(config, [left_out]))
    )
    assert len(with_it) == len(without) + 1
    assert "hidden" in " ".join(with_it)
    assert "hidden" not in " ".join(without)


def test_a_desk_that_is_left_out_is_neither_varied_nor_lends_its_phrases(encoder: Path, dataset: Dataset) -> None:
    article, _ = dataset.articles[0]
    named = dataclasses.replace(article, id="hidden-1")
    both = dataclasses.replace(dataset, articles=((named, "train"), *dataset.articles[1:]))
    config = override(settings(encoder), ["sources.varied=5"])
    seen, left_out = ([i.id for i in add_varied(data, config).items] for data in (both, dataclasses.replace(both, desks={"hidden": 0})))
    assert set(seen) - set(left_out) == {"varied/corpus/hidden-1"}


def test_where_there_is_nothing_to_vary_it_is_said(encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = override(settings(encoder), ["sources.varied=7"])
    bare = Dataset((Item("bare", "ag", "train", (Unit("Prices."),)),))
    with pytest.raises(ValueError, match=r"sources.varied is 7, but no text that trains has phrases labelled; label some, or set sources.varied to 0"):
        add_varied(bare, config)
    with pytest.raises(ValueError, match=r"sources.varied is 7, but the vocabulary of .* has no whole words"):
        add_varied(Dataset((Item("a", "own", "train", UNITS),)), dataclasses.replace(config, encoder=str(write_letters(encoder, tmp_path / "letters"))))
    (tmp_path / "student.toml").write_text(to_toml(dataclasses.replace(config, encoder="python:not_there", lessons="l", name_draws=1), {}))
    run = tmp_path / "teacher"
    run.mkdir()
    (run / "config.json").write_text(json.dumps(settings(encoder).to_dict()))
    (run / BEST).write_bytes(b"weights")
    assert teach.main([str(run), str(tmp_path / "student.toml"), "--to", str(tmp_path / "l.safetensors")]) == 1
    assert "package 'not_there' is not installed" in capsys.readouterr().err


def write_letters(encoder: Path, folder: Path) -> Path:
    """The tiny encoder with a vocabulary of single letters."""
    shutil.copytree(encoder, folder)
    made = json.loads((folder / "tokenizer.json").read_text())
    made["model"]["vocab"] = {(word if not word.isalpha() or len(word) == 1 else f"[{word}]"): number for word, number in made["model"]["vocab"].items()}
    (folder / "tokenizer.json").write_text(json.dumps(made))
    return folder


def test_what_a_teacher_said_of_a_sentence_among_its_own_neighbours_stays(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    """A variant may repeat a sentence as it is, between others."""
    config = override(settings(encoder, name_draws=1, epochs=1), ["sources.varied=900"])
    items = teach.items_to_ask(add_varied(dataset, config), config, Lessons())
    sources = [item.source for item in items]
    assert sources == sorted(sources)  # corpus, then varied
    assert set(sources) == {"corpus", "varied"}
    tokenizer, special = load_tokenizer(str(encoder))
    network = EvidenceNetwork(load_encoder(str(encoder)))
    reader = NetworkReader(network, tokenizer, special, config.max_tokens)
    sentence, other = "the army shelled the village .", "it said prices rose ."
    pair = [Item("a", "corpus", "train", (Unit(sentence),)), Item("varied/a", "varied", "train", (Unit(other), Unit(sentence)))]
    alone, both = Lessons(), Lessons()
    teach.teach([reader], pair[:1], alone, tmp_path / "alone.safetensors")
    teach.teach([reader], pair, both, tmp_path / "both.safetensors")
    expected, found = alone.get(sentence), both.get(sentence)
    assert expected is not None
    assert found is not None
    np.testing.assert_array_equal(found, expected)
    assert both.get(other) is not None


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
    ("missing", "message"), [
        ({"lessons": ""}, "no file of lessons"), ({"weights": Weights(varied=0.0)}, "no weights.varied above 0"),
        ({"losses": LossWeights(teacher=0.0)}, "no losses.teacher above 0"),
    ]
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


def test_the_card_counts_the_labels_that_there_are() -> None:
    """NGEC's articles with labels, and the share of their sentences that have two; counted here from the files themselves."""
    once, twice = ([json.loads(line) for line in (STANDOFF / name).read_text().splitlines()] for name in ("ngec.jsonl", "ngec-second.jsonl"))
    text = describe_data(Config(), {"plv"})
    assert f"{len({label['row'] for label in once}):,} NGEC articles" in text
    assert f"only {len(twice) / len(once):.0%}" in text
