"""Weights of several models, mixed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_training import make_dataset, settings, train

from training import soup
from training.checkpoint import BEST


@pytest.fixture(scope="module")
def runs(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tuple(train(settings(encoder, epochs=1, seed=seed), make_dataset(), tmp_path_factory.mktemp(f"run{seed}")) for seed in (1, 2))  # type: ignore[return-value]


def test_the_mixture_is_the_weighted_mean_and_can_be_gone_on_from(encoder: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = runs
    path = tmp_path / "mixed.safetensors"
    assert soup.main([f"{first}=3", f"{second}=1", "--to", str(path)]) == 0
    one, two, mixed = load_file(first / BEST), load_file(second / BEST), load_file(path)
    assert any(not torch.equal(one[name], two[name]) for name in one)
    for name, weights in mixed.items():
        torch.testing.assert_close(weights, 0.75 * one[name] + 0.25 * two[name])
    assert (train(settings(encoder, epochs=1, start=str(path)), make_dataset(), tmp_path / "on") / BEST).is_file()


def test_a_shipped_models_weights_come_out_as_they_went_in(tmp_path: Path) -> None:
    path = tmp_path / "same.safetensors"
    assert soup.main(["newswire-en", "--to", str(path)]) == 0
    for name, weights in soup.read_weights("newswire-en").items():
        torch.testing.assert_close(load_file(path)[name], weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["newswire-en=0"], "above 0"), (["newswire-en", "newswire-en"], "twice"), (["no-such-model"], "no-such-model"), (["newswire-en", "small"], "another architecture")],
)
def test_what_can_not_be_mixed_is_refused(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_file({"head.weight": torch.ones(41, 2), "head.bias": torch.ones(41)}, tmp_path / "small.safetensors")
    arguments = ["small.safetensors" if name == "small" else name for name in arguments]
    assert soup.main([*arguments, "--to", "out.safetensors"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()
