"""A part of the labelled text as one file for `escalation evaluate`: the project's articles with names filled in, and public text with its labels.

The file holds public text, so it is made where it is needed and never committed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from escalation.evaluation.labelled import QUADS
from escalation.signals import SIGNAL_NAMES, STATUSES
from training.data import Dataset, Item, Unit
from training.measure import measurable


def unit_labels(unit: Unit) -> dict[str, Any]:
    """What is known of a sentence."""
    known = {"escalation": unit.escalation, "de_escalation": unit.de_escalation, "severity": unit.severity, "in_scope": unit.in_scope}
    labels: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
    if unit.spans is not None:
        labels["phrases"] = [{"start": s.start, "end": s.end, "signal": SIGNAL_NAMES[s.signal], "status": STATUSES[s.status]} for s in unit.spans]
    return labels


def item_record(item: Item, facts: dict[str, Any]) -> dict[str, Any]:
    """The record of an item: its sentences with their labels, and the labels of the text as a whole."""
    record: dict[str, Any] = {"id": f"{item.source}/{item.id}", "source": item.source, **facts}
    record["sentences"] = [{"text": unit.text, **unit_labels(unit)} for unit in item.units]
    if item.label is not None:
        record |= {"label": item.label, "severity": item.severity, "in_scope": item.in_scope}
    elif item.in_scope is not None:
        record["in_scope"] = item.in_scope
    first = item.units[0]
    if len(item.units) == 1 and first.event is not None:
        record["signal"] = SIGNAL_NAMES[first.event]
    elif len(item.units) == 1 and first.quad is not None:
        record["quad"] = QUADS[first.quad]
    return record


def records(dataset: Dataset, split: str) -> Iterator[dict[str, Any]]:
    """The records of a split, all but the noisy NGEC titles, whose labels only train."""
    facts = {article.id: {"topic": article.topic, "voice": article.voice, "year": article.year, "region": article.region} for article, _ in dataset.articles}
    for item in measurable(dataset.of_split(split)):
        yield item_record(item, facts.get(item.id, {}) if item.source == "corpus" else {})


def write_split(dataset: Dataset, split: str, path: Path) -> int:
    """Writes a split as JSON Lines; returns the number of records."""
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records(dataset, split)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return len(lines)
