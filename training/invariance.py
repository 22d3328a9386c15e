"""Does a name decide? python -m training.invariance: scores the corpus' dev sentences under many fillings of their slots.

A sentence's spread is the standard deviation of its score over the fillings; 0 where names make no difference.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from escalation.scorer import Scorer, load
from training.corpus.fill import choose, fill
from training.corpus.schema import ARTICLES, Article, read_articles
from training.splits import choose_split

MIN_SENTENCES = 20  # a country's mean deviation is reported from this many sentences on


def measure_spread(scorer: Scorer, articles: Sequence[Article], fillings: int) -> dict[str, float]:
    """Scores every sentence that holds a slot alone, `fillings` times.

    Returns:
        `sentences`, the mean and the 95th percentile of the spread, the share of sentences whose label changes with the names, and the largest mean
        deviation of one country's sentences from those sentences' means.
    """
    texts: list[str] = []
    keys: list[tuple[str, int]] = []
    countries: list[set[str]] = []
    for article in articles:
        for seed in range(fillings):
            chosen = choose(article, random.Random(f"{article.id}/{seed}"))
            used = {forms[""] for name, forms in chosen.items() if article.slots[name] == "country"}
            for number, filled in enumerate(fill(article, seed)):
                if "{" in filled.source.text:
                    texts.append(filled.text)
                    keys.append((article.id, number))
                    countries.append({country for country in used if country in filled.text})
    results = scorer.score_many(texts, batch_size=256, show_progress_bar=True)
    scores: dict[tuple[str, int], list[float]] = defaultdict(list)
    labels: dict[tuple[str, int], set[str]] = defaultdict(set)
    for key, result in zip(keys, results, strict=True):
        scores[key].append(result.score)
        labels[key].add(result.label)
    spread = np.array([np.std(values) for values in scores.values()])
    deviation: dict[str, list[float]] = defaultdict(list)
    for key, result, named in zip(keys, results, countries, strict=True):
        for country in named:
            deviation[country].append(result.score - float(np.mean(scores[key])))
    means = [abs(float(np.mean(values))) for values in deviation.values() if len(values) >= MIN_SENTENCES]
    return {
        "sentences": len(scores),
        "fillings": fillings,
        "mean_spread": float(spread.mean()),
        "p95_spread": float(np.percentile(spread, 95)),
        "label_changes": float(np.mean([len(found) > 1 for found in labels.values()])),
        "largest_country_deviation": max(means, default=0.0),
    }


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.invariance", description=__doc__)
    parser.add_argument("--model", default="newswire-en")
    parser.add_argument("--fillings", type=int, default=20)
    args = parser.parse_args(argv)
    articles = [article for article in read_articles(ARTICLES) if choose_split(f"scenario/{article.scenario}") == "dev"]
    print(json.dumps(measure_spread(load(args.model), articles, args.fillings), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
