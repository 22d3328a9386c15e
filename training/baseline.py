"""A model to beat: python -m training.baseline --corpora FOLDER

TF-IDF of words, word pairs and runs of characters into logistic regression (directions, scope, PLOVER events) and ridge regression (severity), trained on the
train part and measured on dev, sentence by sentence. Prints JSON under the names of `training.measure`. It marks no phrases, so it has no figures of spans.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.pipeline import FeatureUnion, make_pipeline

from escalation.evaluation.fitting import direction_class
from escalation.evaluation.labelled import QUADS
from escalation.signals import ESCALATION, SIGNALS
from training.config import Config
from training.data import Dataset, Item, Unit
from training.measure import measurable
from training.own import SOURCE, open_dataset

QUAD_OF = [QUADS.index(signal.quad) for signal in SIGNALS]
CONFLICT = [signal.direction == ESCALATION for signal in SIGNALS]
CONFLICT_QUADS = [quad.endswith("conflict") for quad in QUADS]
Label = Callable[[Unit], Any]


@dataclass(frozen=True)
class Row:
    """A labelled sentence and the item that it is of."""

    item: Item
    unit: Unit


def rows_of(items: Sequence[Item]) -> list[Row]:
    """All sentences."""
    return [Row(item, unit) for item in items for unit in item.units]


def direction(unit: Unit) -> int | None:
    """The four-class direction."""
    if unit.escalation is None or unit.de_escalation is None:
        return None
    return direction_class(bool(unit.escalation), bool(unit.de_escalation))


def quad(unit: Unit) -> int | None:
    """The quad class, that of the event where there is one."""
    return QUAD_OF[unit.event] if unit.event is not None else unit.quad


def binary(unit: Unit) -> bool | None:
    """Whether the event is conflict and not cooperation."""
    if unit.event is not None:
        return CONFLICT[unit.event]
    return None if unit.quad is None else CONFLICT_QUADS[unit.quad]


def fit(rows: Sequence[Row], label: Label, model: Any) -> Callable[[Sequence[Row]], NDArray[Any]] | None:
    """Trains a model on the rows that have a label; None where there are not two labels that differ.

    Returns:
        Rows to predictions, `(n_rows,)`.
    """
    known = [(row.unit.text, value) for row in rows if (value := label(row.unit)) is not None]
    if len({value for _, value in known}) < 2:
        return None
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2 if len(known) > 200 else 1, sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2 if len(known) > 200 else 1, sublinear_tf=True)
    pipeline = make_pipeline(FeatureUnion([("words", words), ("characters", characters)]), model)
    pipeline.fit([text for text, _ in known], [value for _, value in known])
    return lambda wanted: np.asarray(pipeline.predict([row.unit.text for row in wanted]))


def classifier() -> LogisticRegression:
    """Logistic regression; rare classes weigh as much as common ones, since the figures are macro means."""
    return LogisticRegression(C=4.0, max_iter=1000, class_weight="balanced")


def measure_direction(train: Sequence[Row], wanted: Sequence[Row]) -> dict[str, float]:
    """Direction and severity, for the project's articles, real sentences and data of one's own; false alarms on what is out of scope."""
    figures: dict[str, float] = {}
    by_direction = fit(train, direction, classifier())
    by_severity = fit(train, lambda unit: None if unit.severity is None else unit.severity / 10, Ridge(alpha=1.0))
    for name in ("corpus", "real", "own"):
        part = [row for row in wanted if part_of(row) == name]
        if by_direction is not None and (graded := [row for row in part if direction(row.unit) is not None]):
            gold, guess = [direction(row.unit) for row in graded], by_direction(graded)
            labels = None if name == "own" else [0, 1, 2, 3]
            figures[f"{name}_sentences"] = len(graded)
            figures[f"{name}_direction_f1"] = float(f1_score(gold, guess, labels=labels, average="macro", zero_division=0.0))
        if by_severity is not None and (graded := [row for row in part if row.unit.severity is not None]):
            severity, scores = np.array([(row.unit.severity or 0) / 10 for row in graded]), by_severity(graded).clip(-1, 1)
            figures[f"{name}_severity_pearson"] = float(np.corrcoef(severity, scores)[0, 1]) if severity.std() and scores.std() else 0.0
            figures[f"{name}_severity_error"] = float(np.abs(severity - scores).mean())
    if by_direction is not None and (outside := [row for row in wanted if row.item.source == "ag"]):
        figures["outside_alarm"] = float((by_direction(outside) != 0).mean())
    return figures


def part_of(row: Row) -> str:
    """The part of the figures that a sentence belongs to, as in `training.measure`: real sentences only where their phrases are labelled."""
    if row.item.source in ("corpus", SOURCE):
        return row.item.source
    return "real" if row.unit.spans is not None else ""


def measure_scope(train: Sequence[Row], wanted: Sequence[Row]) -> dict[str, float]:
    """How much of what is in and out of scope is called in scope."""
    figures: dict[str, float] = {}
    by_scope = fit(train, lambda unit: unit.in_scope, classifier())
    if by_scope is not None:
        parts = {
            "outside_in_scope": [row for row in wanted if row.item.source == "ag"],
            "inside_in_scope": [row for row in wanted if row.unit.in_scope and row.unit.spans is not None],
        }
        figures = {name: float(by_scope(part).mean()) for name, part in parts.items() if part}
    return figures


def measure_events(train: Sequence[Row], wanted: Sequence[Row]) -> dict[str, float]:
    """Macro-F1 of PLOVER root, quad class and conflict against cooperation, each by a model of its own."""
    figures: dict[str, float] = {}
    coded = [row for row in wanted if row.unit.event is not None and row.item.source == "plv"]
    labels: dict[str, Label] = {"event_root_f1": lambda unit: unit.event, "event_quad_f1": quad, "event_binary_f1": binary}
    for name, label in labels.items():
        predict = fit(train, label, classifier()) if coded else None
        if predict is not None:
            figures[name] = float(f1_score([label(row.unit) for row in coded], predict(coded), average="macro"))
    return figures


def measure_baseline(dataset: Dataset, split: str = "dev") -> dict[str, float]:
    """Trains on the train part and measures on `split`."""
    train, wanted = rows_of(dataset.of_split("train")), rows_of(measurable(dataset.of_split(split)))
    return measure_direction(train, wanted) | measure_scope(train, wanted) | measure_events(train, wanted)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.baseline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, help="folder with the public corpora; without it the project's own articles alone")
    parser.add_argument("--data", nargs="+", default=[], metavar="FILE", help="labelled text of your own")
    parser.add_argument("--only-own", action="store_true", help="--data alone")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    args = parser.parse_args(argv)
    try:
        config = Config(data=tuple(args.data), only_own=args.only_own)
        figures = measure_baseline(open_dataset(config, args.corpora), args.split)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
