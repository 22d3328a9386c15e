"""The loop and what surrounds it: micro-batches and processes, stopping, errors with a remedy, curves, TensorBoard, the baseline."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from tiny_training import settings, train, write_encoder, write_rows
from transformers import BertConfig, BertModel

from escalation.evidence import EVENT_LOGITS
from training import baseline, curves
from training import train as train_module
from training.checkpoint import Progress
from training.config import Config, check_ranges, override, read_config, read_pairs, to_toml
from training.cost import describe_cost, measure_cost
from training.data import Dataset
from training.distributed import Processes
from training.export import load_network
from training.journal import Journal
from training.network import cut_layers
from training.optimizer import rate_factor


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder without dropout."""
    return write_encoder(tmp_path_factory.mktemp("calm"), dropout=0.0)


def gradients(trainer: train_module.Trainer) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in trainer.network.named_parameters() if p.grad is not None}


def test_processes_that_share_a_step_out_take_the_step_of_one(encoder: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(encoder, accumulate=3, batch_tokens=64, dropout=0.3, clip=1e9)
    whole = train_module.Trainer(config, dataset, tmp_path)
    parts = whole.batches(0)[0]
    assert len(parts) == 3
    losses = whole.step(parts, 0.0)
    expected = gradients(whole)
    shares, summed = [], []
    for rank in (0, 1):
        one = train_module.Trainer(config, dataset, tmp_path)
        one.processes = Processes(rank, 2)
        monkeypatch.setattr(Processes, "sum", lambda _, values: values)  # what each would give to the sum
        shares.append(one.step(parts, 0.0))
        summed.append(gradients(one))
    assert [len(Processes(rank, 2).share(3)) for rank in (0, 1)] == [2, 1]
    for name, value in losses.items():
        assert shares[0][name] + shares[1][name] == pytest.approx(value, abs=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(summed[0][name] + summed[1][name], value, atol=1e-6, rtol=1e-4)


def test_a_step_is_the_mean_of_its_micro_batches(calm: Path, dataset: Dataset, tmp_path: Path) -> None:
    trainer = train_module.Trainer(settings(calm, accumulate=2, dropout=0.0, clip=1e9), dataset, tmp_path)
    parts = trainer.batches(0)[0]
    both, gradient = trainer.step(parts, 0.0), gradients(trainer)
    alone, single = zip(*((trainer.step([part], 0.0), gradients(trainer)) for part in parts), strict=True)
    assert all(both[name] == pytest.approx((alone[0][name] + alone[1][name]) / 2, abs=1e-5) for name in both)
    for name, value in gradient.items():
        torch.testing.assert_close(value, (single[0][name] + single[1][name]) / 2, atol=1e-6, rtol=1e-4)


def test_every_micro_batch_is_in_one_step(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    plain = train_module.Trainer(settings(encoder), dataset, tmp_path).batches(0)
    grouped = train_module.Trainer(settings(encoder, accumulate=4), dataset, tmp_path).batches(0)
    assert [len(step) for step in grouped[:-1]] == [4] * (len(grouped) - 1)
    texts = [[[unit.text for e in part for unit in e.units] for step in steps for part in step] for steps in (plain, grouped)]
    assert texts[0] == texts[1]


def test_more_processes_than_micro_batches_are_refused(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 processes share 1 micro-batches a step; set accumulate"):
        train_module.Trainer(settings(encoder), dataset, tmp_path, Processes(0, 2))


@pytest.mark.slow
def test_two_processes_train_as_one_does(encoder: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "mine.csv", 40)
    options = ["-m", "training.train", "training/configs/tiny.toml", "--data", str(rows), "--only-own"]
    for setting in (f"encoder={encoder}", "accumulate=2", "dropout=0.2", "epochs=3"):
        options += ["--set", setting]
    launchers = {"one": [sys.executable], "two": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]}
    for name, launcher in launchers.items():
        command, environment = [*launcher, *options, "--folder", str(tmp_path / name)], {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("best dev steer") == 1  # one process speaks
    steps = [[json.loads(line) for line in (tmp_path / name / "steps.jsonl").read_text().splitlines()] for name in launchers]
    assert len(steps[0]) == len(steps[1]) > 3
    for a, b in zip(*steps, strict=True):
        assert all(a[key] == pytest.approx(b[key], abs=1e-4) for key in a if key != "seconds")
    assert json.loads((tmp_path / "two" / "run.json").read_text())["processes"] == 2
    one, two = (load_file(tmp_path / name / "best.safetensors") for name in launchers)
    assert all(torch.allclose(one[key], two[key], atol=1e-3) for key in one)


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [rate_factor(n / 100, 1 / 100, 0.1) for n in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.02
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rate_factor(0.0, 1.0, 0.0) == 1.0  # a run of one step
    assert all(0 < rate_factor(n / 5, 1 / 5, warmup) <= 1 for n in range(5) for warmup in (0.0, 0.5, 1.0))


def test_no_epoch_is_drawn_before_it_begins(encoder: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    batches = train_module.Trainer.batches
    monkeypatch.setattr(train_module.Trainer, "batches", lambda self, epoch: drawn.append(epoch) or batches(self, epoch))
    step = train_module.Trainer.step
    monkeypatch.setattr(train_module.Trainer, "step", lambda self, *given: drawn.append(-1) or step(self, *given))
    train(settings(encoder), dataset, tmp_path / "run")
    assert drawn[:2] == [0, -1]
    assert [epoch for epoch in drawn if epoch >= 0] == [0, 1]


def test_a_run_ends_when_dev_gets_no_better(encoder: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steers = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    monkeypatch.setattr(train_module, "read_raw", lambda reader, items: [])
    monkeypatch.setattr(train_module, "measure_dev", lambda items, readings: {"steer": next(steers)})
    config = settings(encoder, epochs=5, patience=2, batch_tokens=1024)
    run = train(config, dataset, tmp_path / "run")
    state = json.loads((run / "state.json").read_text())
    assert [row["steer"] for row in state["history"]] == [0.1, 0.5, 0.4, 0.5]
    assert state["best"] == 0.5
    train(config, dataset, run)  # given again, it stays ended
    assert len(json.loads((run / "state.json").read_text())["history"]) == 4


def test_the_best_epoch_is_kept(encoder: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steers = iter([0.9, 0.1])
    monkeypatch.setattr(train_module, "read_raw", lambda reader, items: [])
    monkeypatch.setattr(train_module, "measure_dev", lambda items, readings: {"steer": next(steers)})
    run = train(settings(encoder), dataset, tmp_path / "run")
    best, last = load_file(run / "best.safetensors"), load_file(run / "checkpoint.safetensors")
    assert not torch.equal(best["head.weight"], last["network.head.weight"])


def test_a_smaller_network_keeps_some_layers_and_is_read_back(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    whole = train(settings(encoder, epochs=1), dataset, tmp_path / "whole")
    config = settings(encoder, epochs=1, layers=1, start=str(whole))
    trainer = train_module.Trainer(config, dataset, tmp_path / "small")
    before = load_file(whole / "best.safetensors")
    (name,) = [name for name, _ in trainer.network.named_parameters() if name.endswith("layer.0.output.dense.weight")]
    assert torch.equal(trainer.network.state_dict()[name], before[name.replace("layer.0", "layer.1")])  # the last one stays
    small = train(config, dataset, tmp_path / "small")
    again = train_module.Trainer(dataclasses.replace(config, start=str(small)), dataset, tmp_path / "again")  # from weights that are cut already
    assert torch.equal(again.network.state_dict()[name], load_file(small / "best.safetensors")[name])
    assert load_network(small, config).encoder.config.num_hidden_layers == 1
    with pytest.raises(ValueError, match="layers is 3, but the encoder has 2 layers"):
        train_module.Trainer(settings(encoder, layers=3), dataset, tmp_path)
    with pytest.raises(ValueError, match="has 1 layers, the configuration keeps all of 2; set layers = 1"):
        train_module.Trainer(settings(encoder, start=str(small)), dataset, tmp_path)


def test_kept_layers_are_evenly_spread() -> None:
    encoder = BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=6, num_attention_heads=1, intermediate_size=8), add_pooling_layer=False)
    layers = list(encoder.encoder.layer)
    cut_layers(encoder, 3)
    assert [layers.index(layer) for layer in encoder.encoder.layer] == [1, 3, 5]


def test_events_that_nothing_taught_are_left_out_of_the_model(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    without = dataclasses.replace(
        dataset,
        items=tuple(dataclasses.replace(item, units=tuple(dataclasses.replace(u, event=None, quad=None) for u in item.units)) for item in dataset.items),
    )
    run = train(settings(encoder, epochs=1), without, tmp_path / "run")
    assert load_network(run, settings(encoder)).head.out_features == EVENT_LOGITS.start


def test_frozen_layers_keep_their_weights(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    before = train_module.load_encoder(str(encoder)).state_dict()
    after = load_file(train(settings(encoder, frozen_layers=1, epochs=1), dataset, tmp_path / "run") / "best.safetensors")
    same = {name: torch.equal(value, after[f"encoder.{name}"]) for name, value in before.items()}
    frozen = {name for name in same if name.startswith(("embeddings.", "encoder.layer.0."))}
    assert {name for name, equal in same.items() if equal} >= frozen
    assert not any(equal for name, equal in same.items() if name not in frozen and name.endswith("weight"))
    train(settings(encoder, frozen_layers=2, epochs=1), dataset, tmp_path / "head")  # the linear layer alone
    with pytest.raises(ValueError, match="frozen_layers is 3, but the encoder has 2 layers"):
        train_module.Trainer(settings(encoder, frozen_layers=3), dataset, tmp_path)


def run_command(encoder: Path, folder: Path, *options: str) -> int:
    rows = write_rows(folder / "mine.csv")
    return train_module.main(
        ["training/configs/tiny.toml", "--data", str(rows), "--only-own", "--run", str(folder / "run"), "--set", f"encoder={encoder}", *options]
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_out_of_memory_ends_with_a_remedy_and_keeps_the_checkpoint(
    encoder: Path, tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = train_module.Trainer.step

    def failing(self: train_module.Trainer, parts: object, factor: float, number: int) -> dict[str, float]:
        if number == 4:
            raise error
        return step(self, parts, factor, number)  # type: ignore[arg-type]

    monkeypatch.setattr(train_module.Trainer, "step", failing)
    assert run_command(encoder, tmp_path, "--set", "epochs=4") == 1
    assert "error: out of memory; halve batch_tokens (now 128) and double accumulate (now 1)" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "state.json").read_text())["done"] == 4  # the checkpoint of the last whole epoch
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()


def test_another_runtime_error_is_not_taken_for_one_of_memory(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(train_module.Trainer, "step", failing)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run_command(encoder, tmp_path)


def test_a_loss_that_is_no_number_leaves_the_weights(encoder: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = train_module.Trainer(settings(encoder), dataset, tmp_path)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    monkeypatch.setattr(train_module, "total_loss", lambda losses, _: losses["direction"] * float("inf"))
    with pytest.raises(FloatingPointError, match=r"no number at step 8; lower learning_rate .* the last checkpoint is kept"):
        trainer.step(trainer.batches(0)[0], 1.0, 7)
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs=0", "epochs must be above 0, got 0"),
        ("learning_rate=nan", "learning_rate must be above 0, got nan"),
        ("clip=inf", "clip must be above 0, got inf"),
        ("patience=-1", "patience must be at least 0, got -1"),
        ("accumulate=0", "accumulate must be above 0"),
        ("warmup=1.5", "warmup must be within 0 and 1"),
        ("sources.own=-1", r"\[sources\]: own must be at least 0"),
        ("losses.scope=-2", r"\[losses\]: scope must be at least 0"),
        ("only_own=1", "only_own must be bool, got 1"),
        ("data=3", "data must be a list of text, got 3"),
        ("labels=3", "labels must be a table of text, got 3"),
        ("source.own=1", "unknown key 'source'; did you mean 'sources'"),
        ("epochs.x=1", "unknown key 'epochs'"),
        ("max_tokens=8", "max_tokens must be at least 16"),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(Config(), [setting])


def test_wrong_options_end_with_a_message(encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, message in (
        (["nowhere.toml"], "nowhere.toml is no file; the configurations that come with the project lie in training/configs"),
        (["training/configs/tiny.toml", "--only-own"], "only_own leaves nothing to train on"),
        (["training/configs/tiny.toml", "--data", "nowhere.csv"], "data 'nowhere.csv' is no file"),
        (["training/configs/tiny.toml", "--column", "x"], "--column takes YOURS=NAME, got 'x'"),
    ):
        assert train_module.main([*options, "--run", str(tmp_path / "run")]) == 1
        assert message in capsys.readouterr().err
    assert run_command(encoder, tmp_path, "--set", "max_tokens=500") == 1
    assert "max_tokens is 500, but encoder" in capsys.readouterr().err
    assert read_pairs(["a=b=text"], "--column") == {"a=b": "text"}


def test_nothing_to_train_on_is_said(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    nothing = dataclasses.replace(dataset, articles=tuple((a, s) for a, s in dataset.articles if s == "dev"))
    with pytest.raises(ValueError, match="the train part is empty"):
        train_module.Trainer(settings(encoder), nothing, tmp_path).batches(0)


def test_a_configuration_survives_toml(tmp_path: Path) -> None:
    config = Config(name='a "b" ü 🙂', data=("x.csv", "y.jsonl"), columns={"my title": "text"}, labels={"1": "escalation"}, learning_rate=1e-5, compile=True)
    (tmp_path / "c.toml").write_text(to_toml(config, {"commit": "x"}), encoding="utf-8")
    assert read_config(tmp_path / "c.toml") == config
    assert check_ranges(config, "here") is config


def test_a_run_from_before_a_key_was_added_goes_on(encoder: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(encoder, epochs=1)
    to_dict = Config.to_dict
    with monkeypatch.context() as patched:
        patched.setattr(Config, "to_dict", lambda self: {k: v for k, v in to_dict(self).items() if k not in ("patience", "data", "start")})
        train(config, dataset, tmp_path / "run")
    assert train_module.restore_checkpoint(tmp_path / "run", *made(config, dataset, tmp_path), config).epoch == 1


def made(config: Config, dataset: Dataset, folder: Path) -> tuple[object, object]:
    trainer = train_module.Trainer(config, dataset, folder)
    return trainer.network, trainer.optimizer


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_network_takes_the_same_steps(calm: Path, tmp_path: Path) -> None:
    script = (
        "import sys, json; sys.path[:0] = ['.', 'tests']\n"
        "from pathlib import Path\nfrom tiny_training import make_dataset, settings\nfrom training.train import Trainer\n"
        "for flag in (False, True):\n"
        "    trainer = Trainer(settings(Path(sys.argv[1]), dropout=0.0, compile=flag), make_dataset(), Path(sys.argv[2]))\n"
        "    print('LOSS', json.dumps([trainer.step(step, 1.0, n)['loss'] for n, step in enumerate(trainer.batches(0)[:3])]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(calm), str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    plain, compiled = (json.loads(line.removeprefix("LOSS")) for line in done.stdout.splitlines() if line.startswith("LOSS"))
    assert compiled == pytest.approx(plain, abs=1e-3)


def test_steps_are_plotted_where_tensorboard_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            written.append((folder, 0.0, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def close(self) -> None:
            written.append(("closed", 0.0, 0))

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with Journal(tmp_path, Progress(), lead=True) as journal:
        journal.add_step(1, 0.5, {"loss": 2.0})
    assert not written
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with Journal(tmp_path, Progress(done=1), lead=True) as journal:
        journal.add_step(2, 1.0, {"loss": 1.0})
        journal.add_epoch(2, {"steer": 0.5})
    assert written == [(str(tmp_path / "tensorboard"), 0.0, 2), ("train/loss", 1.0, 2), ("dev/steer", 0.5, 2), ("closed", 0.0, 0)]
    with Journal(tmp_path / "none", Progress(), lead=False) as journal:  # no folder, and nothing is written
        journal.add_step(1, 0.5, {"loss": 2.0})
        journal.flush()
    assert [json.loads(line)["loss"] for line in (tmp_path / "steps.jsonl").read_text().splitlines()] == [2.0, 1.0]


def test_curves_are_drawn_of_runs_finished_or_not(encoder: Path, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(settings(encoder), dataset, tmp_path / "run")
    found = curves.read_curves(run)
    assert found.epoch[-1] == pytest.approx(2.0)
    assert len(found.history) == 2
    (tmp_path / "going").mkdir()
    lines = (run / "steps.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "going" / "steps.jsonl").write_text("".join(lines[:3]) + '{"step": 4, "lo')
    assert len(curves.read_curves(tmp_path / "going").loss) == 3
    for name in ("curves.svg", "curves.png"):
        assert curves.main([str(run), str(tmp_path / "going"), "--to", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 1000
    first = (tmp_path / "curves.svg").read_bytes()
    curves.main([str(run), str(tmp_path / "going"), "--to", str(tmp_path / "curves.svg")])
    assert (tmp_path / "curves.svg").read_bytes() == first
    assert curves.main([str(tmp_path), "--to", str(tmp_path / "x.svg")]) == 1
    assert curves.main([str(run), "--to", str(tmp_path / "x.txt")]) == 1
    assert "it holds no steps.jsonl" in (errors := capsys.readouterr().err)
    assert "must end in one of .svg" in errors


def test_smoothing_by_hand() -> None:
    assert curves.smooth(np.array([1.0, 3.0, 5.0, 7.0]), 2).tolist() == [1.0, 2.0, 4.0, 6.0]
    assert curves.smooth(np.array([1.0, 3.0]), 1).tolist() == [1.0, 3.0]


def test_the_baseline_learns_and_is_measured_by_the_same_names(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = baseline.measure_baseline(dataset)
    assert figures["corpus_direction_f1"] == pytest.approx(0.75)  # all right; of the four classes, no sentence is mixed
    assert figures["corpus_severity_pearson"] > 0.9
    assert figures["corpus_sentences"] == sum(len(item.units) for item in dataset.of_split("dev"))
    rows = write_rows(tmp_path / "mine.csv", 60)
    assert baseline.main(["--data", str(rows), "--only-own"]) == 0
    assert json.loads(capsys.readouterr().out)["own_direction_f1"] > 0.9
    assert baseline.main(["--data", "nowhere.csv", "--only-own"]) == 1


def test_the_cost_of_a_run_counts_each_step_once(tmp_path: Path) -> None:
    assert describe_cost(measure_cost(tmp_path, {})) == ""
    steps = [(1, 1800.0), (2, 900.0), (2, 1800.0)]  # the second was taken again after the run was killed
    (tmp_path / "steps.jsonl").write_text("".join(json.dumps({"step": step, "seconds": seconds}) + "\n" for step, seconds in steps))
    cost = measure_cost(tmp_path, {"device": "cpu", "cores": 2})
    assert cost is not None
    assert (cost.steps, cost.hours, cost.machine) == (2, 1.0, "2 cores")
    assert cost.kwh == pytest.approx(0.02)
    assert cost.kg == pytest.approx(0.02 * 0.48)
    assert "2 steps in 1.00 hours on 2 cores" in describe_cost(cost)
    on_gpu = measure_cost(tmp_path, {"device": "cuda", "cores": 16, "processes": 2})
    assert on_gpu is not None
    assert (on_gpu.machine, on_gpu.kwh) == ("2 GPUs", pytest.approx(2.0))
