"""A tiny model made in memory: a table from words to logits, so that a test can say exactly what the evidence is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

import escalation.model
from escalation.calibration import Calibration
from escalation.evidence import DIRECTION_LOGITS, EVENT_LOGITS, N_LOGITS, SCOPE_LOGIT, SEVERITY_LOGIT, SIGNAL_LOGITS, STATUS_LOGITS
from escalation.model import CONFIG_FILE, FORMAT, MODEL_FILE, TOKENIZER_FILE, seal
from escalation.scorer import Scorer, load
from escalation.signals import BY_NAME, ESCALATION, EVENTS, SIGNAL_INDEX, SIGNAL_NAMES, STATUS_INDEX, STATUSES

if TYPE_CHECKING:
    from training.data import Dataset

ROOT = Path(__file__).resolve().parent.parent
LEXICON = {
    "attacked": ("attack", "asserted"),
    "shelled": ("attack", "asserted"),
    "attacks": ("attack", "historical"),
    "recalled": ("sanction", "asserted"),
    "envoy": ("sanction", "asserted"),
    "condemned": ("accuse", "asserted"),
    "truce": ("agree", "asserted"),
    "measured": ("restrain", "asserted"),
    "response": ("restrain", "asserted"),
    "withdrew": ("yield", "asserted"),
    "feared": ("attack", "hypothetical"),
    "goal": ("attack", "figurative"),
}
PLAIN = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?\"'-", "the", "army", "and", "striker", "football", "border", "minister", "said", "it", "##ed", "##s"]
DIRECTED = {"asserted": 6.0, "hypothetical": 0.0, "historical": -3.0}  # logits of the direction: the past has a little, so that counting it would show
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LEXICON, *PLAIN]


def word_logits(word: str) -> np.ndarray:
    """Logits of a word: certain of what the lexicon says, or of no phrase."""
    logits = np.zeros(N_LOGITS, np.float32)
    logits[SCOPE_LOGIT] = -8.0 if word in ("striker", "football", "goal") else 3.0
    logits[DIRECTION_LOGITS] = -6.0
    if word not in LEXICON:
        logits[SIGNAL_LOGITS.start] = 8.0
        return logits
    signal, status = LEXICON[word]
    logits[SIGNAL_LOGITS.start + 1 + SIGNAL_INDEX[signal]] = 8.0
    logits[STATUS_LOGITS.start + STATUS_INDEX[status]] = 8.0
    if signal in EVENTS:
        logits[EVENT_LOGITS.start + EVENTS.index(signal)] = 8.0
    logits[SEVERITY_LOGIT] = (BY_NAME[signal].severity - 5.0) / 2
    if status in DIRECTED:
        logits[DIRECTION_LOGITS.start + (BY_NAME[signal].direction != ESCALATION)] = DIRECTED[status]
    return logits


def write_tiny_model(folder: Path, *, max_tokens: int = 32) -> Path:
    """Writes a model folder whose network looks words up."""
    folder.mkdir(parents=True, exist_ok=True)
    table = numpy_helper.from_array(np.stack([word_logits(word) for word in VOCABULARY]), "table")
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["logits"], axis=0), helper.make_node("Identity", ["attention_mask"], ["unused"])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["windows", "tokens"]) for name in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["windows", "tokens", N_LOGITS])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [table])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(folder / MODEL_FILE))
    words = models.WordPiece({word: index for index, word in enumerate(VOCABULARY)}, unk_token="[UNK]", max_input_chars_per_word=200)
    tokenizer = Tokenizer(words)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(folder / TOKENIZER_FILE))
    config = {
        "format": FORMAT, "name": "tiny", "version": "1", "language": "en", "max_tokens": max_tokens, "cls_id": 2, "sep_id": 3, "pad_id": 0,
        "signals": SIGNAL_NAMES, "statuses": STATUSES, "logits": N_LOGITS, "calibration": Calibration(article_interval=0.2, sentence_interval=0.3).to_dict(),
    }  # fmt: skip
    (folder / CONFIG_FILE).write_text(seal(config, folder, [MODEL_FILE, TOKENIZER_FILE]), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Scorer:
    return load(tiny_folder, threads=1)


@pytest.fixture
def reseal():
    """Changes values of a model folder's config.json and seals it again, as a careful stranger would."""

    def change(folder: Path, **values: object) -> None:
        escalation.model.reseal(folder, values)

    return change


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights."""
    from tiny_training import write_encoder  # here: torch, which most tests do without

    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """The tiny corpus, split."""
    from tiny_training import make_dataset

    return make_dataset()
