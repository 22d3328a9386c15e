"""Fits a model's calibration and thresholds to a user's own labels, without retraining, and writes a new model folder.

Each probability gets a new Platt map on top of the model's own, p' = σ(a + b·logit p), two parameters that fold into the model's coefficients; thresholds
are chosen anew by macro-F1, intervals by split conformal prediction, the events' slopes by maximum likelihood. What too few labels speak for is kept as it
was, and named.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escalation.calibration import Array, Calibration, logit
from escalation.evaluation.files import read_labelled
from escalation.evaluation.fitting import allowed_events, best_thresholds, conformal_width, fit_event_map, fit_logistic
from escalation.evaluation.labelled import QUADS, LabelledText, Labels
from escalation.evidence import ArticleFigures, Phrase, SentenceFigures, TokenFigures, event_inputs, find_phrases, read_logits, score_article, score_sentences
from escalation.language import detect_language
from escalation.model import check_integrity, find_model, reseal
from escalation.reading import Reading
from escalation.scorer import DEFAULT_MODEL, load
from escalation.signals import EVENTS, SIGNAL_INDEX
from escalation.text import split_sentences

NEEDED = 20  # labels of each kind that a map's two parameters need
NEEDED_SEVERITIES = 50  # for an interval: with fewer, one label more or less moves the 90 % quantile by much
BATCH = 32
LEFT_OUT = ("metrics.json",)  # figures of the model as it was calibrated before


@dataclass(frozen=True)
class Recalibration:
    """What was done.

    Attributes:
        folder: the new model.
        fitted: what was fitted, with the number of labels.
        kept: what was kept as it was, and how many labels it would need.
    """

    folder: Path
    fitted: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class ReadText:
    """A text as the network reads it."""

    text: LabelledText
    tokens: TokenFigures
    bounds: NDArray[np.int64]
    phrases: tuple[Phrase, ...]

    def sentences(self, calibration: Calibration) -> SentenceFigures:
        """Its sentences under a calibration."""
        return score_sentences(self.tokens, self.bounds, self.phrases, calibration)

    def article(self, calibration: Calibration) -> ArticleFigures:
        """The text as a whole under a calibration."""
        return score_article(self.sentences(calibration), calibration)


def interpret(text: LabelledText, reading: Reading, calibration: Calibration) -> ReadText:
    """Network output to evidence and phrases; phrases don't depend on what is fitted here."""
    tokens = read_logits(reading.logits)
    found = find_phrases(tokens, reading.words, reading.is_word, reading.bounds, calibration)
    return ReadText(text, tokens, reading.bounds, tuple(phrase for of_sentence in found for phrase in of_sentence))


def read_all(texts: Sequence[LabelledText], folder: Path) -> tuple[list[ReadText], Calibration]:
    """Reads the English texts with the model of a folder; the others can't be scored and don't count."""
    scorer = load(folder)
    calibration = scorer.calibration
    pairs = [(text, [(s.start, s.end) for s in text.sentences] or split_sentences(text.text)) for text in texts if detect_language(text.text) == "en"]
    found = []
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        for (text, _), reading in zip(part, scorer.read([(text.text, spans) for text, spans in part]), strict=True):
            found.append(interpret(text, reading, calibration))
    return found, calibration


class Fit:
    """A calibration in the making, and the account of it."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self.fitted: list[str] = []
        self.kept: list[str] = []

    def put(self, field: str, value: Any) -> None:
        """Replaces one value."""
        self.calibration = dataclasses.replace(self.calibration, **{field: value})

    def fit_map(self, field: str, title: str, cases: Sequence[tuple[float, int | None]]) -> None:
        """Puts a Platt map on top of a map; `cases` are (present probability, label)."""
        known = [(p, y) for p, y in cases if y is not None]
        counts = [sum(y == kind for _, y in known) for kind in (0, 1)]
        if min(counts) < NEEDED:
            if known:
                self.kept.append(f"{title}: {counts[1]} labels yes and {counts[0]} no; {NEEDED} of each are needed")
            return
        slope_of = fit_logistic(logit(np.array([[p] for p, _ in known])), np.array([y for _, y in known]))
        first, *slopes = getattr(self.calibration, field)
        value = (slope_of[0] + slope_of[1] * first, *(slope_of[1] * slope for slope in slopes))
        self.put(field, value)
        self.fitted.append(f"{title}: {len(known)} labels")

    def fit_thresholds(self, field: str, title: str, cases: Sequence[tuple[Array, Labels]]) -> None:
        """Chooses the thresholds of both directions."""
        known = [(p, x) for p, x in cases if x.label is not None and x.in_scope is not False]
        counts = {half: sum(getattr(x, half) for _, x in known) for half in ("escalation", "de_escalation")}
        if not known:
            return
        if min(counts.values()) < NEEDED:
            self.kept.append(f"{title}: {', '.join(f'{n} labels {half}' for half, n in counts.items())}; {NEEDED} of each are needed")
            return
        gold = np.array([[x.escalation, x.de_escalation] for _, x in known])
        self.put(field, best_thresholds(np.stack([p for p, _ in known]), gold))
        self.fitted.append(f"{title}: {len(known)} labels")

    def fit_interval(self, field: str, title: str, cases: Sequence[tuple[float, float | None]]) -> None:
        """Chooses the half width of the 90 % interval; `cases` are (score, severity)."""
        errors = np.array([abs(score - severity / 10) for score, severity in cases if severity is not None])
        if 0 < len(errors) < NEEDED_SEVERITIES:
            self.kept.append(f"{title}: {len(errors)} severities; {NEEDED_SEVERITIES} are needed")
        elif len(errors):
            self.put(field, conformal_width(errors))
            self.fitted.append(f"{title}: {len(errors)} severities")


def fit_sentences(fit: Fit, texts: Sequence[ReadText]) -> None:
    """Maps, thresholds and interval of the sentences, where sentences are labelled."""
    labels = [s.labels for read in texts for s in read.text.sentences]
    if not labels:
        return

    def figures(choose: Callable[[SentenceFigures], Array]) -> Array:
        return np.concatenate([choose(read.sentences(fit.calibration)) for read in texts if read.text.sentences])

    direction, scope = figures(lambda f: f.direction), figures(lambda f: f.scope)
    for column, half in enumerate(("escalation", "de_escalation")):
        cases = [(float(p), getattr(x, half)) for p, x in zip(direction[:, column], labels, strict=True)]
        fit.fit_map(f"sentence_{half}", f"probability of {half} of a sentence", cases)
    fit.fit_map(
        "sentence_scope", "scope of a sentence", [(float(p), None if x.in_scope is None else int(x.in_scope)) for p, x in zip(scope, labels, strict=True)]
    )
    fit.fit_thresholds("sentence_thresholds", "label of a sentence", list(zip(figures(lambda f: f.direction), labels, strict=True)))
    scores = figures(lambda f: f.score)
    fit.fit_interval("sentence_interval", "interval of a sentence", [(float(s), x.severity) for s, x in zip(scores, labels, strict=True)])


def fit_texts(fit: Fit, texts: Sequence[ReadText]) -> None:
    """Maps, thresholds and interval of texts as a whole."""
    labels = [read.text.labels for read in texts]
    found = [read.article(fit.calibration) for read in texts]
    for column, half in enumerate(("escalation", "de_escalation")):
        cases = [(float(a.direction[column]), getattr(x, half)) for a, x in zip(found, labels, strict=True)]
        fit.fit_map(f"article_{half}", f"probability of {half} of a text", cases)
    fit.fit_map("article_scope", "scope of a text", [(a.scope, None if x.in_scope is None else int(x.in_scope)) for a, x in zip(found, labels, strict=True)])
    found = [read.article(fit.calibration) for read in texts]
    fit.fit_thresholds("article_thresholds", "label of a text", [(a.direction, x) for a, x in zip(found, labels, strict=True)])
    fit.fit_interval("article_interval", "interval of a text", [(a.score, x.severity) for a, x in zip(found, labels, strict=True)])


def is_coded(labels: Labels) -> bool:
    """Whether an event of PLOVER is known, or its quad class; `restrain` is none."""
    return labels.signal in EVENTS or (labels.signal is None and labels.quad is not None)


def fit_events(fit: Fit, texts: Sequence[ReadText]) -> None:
    """The slopes of the events, by the sentences that are event-coded: texts of one sentence by the text's label."""
    cases = []
    for read in texts:
        labels = [s.labels for s in read.text.sentences] or ([read.text.labels] if len(read.bounds) == 2 else [])
        if any(is_coded(x) for x in labels):
            by_event, by_signal = event_inputs(read.tokens, read.bounds, read.sentences(fit.calibration).signal)
            cases += [(by_event[i], by_signal[i], x) for i, x in enumerate(labels) if is_coded(x)]
    if not cases or not len(cases[0][0]):
        return
    if len(cases) < NEEDED:
        fit.kept.append(f"events: {len(cases)} coded sentences; {NEEDED} are needed")
        return
    allowed = np.stack([allowed_events(SIGNAL_INDEX[x.signal] if x.signal else None, QUADS.index(x.quad) if x.quad else None) for _, _, x in cases])
    fit.put("event_map", fit_event_map(np.stack([case[0] for case in cases]), np.stack([case[1] for case in cases]), allowed))
    fit.fitted.append(f"events: {len(cases)} coded sentences")


def write_folder(source: Path, target: Path, calibration: Calibration, provenance: dict[str, object]) -> None:
    """Writes the new model folder; a fault leaves nothing half-written."""
    config = check_integrity(source)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name) / "model"
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        (folder / "recalibration.json").write_text(json.dumps(provenance, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        changes = {"name": target.name, "version": f"{config['version']}+recalibrated", "calibration": calibration.to_dict()}
        reseal(folder, changes, added=("recalibration.json",), left_out=LEFT_OUT)
        os.replace(folder, target)


def recalibrate(
    data: str | os.PathLike[str] | Sequence[LabelledText],
    output: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    column_mapping: Mapping[str, str] | None = None,
    label_mapping: Mapping[str, str] | None = None,
    out_of_scope: tuple[str, tuple[str, ...]] | None = None,
) -> Recalibration:
    """Fits a model's calibration to own labels and writes it as a new model folder.

    Args:
        data: labelled file (see `escalation.evaluation.labelled`) or texts. Texts and sentences are fitted each by their own labels.
        output: the folder to write; must not exist.
        model: a shipped model's name or a model folder.
        column_mapping: see `escalation.evaluation.evaluate`.
        label_mapping: see there.
        out_of_scope: see there.

    Raises:
        ValueError: faulty data, or too few labels for anything; the message says how many are needed.
        FileExistsError: `output` exists.
    """
    target = Path(output)
    if target.exists():
        raise FileExistsError(f"{target} exists already; choose another folder or delete it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent} is no folder; make it first")
    name = str(data) if isinstance(data, (str, os.PathLike)) else "texts given in Python"
    if isinstance(data, (str, os.PathLike)):
        data = read_labelled(Path(data), column_mapping=column_mapping, label_mapping=label_mapping, out_of_scope=out_of_scope)
    source = find_model(model)
    texts, calibration = read_all(data, source)
    fit = Fit(calibration)
    fit_sentences(fit, texts)
    fit_texts(fit, texts)
    fit_events(fit, texts)
    if not fit.fitted:
        account = "; ".join(fit.kept) or f"no labels of direction, scope, severity or event in {len(texts)} English texts"
        raise ValueError(f"too few labels to fit anything: {account}")
    provenance = {"data": Path(name).name, "texts": len(texts), "model": calibration_source(source), "fitted": fit.fitted, "kept": fit.kept}
    write_folder(source, target, fit.calibration, provenance)
    load(target)  # must load before anyone relies on it
    return Recalibration(target, tuple(fit.fitted), tuple(fit.kept))


def calibration_source(folder: Path) -> str:
    """Name and version of the model that was recalibrated."""
    config = check_integrity(folder)
    return f"{config['name']} {config['version']}"
