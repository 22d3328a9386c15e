"""Checks that the corpus was written and not stamped out: repeated word runs, openings, wordings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from training.corpus.schema import Article
from training.corpus.validate import normalise

RUN = 5  # words


def skeleton(text: str) -> list[str]:
    """Words of a sentence, a slot standing as one word `_`."""
    return normalise(re.sub(r"\{[^{}]*\}", " _ ", text)).split()


def is_pair(article: Article) -> bool:
    """Whether an article is one half (or third) of a minimal pair, which shares its words on purpose."""
    return article.scenario.startswith("pair-") or article.id.startswith("factuality")


def repeated_runs(articles: Sequence[Article]) -> float:
    """Share of the five-word runs (slots as one word) that also stand in another scenario's articles; minimal pairs left out."""
    owners: dict[tuple[str, ...], set[str]] = {}
    total: Counter[tuple[str, ...]] = Counter()
    for article in articles:
        if is_pair(article):
            continue
        for sentence in article.sentences:
            words = skeleton(sentence.text)
            for i in range(len(words) - RUN + 1):
                run = tuple(words[i : i + RUN])
                owners.setdefault(run, set()).add(article.scenario)
                total[run] += 1
    shared = sum(count for run, count in total.items() if len(owners[run]) > 1)
    return shared / max(1, sum(total.values()))


def distinct_openings(articles: Sequence[Article]) -> float:
    """Share of articles whose first three words (slots as one word) no other article of another scenario begins with."""
    whole = [article for article in articles if not is_pair(article)]
    openings = {article.id: tuple(skeleton(article.sentences[0].text)[:3]) for article in whole}
    scenarios: dict[tuple[str, ...], set[str]] = {}
    for article in whole:
        scenarios.setdefault(openings[article.id], set()).add(article.scenario)
    return sum(len(scenarios[opening]) == 1 for opening in openings.values()) / max(1, len(whole))


def wordings(articles: Sequence[Article], signal: str) -> int:
    """How many different wordings of a signal there are, slots and case aside."""
    return len({tuple(skeleton(p.text)) for a in articles for s in a.sentences for p in s.phrases if p.signal == signal and p.status == "asserted"})


def minimal_pairs(articles: Sequence[Article]) -> int:
    """How many scenarios are minimal pairs: two articles of one sentence each."""
    halves = Counter(article.scenario for article in articles if is_pair(article) and len(article.sentences) == 1)
    return sum(count == 2 for count in halves.values())
