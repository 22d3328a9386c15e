"""A model folder to token evidence: tokenizer, ONNX session, integrity check. Never touches the network."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from escalation.calibration import Calibration
from escalation.evidence import EVENT_LOGITS, N_LOGITS
from escalation.screen import Screen, ScreenSettings, load_screen, no_screen
from escalation.signals import SIGNAL_NAMES, STATUSES
from escalation.text import Window

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

FORMAT = 1
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
INNER_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
MODEL_FILE, TOKENIZER_FILE, CONFIG_FILE = "model.onnx", "tokenizer.json", "config.json"
# onnxruntime joins addition and layer normalisation into one operator whose CPU kernel takes five times as long as the two (1030 against 206 microseconds
# for 400 tokens of 384 numbers, onnxruntime 1.32); without it a sentence takes a fifth less.
SLOW_FUSIONS = ["SkipLayerNormFusion"]
# x86 processors without VNNI instructions add pairs of int8 products in 16 bits and cut what overflows: token figures were off by up to 2.8 in a logit. This
# takes the sums there in 32 bits (7 % slower), as all other processors do anyway, so that machines differ by the rounding of their float operations alone.
EXACT_INT8 = ("session.x64quantprecision", "1")


@dataclass(frozen=True)
class ModelConfig:
    """What config.json says.

    Attributes:
        name: the model's name.
        version: its version.
        max_tokens: tokens of a window, the two special ones included.
        cls_id: id of the token that opens a window.
        sep_id: id of the token that closes it.
        pad_id: id of the padding token.
        calibration: see `escalation.calibration`.
        screen: see `escalation.screen`; None where the model has none.
    """

    name: str
    version: str
    max_tokens: int
    cls_id: int
    sep_id: int
    pad_id: int
    calibration: Calibration
    screen: ScreenSettings | None = None


def model_folders() -> list[Path]:
    """Where shipped models lie: inside the package in a wheel, beside it in a clone or an editable install."""
    package = Path(__file__).resolve().parent
    return [folder for folder in (package / "models", package.parent / "models") if folder.is_dir()]


def shipped_models() -> dict[str, Path]:
    """Names and folders of the models that came with the package."""
    return {path.parent.name: path.parent for folder in reversed(model_folders()) for path in sorted(folder.glob(f"*/{CONFIG_FILE}"))}


def find_model(name: str | os.PathLike[str]) -> Path:
    """Resolves a shipped model's name or a path to a model folder.

    Raises:
        FileNotFoundError: neither.
    """
    shipped = shipped_models()
    if isinstance(name, str) and name in shipped:
        return shipped[name]
    path = Path(name)
    if (path / CONFIG_FILE).is_file():
        return path
    known = ", ".join(shipped) or "none found"
    problem = "holds no config.json, so it is no model of escalation" if path.is_dir() else "is neither a shipped model nor a folder"
    raise FileNotFoundError(f"model {os.fspath(name)!r} {problem}; shipped models: {known}; export your own with python -m training.export")


def seal(config: dict[str, Any], folder: Path, files: Sequence[str]) -> str:
    """The text of config.json with the SHA-256 sums of `files` and of itself (its own sum counted as zeros)."""
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    text = json.dumps({**config, "files": sums, "sha256": "0" * 64}, indent=2, ensure_ascii=False) + "\n"
    return text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest())


def reseal(folder: Path, changes: Mapping[str, Any], *, added: Collection[str] = (), left_out: Collection[str] = ()) -> None:
    """Writes a model folder's config.json anew with some values changed, and with the sums of its files as they are now.

    Args:
        folder: a model folder; check it before its files are changed (`check_integrity`).
        changes: values of config.json.
        added: names of files that it has besides.
        left_out: names of files that it no longer has.
    """
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    files = sorted(set(config.pop("files")) - set(left_out) | set(added))
    del config["sha256"]
    (folder / CONFIG_FILE).write_text(seal({**config, **changes}, folder, files), encoding="utf-8")


def check_integrity(folder: Path) -> dict[str, Any]:
    """Reads config.json and compares every file of the model with its SHA-256 sum.

    Returns:
        The parsed config.

    Raises:
        ValueError: config.json is no config of this format, or a file differs from its sum.
        FileNotFoundError: a file is missing.
    """
    remedy = "install the package again, or export the model again"
    raw = (folder / CONFIG_FILE).read_bytes()
    try:
        config: dict[str, Any] = json.loads(raw)
        own, files, version = str(config["sha256"]), dict(config["files"]), config["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG_FILE} is no model configuration of escalation or is damaged ({error}); {remedy}") from error
    if version != FORMAT:
        raise ValueError(f"{folder / CONFIG_FILE} has format {version!r}, this version of escalation reads {FORMAT}; {remedy}")
    if hashlib.sha256(raw.replace(own.encode(), b"0" * 64)).hexdigest() != own:
        raise ValueError(f"{folder / CONFIG_FILE} was changed: its SHA-256 sum does not hold; {remedy}")
    for name, expected in files.items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"model file {folder / name} is missing; {remedy}")
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != expected:
            raise ValueError(f"model file {folder / name} was changed: SHA-256 {found[:12]}…, expected {expected[:12]}…; {remedy}")
    return config


def read_config(config: dict[str, Any], folder: Path) -> ModelConfig:
    """Checks the parsed config.

    Raises:
        ValueError: a value is missing, or the model was made for other signals or statuses.
    """
    try:
        if tuple(config["signals"]) != SIGNAL_NAMES or tuple(config["statuses"]) != STATUSES:
            raise ValueError(f"its signals or statuses differ from the codebook's ({', '.join(SIGNAL_NAMES)}; {', '.join(STATUSES)})")
        if config["logits"] not in (EVENT_LOGITS.start, N_LOGITS):
            raise ValueError(f"it gives {config['logits']} logits a token, not {EVENT_LOGITS.start} or {N_LOGITS}")
        tokens = {name: int(config[name]) for name in ("max_tokens", "cls_id", "sep_id", "pad_id")}
        screen = ScreenSettings(**config["screen"]) if config.get("screen") else None
        calibration = Calibration.from_dict(config["calibration"])
        return ModelConfig(str(config["name"]), str(config["version"]), calibration=calibration, screen=screen, **tokens)
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG_FILE} can't be used: {error}; export the model again") from error


@dataclass(frozen=True)
class Tokens:
    """Tokens of one sentence.

    Attributes:
        ids: `(n_tokens,)` vocabulary ids, without special tokens.
        offsets: `(n_tokens, 2)` character offsets into the sentence.
        words: `(n_tokens,)` number of the word that each belongs to, counted from 0; an apostrophe within a word parts nothing.
    """

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    words: NDArray[np.int64]


def encode(tokenizer: Tokenizer, sentences: Sequence[str]) -> list[Tokens]:
    """Splits sentences into word pieces, without special tokens."""
    return [
        Tokens(
            np.array(encoding.ids, dtype=np.int64),
            np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2),
            whole_words(sentence, encoding.offsets, [word or 0 for word in encoding.word_ids]),
        )
        for sentence, encoding in zip(sentences, tokenizer.encode_batch(list(sentences), add_special_tokens=False), strict=True)
    ]


def whole_words(sentence: str, offsets: Sequence[tuple[int, int]], words: Sequence[int]) -> NDArray[np.int64]:
    """The tokenizer's numbers of words, `(n_tokens,)`, as they are but for an apostrophe within a word: "Iran's" and "doesn't" are one word, not three, so
    that no phrase begins with an "s"."""
    within = {place for match in INNER_APOSTROPHE.finditer(sentence) for place in match.span()}
    if not within:
        return np.array(words, dtype=np.int64)
    parted = [before != word and begin not in within for (before, word), (begin, _) in zip(pairwise(words), offsets[1:], strict=True)]
    return np.cumsum([0, *parted])


def piece_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """Vocabulary ids of whole texts, without special tokens; nothing is truncated."""
    return [np.array(encoding.ids, dtype=np.int64) for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder, set to give every token of a text and no others."""
    from tokenizers import Tokenizer

    tokenizer: Tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def find_providers(device: str) -> list[str]:
    """What runs the network on a device, in onnxruntime's names; the CPU takes what the GPU can't.

    Raises:
        ValueError: an unknown device, or onnxruntime has nothing for it here.
    """
    if device == "cpu":
        return [CPU]
    if device != "cuda":
        raise ValueError(f"device must be 'cpu' or 'cuda', got {device!r}")
    import onnxruntime

    if CUDA not in (found := onnxruntime.get_available_providers()):
        remedy = "pip uninstall onnxruntime && pip install onnxruntime-gpu, with an NVIDIA driver at hand; or leave device out"
        raise ValueError(f"device 'cuda' needs onnxruntime's {CUDA}, this installation has {', '.join(found)}; {remedy}")
    return [CUDA, CPU]


def open_session(path: Path, threads: int, providers: Sequence[str] = (CPU,)) -> InferenceSession:
    """A session of a network, as every part of the project reads it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry(*EXACT_INT8)
    avoided = SLOW_FUSIONS if list(providers) == [CPU] else []
    return onnxruntime.InferenceSession(path, options, providers=list(providers), disabled_optimizers=avoided)


class Model:
    """A loaded model: text to tokens, windows of tokens to logits."""

    def __init__(self, folder: Path, *, threads: int | None = None, device: str = "cpu") -> None:
        """Loads and checks a model folder.

        Args:
            folder: holds config.json, model.onnx and tokenizer.json.
            threads: of the network; None takes every core this process may use.
            device: `"cpu"`, or `"cuda"` for one NVIDIA GPU.

        Raises:
            ValueError: `threads` is below 1, `device` is unknown or not there, or a file is damaged or foreign.
            FileNotFoundError: a file is missing.
        """
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise ValueError(f"threads must be a whole number of at least 1 or None, got {threads!r}")
        self._providers = find_providers(device)
        self.config = read_config(check_integrity(folder), folder)
        self._folder, self._file = folder, folder / MODEL_FILE
        self._threads = threads or available_cores()
        self._session = self._open(self._threads)
        self._tokenizer = open_tokenizer(folder)

    def _open(self, threads: int) -> InferenceSession:
        """A session of the network."""
        return open_session(self._file, threads, self._providers)

    @property
    def threads(self) -> int:
        """Threads of the network."""
        return self._threads

    @property
    def budget(self) -> int:
        """Tokens that a window holds, special ones not counted."""
        return self.config.max_tokens - 2

    @functools.cached_property
    def screen(self) -> Screen:
        """The model's screen, loaded when it is first asked for.

        Raises:
            ValueError: the model has none.
        """
        if self.config.screen is None:
            raise ValueError(no_screen(self.config.name, self.config.version))
        return load_screen(self._folder, self.config.screen)

    def tokenize(self, sentences: Sequence[str]) -> list[Tokens]:
        """Splits sentences into word pieces; nothing is truncated."""
        return encode(self._tokenizer, sentences)

    def piece_ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """See the function of the same name."""
        return piece_ids(self._tokenizer, texts)

    def read_windows(self, windows: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
        """Runs the network over windows of token ids, each by itself; a window that occurs twice is read once.

        Int8 scales activations by what goes through together, so in a batch a text's figures would depend on its neighbours (by up to 0.2 in the score of
        a sentence, measured). One window at a time gives every text the same figures, always, and wastes nothing on padding. Several windows are read side
        by side, one a thread: that shares out better than the threads of one small multiplication, and gives the same numbers.

        Args:
            windows: token ids, without special tokens.

        Returns:
            Per window, in the order given, the logits of its tokens, `(n_tokens, n_logits)`.
        """
        different = {window.tobytes(): window for window in windows}
        if self._threads == 1 or len(different) == 1 or len(self._providers) > 1:
            read = {key: self._run(self._session, window) for key, window in different.items()}
        else:
            # Longest first, so that no thread is left with a long one at the end.
            order = sorted(different, key=lambda key: -len(different[key]))
            alone = functools.partial(self._run, self._single)
            read = dict(zip(order, self._pool.map(alone, [different[key] for key in order]), strict=True))
        return [read[window.tobytes()] for window in windows]

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """Threads that each read a window at a time."""
        return ThreadPoolExecutor(self._threads, thread_name_prefix="escalation")

    @functools.cached_property
    def _single(self) -> InferenceSession:
        """The network on one thread, for windows read side by side."""
        return self._open(1)

    def _run(self, session: InferenceSession, window: NDArray[np.int64]) -> NDArray[np.float32]:
        ids = np.empty((1, len(window) + 2), np.int64)
        ids[0, 0], ids[0, 1:-1], ids[0, -1] = self.config.cls_id, window, self.config.sep_id
        (output,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        return np.asarray(output)[0, 1:-1]


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gather(windows: Sequence[Window], logits: Sequence[NDArray[np.float32]], lengths: Sequence[int]) -> NDArray[np.float32]:
    """Puts the kept part of each window back in sentence order: `(sum(lengths), n_logits)`."""
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(int)
    result = np.zeros((int(starts[-1]), logits[0].shape[1] if logits else N_LOGITS), np.float32)
    for window, values in zip(windows, logits, strict=True):
        for piece in window:
            begin = piece.offset - 1 + piece.keep_first - piece.first
            kept = values[begin : begin + piece.keep_last - piece.keep_first]
            result[starts[piece.sentence] + piece.keep_first : starts[piece.sentence] + piece.keep_last] = kept
    return result
