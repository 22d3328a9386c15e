"""The texts that `training.benchmark` reads: the project's own articles with names filled in, joined and cut to length. Nothing here loads a runtime."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from training.corpus.fill import fill, join
from training.corpus.schema import ARTICLES, Article, read_articles

MIN_SENTENCES = 5
PASSAGE_WORDS = 300  # of a passage: all of it goes into the 512 tokens that an encoder reads
TENTHS = 10
WARM_UP = 8  # sentences that everyone reads before anything is measured


@dataclass(frozen=True)
class Sizes:
    """How much is read.

    Attributes:
        articles: for throughput.
        calls: texts of one sentence or article each, for latency.
        article_words: of an article whose latency is measured.
        report_words: of a report of 40 pages.
        explained: sentences that integrated gradients explain a repetition; of articles one.
        growth: bytes of the texts of growing size.
        many: articles, for throughput over many.
        labelled: articles that TF-IDF is fitted on.
        matrix: rows and columns of the matrices that the int8 rate is measured with.
    """

    articles: int = 100
    calls: int = 20
    article_words: int = 500
    report_words: int = 20_000
    explained: int = 5
    growth: tuple[int, ...] = tuple(round(10 ** (3 + step / 2)) for step in range(9))
    many: int = 5_000
    labelled: int = 300
    matrix: int = 2_048


QUICK = Sizes(articles=4, calls=2, article_words=60, report_words=700, explained=1, growth=(1_000, 3_162, 10_000), many=20, labelled=40, matrix=256)


def read_corpus() -> list[Article]:
    """The articles that are long enough, in an order that mixes topics, always the same."""
    articles = [article for article in read_articles(ARTICLES) if len(article.sentences) >= MIN_SENTENCES]
    random.Random("benchmark").shuffle(articles)
    return articles


def take_words(paragraphs: Iterator[str], words: int) -> str:
    """Whole paragraphs until there are at least so many words."""
    taken: list[str] = []
    length = 0
    while length < words:
        taken.append(next(paragraphs))
        length += len(taken[-1].split())
    return "\n\n".join(taken)


def cut_passages(text: str, words: int = PASSAGE_WORDS) -> list[str]:
    """The text in passages of so many words, the last one shorter; for rivals that read no more than their window."""
    split = text.split()
    return [" ".join(split[start : start + words]) for start in range(0, len(split), words)]


def cut_bytes(text: str, size: int) -> str:
    """The beginning of the text, of at most so many bytes (UTF-8), cut at white space where there is some."""
    piece = text.encode()[:size].decode(errors="ignore")
    space = piece.rfind(" ")
    return piece[:space] if len(piece) < len(text) and space > 0 else piece


def flow(articles: Sequence[Article]) -> Iterator[str]:
    """Paragraphs of one article after the other without end, each time round with other names."""
    for number in count():
        for article in articles:
            yield from join(fill(article, f"flow/{number}"))[0].split("\n\n")


def take_bytes(paragraphs: Iterator[str], size: int) -> str:
    """Paragraphs of at least so many bytes."""
    taken: list[str] = []
    length = 0
    while length < size:
        taken.append(next(paragraphs))
        length += len(taken[-1].encode()) + 2
    return "\n\n".join(taken)


def tenth_of_many(articles: Sequence[Article], many: int, tenth: int) -> list[str]:
    """A tenth of many articles: in each the same articles with other names, so that all tenths are equally hard."""
    per_tenth = max(1, many // TENTHS)
    return [join(fill(articles[number % len(articles)], f"many/{tenth}/{number // len(articles)}"))[0] for number in range(per_tenth)]


def make_texts(articles: Sequence[Article], sizes: Sizes) -> dict[str, list[str]]:
    """All texts but those of growing size and the many articles.

    Returns:
        `articles` and their `sentences` for throughput; `sentence`, `article`, `report` and its `passages` for latency; `explain sentence` and
        `explain article` for explanations; `warm up`.
    """
    filled = [fill(article, "benchmark") for article in articles[: sizes.articles]]
    paragraphs = flow(articles)
    whole = [take_words(paragraphs, sizes.article_words) for _ in range(sizes.calls)]
    report = take_words(paragraphs, sizes.report_words)
    sentences = [sentence.text for sentences in filled for sentence in sentences]
    rng = random.Random("sentences")
    return {
        "warm up": sentences[:WARM_UP],
        "articles": [join(sentences)[0] for sentences in filled],
        "sentences": sentences,
        "sentence": rng.sample(sentences, min(sizes.calls, len(sentences))),
        "article": whole,
        "report": [report],
        "passages": cut_passages(report),
        "explain sentence": rng.sample(sentences, min(sizes.explained, len(sentences))),
        "explain article": whole[:1],
    }


def labelled_texts(articles: Sequence[Article]) -> list[tuple[str, str]]:
    """Articles and sentences with their direction, for rivals that learn."""
    rows = []
    for article in articles:
        filled = fill(article, "labelled")
        rows.append((join(filled)[0], article.label))
        rows += [(sentence.text, sentence.source.direction) for sentence in filled]
    return rows


def write_texts(folder: Path, name: str, texts: Sequence[object]) -> None:
    """Writes texts where the measured processes find them."""
    (folder / f"{name}.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")


def read_texts(folder: Path, name: str) -> list[str]:
    """Reads what `write_texts` wrote."""
    texts: list[str] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return texts
