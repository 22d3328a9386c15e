"""A picture of the corpus: directions, signals by status, lengths, severities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from escalation.signals import SIGNAL_NAMES, STATUSES
from training.corpus.schema import Article

COLOURS = {"asserted": "#1b4965", "hypothetical": "#62b6cb", "negated": "#e07a5f", "historical": "#b8b8b8", "figurative": "#e9c46a"}


def plot_corpus(articles: Sequence[Article], path: Path) -> None:
    """Writes four panels to a PNG, SVG or PDF file, by its ending."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sentences = [sentence for article in articles for sentence in article.sentences]
    figure, ((directions, signals), (lengths, severities)) = pyplot.subplots(2, 2, figsize=(13, 9), layout="constrained")
    count = Counter(s.direction if s.in_scope else "out of scope" for s in sentences)
    directions.barh(list(count), list(count.values()), color="#1b4965")
    directions.set_title("Sentences by direction")
    left = [0] * len(SIGNAL_NAMES)
    pairs = Counter((p.signal, p.status) for s in sentences for p in s.phrases)
    for status in STATUSES:
        values = [pairs[signal, status] for signal in SIGNAL_NAMES]
        signals.barh(SIGNAL_NAMES, values, left=left, color=COLOURS[status], label=status)
        left = [a + b for a, b in zip(left, values, strict=True)]
    signals.invert_yaxis()
    signals.legend()
    signals.set_title("Phrases by signal and status")
    lengths.hist([len(a.sentences) for a in articles], bins=range(1, 42), color="#1b4965")
    lengths.set_title("Articles by number of sentences")
    severities.hist([s.severity for s in sentences if s.severity], bins=[x - 0.5 for x in range(-10, 12)], color="#1b4965")
    severities.set_title("Sentences by severity (0 left out)")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
