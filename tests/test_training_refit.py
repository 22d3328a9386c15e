"""A finished model's calibration fitted anew: what changes, and what stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_training import make_dataset, settings, train

from escalation import load
from escalation.calibration import Calibration
from training import export as export_module
from training import refit as refit_module
from training.data import Dataset


@pytest.fixture(scope="module")
def exported(encoder: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained on the articles."""
    folder = tmp_path_factory.mktemp("refit")
    export_module.export(train(settings(encoder), dataset, folder / "run"), dataset, folder / "model", precision="fp32")
    card = folder / "model" / "README.md"
    card.write_text(card.read_text().replace("## Known limits", "## Time and carbon\n\nTwo hours.\n\n## Known limits"))
    return folder / "model"


def test_all_but_the_calibration_and_what_is_measured_with_it_stays(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reseal, capsys: pytest.CaptureFixture[str]
) -> None:
    was = load(exported).calibration
    folder = shutil.copytree(exported, tmp_path / "model")
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(metrics | {"dev": {}, "test": {}}))
    reseal(folder, calibration=Calibration(event_map=(0.4, 0.6)).to_dict())
    monkeypatch.setattr(refit_module, "load_dataset", lambda corpora: make_dataset())
    assert refit_module.main([str(folder), "--corpora", "corpora", "--version", "9.9"]) == 0
    scorer = load(folder)
    assert scorer.name == "tiny 9.9"
    assert scorer.calibration.to_dict() == {**was.to_dict(), "event_map": [0.4, 0.6]}  # no event is coded: those slopes stay, the rest is found again
    again = json.loads((folder / "metrics.json").read_text())
    assert again.keys() == metrics.keys()
    assert again["dev"] == pytest.approx(metrics["dev"])
    assert json.loads(capsys.readouterr().out)["test"] == pytest.approx(metrics["test"])
    card = (folder / "README.md").read_text()
    assert card.startswith("# tiny 9.9\n")
    assert "## Time and carbon\n\nTwo hours.\n\n## Known limits" in card
    for name in ("model.onnx", "tokenizer.json", "train.toml"):
        assert (folder / name).read_bytes() == (exported / name).read_bytes()


def test_the_calibration_follows_dev(exported: Path, tmp_path: Path) -> None:
    """On a dev part without its mixed articles the thresholds and maps are others."""
    folder = shutil.copytree(exported, tmp_path / "model")
    dataset = make_dataset()
    kept = tuple((article, split) for article, split in dataset.articles if split != "dev" or article.label != "mixed")
    refit_module.refit(folder, Dataset((), kept), "2")
    assert load(folder).calibration != load(exported).calibration


def test_a_damaged_folder_is_refused_and_left_alone(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(exported, tmp_path / "model")
    (folder / "tokenizer.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(refit_module, "load_dataset", lambda corpora: make_dataset())
    assert refit_module.main([str(folder), "--corpora", "corpora", "--version", "9.9"]) == 1
    assert "tokenizer.json" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
