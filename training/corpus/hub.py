"""The project's articles as a Hugging Face `datasets` dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.corpus.fill import fill
from training.corpus.schema import ARTICLES, read_articles
from training.splits import split

if TYPE_CHECKING:
    from datasets import DatasetDict


def sentence_rows(seed: int | str, articles: Path = ARTICLES) -> dict[str, list[dict[str, Any]]]:
    """Sentences by split, with names filled in: `id`, `article`, `scenario`, `text`, `escalation`, `de_escalation`, `severity`, `in_scope`, `phrases`."""
    own = list(read_articles(articles))
    splits = split([" ".join(s.text for s in article.sentences) for article in own], [f"scenario/{article.scenario}" for article in own])
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "dev": [], "test": []}
    for article, found in zip(own, splits, strict=True):
        for number, filled in enumerate(fill(article, seed)):
            source = filled.source
            phrases = [{"start": p.start, "end": p.end, "text": p.text, "signal": p.signal, "status": p.status} for p in filled.phrases]
            rows[found].append(
                {
                    "id": f"{article.id}#{number + 1}",
                    "article": article.id,
                    "scenario": article.scenario,
                    "text": filled.text,
                    "escalation": source.escalation,
                    "de_escalation": source.de_escalation,
                    "severity": source.severity,
                    "in_scope": source.in_scope,
                    "phrases": phrases,
                }
            )
    return rows


def to_datasets(seed: int | str = 0) -> DatasetDict:
    """The sentences as a `DatasetDict` with the splits train, dev and test; another seed fills other names in."""
    from datasets import Dataset, DatasetDict

    return DatasetDict({name: Dataset.from_list(rows) for name, rows in sentence_rows(seed).items()})
