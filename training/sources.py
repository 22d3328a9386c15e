"""Adapters for the public corpora: where each comes from, its SHA-256 sum, and how a row is read. No text of theirs is part of the project.

The files are JSON Lines with the fields `id`, `text` and labels, made of the upstream files named in `SOURCES` (what was left out stands there). They are
read from a folder given on the command line; nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Source:
    """One public corpus.

    Attributes:
        file: name in the corpora folder.
        sha256: of that file.
        upstream: address of the repository and the path in it.
        licence: as stated there.
        note: what differs from upstream.
    """

    file: str
    sha256: str
    upstream: str
    licence: str
    note: str


SOURCES = {
    "plv": Source(
        "plv_train.jsonl",
        "441eebda34f8cf1eee4bb1e233c8c14cbe496b0191d1e583b7dbbb5b606b6ee9",
        "https://github.com/snowood1/Zero-Shot-PLOVER datasets/PLV_train.tsv",
        "none stated",
        "gold PLOVER root and quad class by human coders (Hu et al., ACL 2024)",
    ),
    "cameo-train": Source(
        "cameo_class_train.jsonl",
        "52ccab387d4b94477d5efaae7bbd004679d8eef74206106d69938f57d7a365cc",
        "https://github.com/eventdata/ConfliBERT data/cameo_class",
        "GPL-3.0",
        "355 rows that repeat sentences of the PLV test set are removed",
    ),
    "cameo-test": Source(
        "cameo_class_test.jsonl",
        "3d35cda00eb1c62cab7c54f781e59f6eb7ce4a0ea3a6c18889bc11e96fb790a5",
        "https://github.com/eventdata/ConfliBERT data/cameo_class",
        "GPL-3.0",
        "267 rows that repeat sentences of the PLV test set are removed; never trains a shipped model, measures only",
    ),
    "ngec": Source(
        "ngec_synthetic_articles.jsonl",
        "a0cb5c4ac36e4a35e95741caeef53503ecec27f4aeb2b0bd9885795c71e93d75",
        "https://github.com/ahalterman/NGEC setup/train_classifiers",
        "none stated",
        "generated articles, one PLOVER event each, noisy",
    ),
    "bbc": Source(
        "bbc_news_dev.jsonl",
        "30c1d3c1955215d8f5f45bf549d8d7af5aa0654d6b430f758567c316f1b2d0ac",
        "https://github.com/eventdata/ConfliBERT data/BBC_News",
        "GPL-3.0",
        "BBC articles of 2004 and 2005, lower-cased; the articles with conflict or politics are labelled sentence by sentence",
    ),
    "bbc-train": Source(
        "bbc_news_train.jsonl",
        "db5cbb08834c5f6fbe4bd634dbfa237912154792983da96d469436dfa3fc9163",
        "https://github.com/eventdata/ConfliBERT data/BBC_News",
        "GPL-3.0",
        "more of the same: 200 of the articles with conflict are labelled, their first twelve sentences; the others are text to ask a teacher about",
    ),
    "ag": Source(
        "ag_news_half.jsonl",
        "606f11e8d5b36f18be41fbda1c91692cbcd003624827b4fc066c7f95a4470c83",
        "AG's corpus of news articles (Gulli 2005; Zhang et al. 2015), test part, every second row",
        "non-commercial use",
        "topics world, sports, business, science",
    ),
}


def file_sum(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_source(name: str, corpora: Path) -> list[dict[str, Any]]:
    """Reads the rows of a public corpus and checks that it is the file the project was made with.

    Raises:
        FileNotFoundError: the file is not in the folder; the message gives the upstream address.
        ValueError: its SHA-256 sum differs.
    """
    source = SOURCES[name]
    path = corpora / source.file
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; make it from {source.upstream} ({source.note}), or set the source's weight to 0")
    if file_sum(path) != source.sha256:
        raise ValueError(f"{path} has SHA-256 {file_sum(path)[:12]}…, expected {source.sha256[:12]}…; it is another version of {source.upstream}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
