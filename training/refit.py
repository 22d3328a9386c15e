"""Fits a finished model's calibration anew, without training: python -m training.refit models/newswire-en --corpora FOLDER --version 0.7.2

The weights stay as they are. Maps, thresholds, intervals and the slopes of the events follow the dev part, which grows with the corpus, and what the code has
learnt to fit since; dev and test are measured again for `metrics.json` and the card. `escalation recalibrate` does the like with labels of your own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

from escalation.model import MODEL_FILE, Model, reseal
from training.calibrate import fit_calibration
from training.card import CARD, write_card
from training.config import read_config
from training.data import Dataset, load_dataset
from training.dev import measure_dev
from training.measure import measurable, measure_articles, read_raw

COST = re.compile(r"^## Time and carbon\n.*?(?=^## )", re.MULTILINE | re.DOTALL)  # of the training, which the card alone keeps


def refit(folder: Path, dataset: Dataset, version: str) -> dict[str, Any]:
    """Fits a model folder's calibration to dev, measures dev and test with it and writes all three, the version and the card.

    Args:
        folder: a model folder as `training.export` writes it.
        dataset: the project's, with the public corpora that the model was trained on.
        version: of the model with the new calibration.

    Returns:
        What metrics.json holds.

    Raises:
        ValueError: the folder is damaged, or dev has too few labels of one kind.
        FileNotFoundError: the folder lacks what the export writes beside the model.
    """
    model = Model(folder)  # checks the folder
    card, metrics = folder / CARD, folder / "metrics.json"
    figures: dict[str, Any] = json.loads(metrics.read_text(encoding="utf-8"))
    config = dataclasses.replace(read_config(folder / "train.toml"), version=version)
    cost = "".join(COST.findall(card.read_text(encoding="utf-8")))
    dev, test = (measurable(dataset.of_split(name)) for name in ("dev", "test"))
    raw_dev, raw_test = read_raw(model, dev), read_raw(model, test)
    calibration = fit_calibration(dev, raw_dev, model.config.calibration)
    for split, items, raw in (("dev", dev, raw_dev), ("test", test, raw_test)):
        figures[split] = measure_dev(items, raw, calibration) | measure_articles(items, raw, calibration)
    metrics.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    card.write_text(write_card(config, figures, (folder / MODEL_FILE).stat().st_size, cost), encoding="utf-8")
    reseal(folder, {"version": version, "calibration": calibration.to_dict()})
    return figures


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.refit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder, whose calibration is replaced")
    parser.add_argument("--corpora", type=Path, required=True, help="folder with the public corpora")
    parser.add_argument("--version", required=True, help="of the model with this calibration")
    args = parser.parse_args(argv)
    try:
        figures = refit(args.model, load_dataset(args.corpora), args.version)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({split: figures[split] for split in ("dev", "test")}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
