"""What the tests of the training share: a tiny random encoder, a corpus that it can learn, rows of a user's own."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import torch
from conftest import ROOT
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from training import train as train_module
from training.config import Config, build
from training.corpus.markup import parse_articles
from training.corpus.schema import Article
from training.data import Dataset

WORDS = """the army attacked shelled village truce signed agreed it said on a . , calm urged border minister rose prices recalled envoy no
was""".split()
HEADER = "topic: war\nregion: Nowhere\nvoice: agency\nyear: 2000\nscope: in\n"
BODIES = (
    "label: escalation\nseverity: 8\nslots: A=country\n\nE 9 | The army [shelled the village|attack].\nN 0 | The minister said it was on the border.\n",
    "label: de-escalation\nseverity: -6\nslots: A=country\n\nD -6 | {A} [signed a truce|agree].\nN 0 | It said prices rose.\n",
    "label: mixed\nseverity: 1\nslots: A=country\n\nE 5 | {A} [recalled the envoy|sanction].\nD -3 | The minister [urged calm|restrain].\n",
    "label: neutral\nseverity: 0\nslots: A=country\n\nN 0 | The army was on the border.\nX 0 | Prices rose.\n",
)


def write_encoder(folder: Path, *, dropout: float = 0.1) -> Path:
    """Writes a BERT of two layers with random weights."""
    torch.manual_seed(0)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *"abcdefghijklmnopqrstuvwxyz", *("##" + c for c in "abcdefghijklmnopqrstuvwxyz")]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(dict.fromkeys(vocabulary))}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    fast.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(fast), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=80,
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def make_articles() -> list[Article]:
    """Forty-eight articles of four kinds."""
    text = "".join(f"=== article\nscenario: case-{n}\n{HEADER}{BODIES[n % 4].replace('village', f'village {chr(97 + n % 26)}')}\n" for n in range(48))
    articles = [a for a in parse_articles(text, "tiny") if isinstance(a, Article)]
    assert len(articles) == 48
    return articles


def make_dataset() -> Dataset:
    """The articles, split."""
    splits = ["dev" if n % 6 == 4 or n % 6 == 5 else "test" if n % 6 == 3 else "train" for n in range(48)]
    return Dataset((), tuple(zip(make_articles(), splits, strict=True)))


def settings(encoder: Path, **values: object) -> Config:
    """The configuration tiny.toml with some values changed."""
    base = tomllib.loads((ROOT / "training/configs/tiny.toml").read_text())
    result: Config = build(Config, {**base, "encoder": str(encoder), **values}, "test")
    return result


def train(config: Config, dataset: Dataset, folder: Path) -> Path:
    """Trains in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    train_module.Trainer(config, dataset, folder).run()
    return folder


def write_rows(path: Path, count: int = 20) -> Path:
    """A CSV file of sentences with labels, each sentence another."""
    kinds = (("escalation", "the army shelled {}"), ("de-escalation", "a truce signed on {}"), ("neutral", "prices rose , {} said"))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(count):
            label, text = kinds[number % 3]
            writer.writerow([text.format(" ".join(chr(97 + (number * 7 + step * (number % 5 + 1)) % 26) for step in range(4))), label])
    return path
