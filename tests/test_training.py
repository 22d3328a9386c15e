"""The training pipeline on a tiny random encoder: it learns, resumes, exports, and refuses what is wrong."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from tiny_training import WORDS, settings, train

from escalation import load
from escalation.calibration import Calibration
from escalation.evaluation.labelled import QUADS
from escalation.evidence import N_LOGITS, pool, read_logits, score_sentences
from escalation.signals import EVENTS, SIGNAL_INDEX, STATUS_INDEX
from training import export as export_module
from training import train as train_module
from training.batches import collate, label_factor, label_tokens, make_batches, make_examples
from training.calibrate import best_thresholds, conformal_width, fit_logistic
from training.card import data_table
from training.config import Config, LossWeights, SourceDraws, Weights, check_options, read_config
from training.corpus.schema import Phrase, Sentence
from training.data import Dataset, Item, Span, Unit, counted_direction, describe, load_dataset
from training.losses import compute_losses, event_loss, total_loss
from training.measure import match_spans, phrase_figures
from training.network import pool_tokens
from training.own import open_dataset
from training.sources import SOURCES, read_source
from training.splits import choose_split, group, split


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def test_a_killed_run_resumes_to_the_same_weights(encoder: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(encoder)
    whole = train(config, dataset, tmp_path / "whole")
    step = train_module.Trainer.step
    calls = 0

    def dying(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise Killed
        return step(self, *arguments)

    monkeypatch.setattr(train_module.Trainer, "step", dying)
    with pytest.raises(Killed):
        train(config, dataset, tmp_path / "broken")
    monkeypatch.setattr(train_module.Trainer, "step", step)
    broken = train(config, dataset, tmp_path / "broken")
    for name in ("best.safetensors", "checkpoint.safetensors"):
        a, b = load_file(whole / name), load_file(broken / name)
        assert all(torch.equal(a[key], b[key]) for key in a if key.startswith(("encoder", "head", "network", "optimizer")))
    steps = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in (run / "steps.jsonl").read_text().splitlines()] for run in (whole, broken)
    ]
    assert steps[0] == steps[1]
    assert [step["step"] for step in steps[0]] == list(range(1, len(steps[0]) + 1))


def test_a_run_of_another_configuration_is_not_overwritten(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    train(settings(encoder, epochs=1), dataset, tmp_path / "run")
    with pytest.raises(ValueError, match="another configuration"):
        train(settings(encoder, epochs=1, seed=5), dataset, tmp_path / "run")


def test_a_loss_that_is_no_number_ends_with_a_remedy(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    trainer = train_module.Trainer(settings(encoder), dataset, tmp_path)
    with torch.no_grad():
        trainer.network.head.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        trainer.step(trainer.batches(0)[0], 1.0)


def test_it_learns_and_the_exported_model_scores(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    run = train(settings(encoder, epochs=14, learning_rate=3e-3, head_rate=1e-2, dropout=0.0), dataset, tmp_path / "run")
    history = json.loads((run / "state.json").read_text())["history"]
    assert history[-1]["corpus_span_f1"] > 0.8
    figures = export_module.export(run, dataset, tmp_path / "model", precision="fp32")
    assert figures["agreement"]["fp32_largest_logit_difference"] < 1e-3
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"model.onnx", "tokenizer.json", "config.json", "metrics.json", "train.toml", "README.md"}
    scorer = load(tmp_path / "model", threads=1)
    result = scorer.score("The army shelled the village b. The minister urged calm.")
    assert [(h.signal, h.status) for h in result.highlights] == [("attack", "asserted"), ("restrain", "asserted")]
    assert "tiny" in (tmp_path / "model" / "README.md").read_text()


def test_export_fails_where_onnx_and_torch_differ(encoder: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(settings(encoder, epochs=1), dataset, tmp_path / "run")
    honest = export_module.export_onnx

    def wrong(network, path):
        with torch.no_grad():
            network.head.bias += 1.0
        honest(network, path)
        with torch.no_grad():
            network.head.bias -= 1.0

    monkeypatch.setattr(export_module, "export_onnx", wrong)
    with pytest.raises(export_module.ExportError, match="ONNX and torch differ by 1"):
        export_module.export(run, dataset, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_int8_that_loses_too_much_is_refused() -> None:
    before = dict.fromkeys(export_module.COMPARED, 0.9)
    assert export_module.check_int8(before, before)["corpus_span_f1"] == 0.0
    with pytest.raises(export_module.ExportError, match=r"int8 loses more than 0.02 in corpus_span_f1 \(0.100\)"):
        export_module.check_int8(before, {**before, "corpus_span_f1": 0.8})


def test_the_pooling_in_torch_is_that_of_scoring() -> None:
    logits = np.random.default_rng(0).normal(size=(20, N_LOGITS)).astype(np.float32)
    bounds = np.array([0, 8, 8, 20])
    sentence = np.repeat(np.arange(3), np.diff(bounds))
    pools = pool_tokens(torch.from_numpy(logits), torch.from_numpy(sentence), 3)
    tokens = read_logits(logits)
    np.testing.assert_allclose(pools.direction, pool(tokens.direction, bounds), atol=1e-5)
    np.testing.assert_allclose(pools.signal, pool(tokens.signal, bounds), atol=1e-5)

    class All:
        first, last, status = 0, 20, 0

    figures = score_sentences(tokens, bounds, [All()], Calibration())  # type: ignore[list-item]
    np.testing.assert_allclose(pools.severity, figures.score, atol=1e-5)
    np.testing.assert_allclose(torch.sigmoid(pools.scope), figures.scope, atol=1e-5)
    np.testing.assert_allclose(pools.event.exp(), figures.event, atol=1e-5)


def test_perfect_evidence_has_a_small_loss(encoder: Path) -> None:
    tokenizer, special = train_module.load_tokenizer(str(encoder))
    text = "the army shelled the village ."
    span = Span(9, 28, SIGNAL_INDEX["attack"], STATUS_INDEX["asserted"], True, False)
    unit = Unit(text, (span,), 1, 0, 9, True, SIGNAL_INDEX["attack"], 1)
    examples = make_examples([Item("x", "corpus", "train", (unit,))], tokenizer, budget=30, single_share=0.0, seed="0")
    batch = collate(examples, **special)
    logits = torch.full((*batch.input_ids.shape, N_LOGITS), -12.0)
    flat = logits.view(-1, N_LOGITS)
    inside = batch.index[batch.signal > 0]
    flat[:, 0] = 12.0
    flat[inside, 0] = -12.0
    flat[inside, 1 + span.signal] = 12.0
    flat[inside, 17 + span.status] = 12.0
    flat[inside, 22] = 12.0
    flat[:, 24] = 12.0
    flat[:, 25] = 12.0
    flat[:, 26 + EVENTS.index("attack")] = 12.0
    good = compute_losses(logits, batch)
    assert total_loss(good, LossWeights()) < 0.1
    assert total_loss(compute_losses(-logits, batch), LossWeights()) > 10
    assert {*good, "consistency"} == set(LossWeights.__dataclass_fields__)


def two_sentences(encoder: Path, weights: Weights) -> dict[str, float]:
    """Losses of a labelled sentence of the corpus and a neutral one of a source of one's own, under untrained logits."""
    tokenizer, special = train_module.load_tokenizer(str(encoder))
    attack = Unit("the army attacked", (Span(9, 17, 0, 0, True, False),), 1, 0, 8, True, 0, 1)
    items = [Item("x", "corpus", "train", (attack,)), Item("y", "own", "train", (Unit("the minister said", (), 0, 0, 0, True),))]
    examples = make_examples(items, tokenizer, budget=30, single_share=0.0, seed="0", weights=weights)
    batch = collate(examples, **special, weights=weights)
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(*batch.input_ids.shape, N_LOGITS)).astype(np.float32))
    return {name: float(value) for name, value in compute_losses(logits, batch).items()}


def test_a_source_weighs_in_every_loss_and_a_label_in_that_of_the_direction(encoder: Path) -> None:
    plain, none = two_sentences(encoder, Weights()), two_sentences(encoder, Weights(corpus=0.0, own=0.0))
    assert {name for name, value in none.items() if value} == set()
    corpus, own = two_sentences(encoder, Weights(own=0.0)), two_sentences(encoder, Weights(corpus=0.0))
    doubled = two_sentences(encoder, Weights(corpus=2.0))
    for name in plain:
        assert corpus[name] + own[name] == pytest.approx(plain[name], abs=1e-5)
        assert doubled[name] == pytest.approx(plain[name] + corpus[name], abs=1e-5)
    heavier = two_sentences(encoder, Weights(escalation=3.0))
    assert heavier["direction"] == pytest.approx(plain["direction"] + 2 * corpus["direction"], abs=1e-5)
    assert {name for name in plain if heavier[name] != pytest.approx(plain[name])} == {"direction"}


def test_the_event_loss_teaches_even_where_all_is_wrong() -> None:
    logits = torch.zeros(2, len(EVENTS))
    logits[:, EVENTS.index("aid")] = 30.0
    logits.requires_grad_()
    loss = event_loss(logits.log_softmax(dim=1), torch.tensor([SIGNAL_INDEX["attack"], -1]), torch.tensor([-1, QUADS.index("verbal conflict")]), torch.ones(2))
    loss.backward()
    gradient = logits.grad
    assert gradient is not None
    assert gradient[0, EVENTS.index("attack")] < -0.5
    assert gradient[1, EVENTS.index("accuse")] < 0  # any event of the quad class lowers the loss
    assert gradient[1, EVENTS.index("attack")] >= 0


def test_every_source_has_a_number_of_draws_and_a_factor() -> None:
    draws, factors = ({item.name for item in dataclasses.fields(table)} for table in (SourceDraws, Weights))
    assert draws <= factors
    assert factors - draws == {"escalation", "de_escalation", "mixed", "neutral"}


@pytest.mark.parametrize(("escalation", "de_escalation", "factor"), [(1, 0, 2.0), (0, 1, 3.0), (1, 1, 4.0), (0, 0, 5.0), (None, 0, 1.0)])
def test_each_label_has_a_factor(escalation: int | None, de_escalation: int, factor: float) -> None:
    weights = Weights(escalation=2.0, de_escalation=3.0, mixed=4.0, neutral=5.0)
    assert label_factor(Unit("x", escalation=escalation, de_escalation=de_escalation), weights) == factor


def test_tokens_take_the_label_of_the_span_they_touch(encoder: Path) -> None:
    tokenizer, _ = train_module.load_tokenizer(str(encoder))
    unit = Unit("the army attacked it", (Span(9, 17, 0, 0, True, False),), 1, 0, 8, True)
    (example,) = make_examples([Item("x", "corpus", "train", (unit,))], tokenizer, budget=30, single_share=0.0, seed="0")
    signal, status, counted = label_tokens(unit, example.tokens[0])
    assert signal.tolist() == [0, 0, 1, 0]
    assert status.tolist() == [-100, -100, 0, -100]
    assert counted[:, 0].tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("signal", "status", "labels", "expected"),
    [
        ("attack", "asserted", (1, 0), (True, False)),
        ("agree", "negated", (1, 0), (True, False)),  # no ceasefire was agreed
        ("attack", "negated", (1, 0), (True, False)),  # a foiled attack
        ("attack", "negated", (0, 0), (False, False)),  # a denial
        ("attack", "negated", (0, 1), (False, True)),  # the guns stayed silent
        ("attack", "hypothetical", (0, 0), (False, False)),  # a passing conditional
        ("attack", "hypothetical", (1, 0), (True, False)),
        ("attack", "historical", (0, 0), (False, False)),
        ("attack", "figurative", (0, 0), (False, False)),
        ("yield", "asserted", (1, 1), (False, True)),
    ],
)
def test_what_a_phrase_counts_as(signal: str, status: str, labels: tuple[int, int], expected: tuple[bool, bool]) -> None:
    phrase = Phrase(0, 1, "x", signal, status)
    assert counted_direction(phrase, Sentence("x", *labels, 0, True, 0, (phrase,))) == expected


def test_batches_hold_every_example_once_within_the_token_limit(encoder: Path, dataset: Dataset) -> None:
    tokenizer, _ = train_module.load_tokenizer(str(encoder))
    items = dataset.of_split("train")
    examples = make_examples(items, tokenizer, budget=30, single_share=0.5, seed="1")
    assert sorted(u.text for e in examples for u in e.units) == sorted(u.text for i in items for u in i.units)
    batches = make_batches(examples, 100, "1")
    assert sorted(map(id, examples)) == sorted(id(e) for batch in batches for e in batch)
    assert all(len(b) == 1 or sum(len(e.windows) for e in b) * max(e.width for e in b) <= 100 for b in batches)


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for text, message in (
        ("epoch = 3", "unknown key 'epoch'; did you mean 'epochs'"),
        ("epochs = 'x'", "epochs must be int, got 'x'"),
        ("epochs = 0", "epochs must be above 0, got 0"),
        ("dropout = 2", "dropout must be within 0 and 1"),
        ("[sources]\nnjec = 1", "did you mean 'ngec'"),
        ("[desks]\nbriefs = 1.5", "desks must be a table of whole numbers from 0 on"),
        ("[desks]\nbriefs = -1", "desks must be a table of whole numbers from 0 on"),
        ("epochs = ", "is no TOML"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_config(path)
    path.write_text("learning_rate = 1\n[losses]\nscope = 2\n")
    assert (read_config(path).learning_rate, read_config(path).losses.scope) == (1.0, 2.0)


def test_settings_on_the_command_line() -> None:
    config = train_module.override(Config(), ["epochs=2", "sources.ngec=0", "name=mine", "learning_rate=1e-5", "desks.front-pages=3"])
    assert (config.epochs, config.sources.ngec, config.name, config.learning_rate, config.desks) == (2, 0, "mine", 1e-5, {"front-pages": 3})
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        train_module.override(Config(), ["epoch=2"])
    with pytest.raises(ValueError, match="key=value"):
        train_module.override(Config(), ["epochs"])


def test_a_desk_is_shown_as_often_as_asked_each_time_with_other_names() -> None:
    plain = load_dataset(None)
    config = Config(desks={"briefs": 3, "voices": 0})
    desks = open_dataset(config, None)
    items = desks.draw(config.sources, 1, 0, name_draws=2)
    once = plain.draw(config.sources, 1, 0, name_draws=2)
    shown, expected = (Counter(item.id.rpartition("-")[0] for item in found) for found in (items, once))
    assert (shown["briefs"], shown["voices"], expected["voices"] > 0) == (3 * expected["briefs"], 0, True)
    assert all(shown[desk] == count for desk, count in expected.items() if desk not in ("briefs", "voices"))
    texts: dict[str, set[tuple[str, ...]]] = {}
    for item in items:
        texts.setdefault(item.id, set()).add(tuple(unit.text for unit in item.units))
    slots = {article.id for article, _ in plain.articles if "country" in article.slots.values()}
    assert any(len(found) == 3 for name, found in texts.items() if name in slots)  # all three otherwise named
    assert all(len(found) > 1 for name, found in texts.items() if name in slots and name.startswith("briefs-"))
    first = {item.id: item for item in once}
    assert all(any(first[name].units[0].text == found[0] for found in texts[name]) for name in texts)  # the first as without
    drawn = f"| corpus | {len(once)} | {sum(len(item.units) for item in once)} | {len(items)} |"
    assert drawn in data_table(describe(desks), config)
    assert f"| {len(once)} |\n" in data_table(describe(plain), Config()) + "\n"


@pytest.mark.parametrize(("setting", "message"), [("sources.corpus=0", "sources.corpus is 0"), ("weights.corpus=0", "weights.corpus is 0")])
def test_desks_of_a_corpus_that_does_not_train_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"desks says .* {message}"):
        check_options(train_module.override(Config(desks={"briefs": 2}), [setting]), None)


def test_a_desk_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown key 'breifs'; did you mean 'briefs'"):
        open_dataset(Config(desks={"breifs": 2}), None)
    with pytest.raises(ValueError, match="only_own leaves them out"):
        check_options(Config(desks={"briefs": 2}, only_own=True, data=("mine.csv",)), None)


def test_shipped_configurations_are_valid() -> None:
    for path in sorted((ROOT / "training/configs").glob("*.toml")):
        assert read_config(path).name == path.stem


def test_near_duplicates_and_keys_stay_together() -> None:
    a = "The army of the northern province shelled three villages near the river on Monday night"
    b = "The army of the northern province shelled three villages near the river on Sunday"
    c = "Football results of the second division were published late on Saturday evening by the league"
    assert group([a, b, c, "short text"], ["1", "2", "3", "3"]) == [0, 0, 2, 2]
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=12)) for _ in range(300)]
    names = split(texts, [str(n) for n in range(300)])
    assert {name: names.count(name) > 10 for name in ("train", "dev", "test")} == {"train": True, "dev": True, "test": True}
    assert choose_split("x") == choose_split("x")


def test_no_scenario_of_the_corpus_straddles_a_split() -> None:
    seen: dict[str, str] = {}
    for article, found in load_dataset(None).articles:
        assert seen.setdefault(article.scenario, found) == found
    assert set(seen.values()) == {"train", "dev", "test"}


def test_a_missing_or_changed_public_corpus_is_named_with_its_address(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"plv_train.jsonl is missing; make it from https://github.com/snowood1"):
        read_source("plv", tmp_path)
    (tmp_path / "plv_train.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="expected 441eebda"):
        read_source("plv", tmp_path)
    assert all(len(source.sha256) == 64 for source in SOURCES.values())


def test_span_matching_by_hand() -> None:
    gold = [Span(0, 10, SIGNAL_INDEX["attack"], 0, True, False), Span(20, 30, SIGNAL_INDEX["agree"], 0, False, True)]
    found = [(0, 8, SIGNAL_INDEX["coerce"], 0), (24, 40, SIGNAL_INDEX["agree"], 0)]
    assert [(f[0], g.start) for f, g in match_spans(found, gold, signal=False)] == [(0, 0)]
    assert match_spans(found, gold, signal=True) == []


def test_phrase_figures_by_hand() -> None:
    class One:
        unit = Unit("x" * 30, (Span(0, 10, 0, 0, True, False), Span(20, 30, 12, 2, False, True)))
        phrases = ((0, 10, 0, 0), (20, 30, 12, 0), (12, 15, 0, 0))

    figures = phrase_figures([One()])  # type: ignore[list-item]
    assert figures["span_f1"] == pytest.approx(2 * 2 / 5)
    assert figures["status_accuracy"] == 0.5


def test_calibration_by_hand() -> None:
    assert conformal_width(np.arange(1, 20) / 100) == pytest.approx(0.18)  # the ceil(20 * 0.9) = 18th of 19
    assert conformal_width(np.array([0.1] * 5)) == 1.0
    probabilities = np.array([[0.3, 0.1], [0.35, 0.1], [0.1, 0.1], [0.05, 0.9]])
    low, high = best_thresholds(probabilities, np.array([[1, 0], [1, 0], [0, 0], [0, 1]]))
    assert 0.1 < low <= 0.3
    assert 0.1 < high <= 0.9
    intercept, slope = fit_logistic(np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1]))
    assert slope > 0
    assert intercept == pytest.approx(0, abs=0.1)
    with pytest.raises(ValueError, match="both kinds"):
        fit_logistic(np.zeros((3, 1)), np.array([1, 1, 1]))


def test_texts_that_are_not_outside_the_scope_do_not_stand_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AG's sections business, sport and science, but for what a reader found in scope or couldn't tell."""
    rows = [
        {"id": f"ag-{n}", "topic": topic, "title": f"Title {n}", "text": f"Text {n}."} for n, topic in enumerate(["sports", "business", "science", "world"])
    ]
    monkeypatch.setattr("training.data.read_source", lambda name, corpora: rows if name == "ag" else [])
    (tmp_path / "articles").mkdir()
    (tmp_path / "standoff").mkdir()

    def outside() -> set[str]:
        found = load_dataset(tmp_path, articles=tmp_path / "articles", standoff=tmp_path / "standoff")
        assert all(item.in_scope is False for item in found.items)
        return {item.id for item in found.items}

    assert outside() == {"ag-0", "ag-1", "ag-2"}
    (tmp_path / "standoff" / "ag-scope.json").write_text('{"in_scope": ["ag-1"], "borderline": ["ag-2"]}')
    assert outside() == {"ag-0"}
