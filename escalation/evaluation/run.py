"""Labelled texts and a model to a report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from escalation.evaluation.baselines import BASELINE, load_baseline
from escalation.evaluation.behaviour import read_cases
from escalation.evaluation.faithfulness import KEYS, TITLES, Faithfulness, measure_faithfulness
from escalation.evaluation.files import read_labelled
from escalation.evaluation.labelled import LabelledText
from escalation.evaluation.metrics import BY_KEY, METRICS, Metric, evented, labelled, reliability, risk_coverage, sure
from escalation.evaluation.mistakes import find_mistakes
from escalation.evaluation.predict import ModelPredictor, Predictor, TextPrediction, predict_all
from escalation.evaluation.report import Capability, ClassFigures, Comparison, Difference, Failure, Figure, Level, Report, Slice
from escalation.evaluation.rows import Rows, make_levels
from escalation.evaluation.slices import find_slices, name_rows
from escalation.evaluation.suite import run_suite, summarize
from escalation.evaluation.uncertainty import DRAWS, compare, draw_texts, estimate, interval, measured_rows
from escalation.scorer import DEFAULT_MODEL, Scorer, load
from escalation.signals import DIRECTIONS, LABELS, SIGNAL_NAMES

SLICE_DRAWS = 200  # a slice's interval needs no third digit
POINTS = 100  # of the risk–coverage curve
LACKING = {
    "direction": "label (or escalation and de_escalation)", "severity": "severity", "scope": "in_scope", "events": "signal, plover or quad",
    "phrases": "phrases", "calibration": "label or severity",
}  # fmt: skip
Draws = Sequence[NDArray[np.int64]]


def open_predictor(model: str | os.PathLike[str] | Scorer | Predictor, **options: object) -> Predictor:
    """A predictor of a model's name or folder, of a scorer, or of a baseline's name such as `"baseline:majority"`; a predictor comes back as it is."""
    if isinstance(model, Scorer):
        return ModelPredictor(model)
    if isinstance(model, str) and model.startswith(BASELINE):
        return load_baseline(model, **options)  # type: ignore[arg-type]
    if isinstance(model, (str, os.PathLike)):
        return ModelPredictor(load(model))
    return model


def class_figures(gold: NDArray[np.int64], found: NDArray[np.int64], names: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Precision, recall and F1 of each class that occurs in `gold`."""
    classes = np.unique(gold)
    columns = precision_recall_fscore_support(gold, found, labels=classes, zero_division=0.0)
    return tuple(ClassFigures(names[c], float(p), float(r), float(f), int(n)) for c, p, r, f, n in zip(classes, *columns, strict=True))


def make_level(name: str, rows: Rows) -> Level:
    """The tables of a level."""
    known, coded, certain = (rows.take(needs(rows)) for needs in (labelled, evented, sure))
    bins = {}
    for column, direction in enumerate(DIRECTIONS):
        part = ~np.isnan(rows.gold_direction[:, column]) & ~np.isnan(rows.probability[:, column])
        if part.any():
            bins[direction] = reliability(rows.probability[part, column], rows.gold_direction[part, column])
    curve: tuple[tuple[float, float], ...] = ()
    if len(certain):
        answered, risk = risk_coverage(certain)
        chosen = np.unique(np.linspace(0, len(certain) - 1, min(POINTS, len(certain))).astype(int))
        curve = tuple((float(answered[i]), float(risk[i])) for i in chosen)
    return Level(
        name,
        tuple(tuple(int(n) for n in row) for row in confusion_matrix(known.gold, known.label, labels=range(len(LABELS)))) if len(known) else (),
        class_figures(known.gold, known.label, LABELS) if len(known) else (),
        class_figures(coded.gold_event, coded.event, SIGNAL_NAMES) if len(coded) else (),
        bins,
        curve,
    )


def make_figure(metric: Metric, level: str, rows: Rows, draws: Draws, n_texts: int) -> Figure:
    """A figure with its interval; `rows` are those that it needs."""
    found = estimate(rows, metric, draws, n_texts)
    return Figure(metric.key, metric.title, metric.group, level, found.value, found.low, found.high, found.count, metric.better)


def make_figures(levels: Mapping[str, Rows], draws: Draws, n_texts: int, *, show_progress_bar: bool) -> tuple[Figure, ...]:
    """Every figure that the labels allow."""
    from tqdm import tqdm

    work = [(BY_KEY[key], level, rows) for level, whole in levels.items() for key, rows in measured_rows(whole).items()]
    bar = tqdm(work, desc="intervals", unit="figure", disable=not show_progress_bar)
    with config_context(assume_finite=True, skip_parameter_validation=True):  # the same checks a thousand times over take longer than the metrics
        return tuple(make_figure(metric, level, rows, draws, n_texts) for metric, level, rows in bar)


def missing_figures(levels: Mapping[str, Rows], figures: Sequence[Figure]) -> tuple[str, ...]:
    """Which groups of figures are missing, and the label that they lack."""
    found = []
    for level in levels or ("texts",):
        measured = {figure.key for figure in figures if figure.level == level}
        for group, needed in LACKING.items():
            absent = [metric for metric in METRICS if metric.group == group and metric.key not in measured]
            if absent and len(absent) == sum(metric.group == group for metric in METRICS):
                found.append(f"{group} of {level}: no record has {needed}, or the model says nothing of it")
    return tuple(found)


def faithfulness_figures(found: Faithfulness, level: str, draws: Draws, n_texts: int) -> list[Figure]:
    """Means with intervals, and how many times the highlighted words weigh what random ones do."""
    of_text: dict[int, list[int]] = {}
    for row, text in enumerate(found.group):
        of_text.setdefault(int(text), []).append(row)
    picks = [[row for text in drawn for row in of_text.get(int(text), ())] for drawn in draws]
    means = [found.values[pick].mean(axis=0) for pick in picks if pick]
    figures = []
    for column, key in enumerate(KEYS):
        low, high = interval([float(mean[column]) for mean in means])
        better = 0 if key.endswith("random") else -1 if key == "sufficiency" else 1
        figures.append(Figure(key, TITLES[key], "faithfulness", level, float(found.values[:, column].mean()), low, high, len(found.group), better))
    drop, random_drop = KEYS.index("score_drop"), KEYS.index("score_drop_random")
    whole = found.values.mean(axis=0)
    low, high = interval([float(m[drop] / m[random_drop]) for m in means if m[random_drop] > 0])
    times = float(whole[drop] / whole[random_drop]) if whole[random_drop] > 0 else float("inf")
    figures.append(Figure("faithfulness_ratio", "Fall of |score|: times that of random words", "faithfulness", level, times, low, high, len(found.group)))
    return figures


def make_slices(texts: Sequence[LabelledText], levels: Mapping[str, Rows], *, seed: int) -> tuple[Slice, ...]:
    """Direction, phrases and severity of each slice."""
    draws = draw_texts(len(texts), SLICE_DRAWS, seed)
    found = []
    for level, rows in levels.items():
        for field, value, index in find_slices(name_rows(texts, level)):
            part = measured_rows(rows.take(index), [BY_KEY[key] for key in ("direction_f1", "span_f1", "severity_error")])
            made = [
                make_figure(BY_KEY[key], level, part[key], draws, len(texts)) if key in part else None for key in ("direction_f1", "span_f1", "severity_error")
            ]
            found.append(Slice(field, value, level, len(index), *made))
    return tuple(found)


def compare_with(other: Predictor, levels: Mapping[str, Rows], texts: Sequence[LabelledText], draws: Draws, *, show_progress_bar: bool) -> Comparison:
    """Paired differences to another model."""
    theirs = make_levels(texts, predict_all(other, texts, show_progress_bar=show_progress_bar))
    differences = []
    for level, rows in levels.items():
        for key, found in compare(rows, theirs[level], draws, len(texts)).items():
            metric = BY_KEY[key]
            common = metric.needs(rows) & metric.needs(theirs[level])
            ours_value, theirs_value = metric.compute(rows.take(common)), metric.compute(theirs[level].take(common))
            differences.append(Difference(key, metric.title, level, ours_value, theirs_value, found.value, found.low, found.high))
    return Comparison(other.name, tuple(differences))


def evaluate(
    data: str | os.PathLike[str] | Sequence[LabelledText],
    model: str | os.PathLike[str] | Scorer | Predictor = DEFAULT_MODEL,
    *,
    against: Sequence[str | os.PathLike[str] | Scorer | Predictor] = (),
    column_mapping: Mapping[str, str] | None = None,
    label_mapping: Mapping[str, str] | None = None,
    out_of_scope: tuple[str, tuple[str, ...]] | None = None,
    train: str | os.PathLike[str] | None = None,
    patterns: str | os.PathLike[str] | None = None,
    behaviour: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
    show_progress_bar: bool = False,
) -> Report:
    """Measures a model on labelled texts.

    Args:
        data: a `.jsonl`, `.csv`, `.tsv` or `.parquet` file (see `escalation.evaluation.labelled`), or texts read by `read_labelled`.
        model: a shipped model's name, a model folder, a `Scorer`, or a baseline (`"baseline:majority"`, `"baseline:vader"`, `"baseline:petrarch"`,
            `"baseline:tfidf"`).
        against: other models; for each the paired differences are given.
        column_mapping: the file's columns to the names that they stand for.
        label_mapping: the file's values of `label` to the codebook's.
        out_of_scope: a column and its values that mean out of scope.
        train: labelled file that the TF-IDF baseline learns from, and whose most frequent label the majority baseline gives.
        patterns: PETRARCH's verb patterns, for its baseline.
        behaviour: whether to run the behaviour suite too (models of escalation only).
        draws: of the bootstrap; at least 1.
        seed: of the bootstrap and of the random words that faithfulness compares with.
        show_progress_bar: on standard error.

    Returns:
        The report; what the labels do not allow is named in `missing`.

    Raises:
        ValueError: faulty data; nothing is measured on part of it.
        FileNotFoundError: no such file or model.
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise ValueError(f"draws must be a whole number of at least 1, got {draws!r}")
    if isinstance(data, (str, os.PathLike)):
        name = Path(data).name
        texts: Sequence[LabelledText] = read_labelled(Path(data), column_mapping=column_mapping, label_mapping=label_mapping, out_of_scope=out_of_scope)
    else:
        name, texts = "the texts given", data
    if not texts:
        raise ValueError("there are no texts to evaluate")
    options = {"train": train, "patterns": patterns, "texts": texts}
    predictor = open_predictor(model, **options)
    others = [open_predictor(other, **options) for other in against]
    predictions = predict_all(predictor, texts, show_progress_bar=show_progress_bar)
    levels = make_levels(texts, predictions)
    drawn = draw_texts(len(texts), draws, seed)
    figures = list(make_figures(levels, drawn, len(texts), show_progress_bar=show_progress_bar))
    extra, gap = trust(predictor, predictions, drawn, seed=seed, show_progress_bar=show_progress_bar)
    comparisons = tuple(compare_with(other, levels, texts, drawn, show_progress_bar=show_progress_bar) for other in others)
    capabilities, failures = try_behaviour(predictor, show_progress_bar=show_progress_bar) if behaviour else ((), ())
    return Report(
        predictor.name, name, len(texts), sum(len(text.sentences) for text in texts), draws, (*figures, *extra),
        tuple(make_level(level, rows) for level, rows in levels.items()), make_slices(texts, levels, seed=seed), find_mistakes(texts, predictions),
        capabilities, failures, comparisons, missing_figures(levels, figures), gap,
    )  # fmt: skip


def trust(
    predictor: Predictor, predictions: Sequence[TextPrediction], draws: Draws, *, seed: int, show_progress_bar: bool
) -> tuple[list[Figure], float | None]:
    """Faithfulness of a model with highlights, and the largest gap between a score and its highlights' sum; nothing for others."""
    results = [prediction.result for prediction in predictions]
    known = [result for result in results if result is not None]
    if not isinstance(predictor, ModelPredictor) or len(known) != len(results):
        return [], None
    # Without the screen: that a text without its highlights is passed over says nothing of the highlights.
    found = measure_faithfulness(predictor.scorer.without_screen(), known, seed=seed, show_progress_bar=show_progress_bar)
    return (faithfulness_figures(found, "texts", draws, len(results)) if len(found.group) else []), found.largest_gap


def try_behaviour(predictor: Predictor, *, show_progress_bar: bool) -> tuple[tuple[Capability, ...], tuple[Failure, ...]]:
    """The behaviour suite on a model of escalation; nothing for others, which have neither status nor scope."""
    if not isinstance(predictor, ModelPredictor):
        return (), ()
    return summarize(run_suite(predictor.scorer, read_cases(), show_progress_bar=show_progress_bar))
