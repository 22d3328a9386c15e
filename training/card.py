"""The model card, made of measured figures; python -m training.card README.md rewrites the README's table from the shipped model's metrics.json."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from training.config import Config
from training.sources import SOURCES

ROWS = (
    ("Sentence direction, four classes, macro-F1: project's articles", "corpus_direction_f1"),
    ("Sentence direction, four classes, macro-F1: real news sentences", "real_direction_f1"),
    ("Highlights, span F1 (IoU ≥ 0.5, direction right): project's articles", "corpus_span_f1"),
    ("Highlights, span F1 (IoU ≥ 0.5, direction right): real news sentences", "real_span_f1"),
    ("Status right on matched highlights: project's articles", "corpus_status_accuracy"),
    ("Sentence severity, Pearson: project's articles", "corpus_severity_pearson"),
    ("Sentence severity, Pearson: real news sentences", "real_severity_pearson"),
    ("PLOVER events of PLV train rows held out, macro-F1: binary", "event_binary_f1"),
    ("… quad class", "event_quad_f1"),
    ("… root (15)", "event_root_f1"),
    ("Article direction, four classes, macro-F1", "article_direction_f1"),
    ("Article severity, Pearson", "article_severity_pearson"),
    ("Article score: 90 % interval holds the labelled severity", "article_interval_coverage"),
    ("Sport, business and science news called in scope, articles", "outside_articles_in_scope"),
    ("Sport, business and science news given a direction, sentences", "outside_alarm"),
)


def figures_table(figures: dict[str, Any]) -> str:
    """Markdown table of dev and test figures."""
    lines = ["| figure | dev | test |", "|---|---|---|"]
    for text, key in ROWS:
        if key in figures["dev"]:
            test = figures["test"].get(key)
            lines.append(f"| {text} | {figures['dev'][key]:.3f} | {'–' if test is None else f'{test:.3f}'} |")
    return "\n".join(lines)


def write_card(config: Config, figures: dict[str, Any], size: int) -> str:
    """The card as Markdown.

    Args:
        config: of the training run.
        figures: what metrics.json holds; `data` is what the run was trained on.
        size: bytes of the ONNX file.
    """
    used = "\n".join(
        f"| {source} | {texts} | {counts.get('train sentences', 0)} | {min(texts, getattr(config.sources, source))} |"
        for source, counts in figures["data"].items()
        if (texts := counts.get("train texts", 0))
    )
    licences = "\n".join(f"| {s.upstream} | {s.licence} | {s.note} |" for s in SOURCES.values())
    dev, test = figures["dev"], figures["test"]
    return f"""# {config.name} {config.version}

Reads English news: for each word the evidence of 16 escalation and de-escalation signals and their status; from it highlights, sentence scores and an article
score in one forward pass. Encoder {config.encoder}, {size / 1e6:.1f} MB on disk, windows of {config.max_tokens} tokens.

**Meant for** ranking and marking news about political and armed actors, with a person reading what it marks. **Not meant for** deciding about people,
forecasting violence, or texts that are no news.

## Figures

Split by article, scenario and template. The dev split chose epoch, thresholds and calibration, so its figures flatter; the test split chose nothing.
One run, no intervals. Text units: project's articles {int(dev.get("corpus_sentences", 0))} and {int(test.get("corpus_sentences", 0))} sentences,
real news {int(dev.get("real_sentences", 0))} and {int(test.get("real_sentences", 0))} (sentences of the public corpora labelled by the project's codebook).

{figures_table(figures)}

ONNX against torch: largest difference of a logit {figures["agreement"]["fp32_largest_logit_difference"]:.1e} (fp32).
All figures are of the file that is shipped.

## Trained on

| source | texts | sentences | texts drawn an epoch |
|---|---|---|---|
{used}

`corpus` are the project's own articles: synthetic news of invented events, their actors filled with other names at each epoch. `standoff` is AG's world news
and BBC political articles with labels of the project. Public text is not part of the project; who retrains gets it upstream:

| source | licence stated there | what |
|---|---|---|
{licences}

Encoder: sentence-transformers/all-MiniLM-L6-v2, Apache-2.0. Weigh the sources' licences before commercial use: AG's corpus is for non-commercial use.

## Known limits

English only. One labelling (a single pass) stands behind most labels. Sentences are read with their neighbours in a window of
{config.max_tokens} tokens, not with the whole article. Irony, code words and threats that only an insider hears are missed. The labels are what the
codebook says, not what happened afterwards.
"""


def rewrite_readme(text: str, figures: dict[str, Any]) -> str:
    """The README with its table, between the two marks, made anew.

    Raises:
        ValueError: the marks are missing.
    """
    pattern = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError("the README lacks the marks <!-- figures --> and <!-- /figures -->")
    return pattern.sub(lambda match: f"{match[1]}{figures_table(figures)}\n{match[2]}", text)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.card", description=__doc__)
    parser.add_argument("readme", type=Path)
    parser.add_argument("--model", type=Path, default=Path("models/newswire-en"), help="model folder")
    args = parser.parse_args(argv)
    figures = json.loads((args.model / "metrics.json").read_text(encoding="utf-8"))
    args.readme.write_text(rewrite_readme(args.readme.read_text(encoding="utf-8"), figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
