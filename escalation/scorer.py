"""`score`, `load` and `Scorer`: text to windows to evidence to figures, in that order."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from escalation.assembling import assemble
from escalation.calibration import Calibration
from escalation.interpreting import interpret
from escalation.language import detect_language
from escalation.model import Model, find_model
from escalation.reading import Reading, read
from escalation.result import Coverage, Score
from escalation.signals import DIRECTIONS, SIGNAL_NAMES
from escalation.text import split_sentences

DEFAULT_MODEL = "newswire-en"
SCREENED = "the screen passed over the text: its words show no political or armed actor, so it was not scored; leave the screen out to have it read"


def check_text(text: object) -> str:
    """Lets text through.

    Raises:
        TypeError: not a str; bytes and lists are told what to do.
        ValueError: a lone surrogate, which no UTF-8 text can hold.
    """
    if isinstance(text, (bytes, bytearray)):
        raise TypeError(f"text must be a str, got {type(text).__name__}; decode it first, for example text.decode('utf-8')")
    if not isinstance(text, str):
        remedy = "; for several texts use Scorer.score_many" if isinstance(text, Iterable) else ""
        raise TypeError(f"text must be a str, got {type(text).__name__} {text!r:.40}{remedy}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text holds a lone surrogate (U+{ord(text[error.start]):04X} at character {error.start}); "
            "read the file again as UTF-8, or drop it: text.encode('utf-8', 'ignore').decode()"
        ) from error
    return text


@dataclass(frozen=True)
class ReadTexts:
    """Some texts, read by the network and not yet interpreted."""

    texts: tuple[str, ...]
    languages: tuple[str | None, ...]
    spans: tuple[list[tuple[int, int]], ...]  # of the sentences; none where a text is not read
    readings: tuple[Reading, ...]  # of the texts that have sentences, in order
    passed_over: Mapping[str, int]  # texts that the screen passed over, with the number of their tokens


class Scorer:
    """A loaded model. Scoring changes no state: one scorer serves any number of texts and threads."""

    def __init__(self, model: Model, *, screen: bool = False) -> None:
        self._model = model
        self._screen = model.screen if screen else None
        self._calibration = model.config.calibration
        self._name = f"{model.config.name} {model.config.version}"
        self._assemble = functools.partial(assemble, calibration=self._calibration, model=self._name)

    @property
    def name(self) -> str:
        """Name and version of the model."""
        return self._name

    @property
    def screens(self) -> bool:
        """Whether a screen passes over texts first."""
        return self._screen is not None

    def without_screen(self) -> Scorer:
        """The same model, reading everything."""
        return Scorer(self._model)

    @property
    def calibration(self) -> Calibration:
        """The numbers that turn evidence into calibrated figures."""
        return self._calibration

    def score(self, text: str) -> Score:
        """Scores one article.

        Args:
            text: the article, or any piece of English news text. Length is not limited. Empty text, text without words, text in another language and
                what a screen passes over give a neutral result whose `warnings` say so.

        Raises:
            TypeError: not a str.
            ValueError: a lone surrogate in it.
        """
        return self._interpret(self._read_batch([check_text(text)]))[0]

    def score_many(self, texts: Iterable[str], *, batch_size: int = 32, show_progress_bar: bool = False) -> list[Score]:
        """Scores many articles, each as `score` does.

        Args:
            texts: any iterable of articles; a single str is refused, since its characters are not meant.
            batch_size: articles that go through the network together; at least 1.
            show_progress_bar: on standard error.

        Returns:
            One result a text, in order.

        Raises:
            TypeError: `texts` is a str, or one of them is not a str (its position is named).
            ValueError: `batch_size` is below 1, or a text holds a lone surrogate.
        """
        if isinstance(texts, (str, bytes)):
            raise TypeError("texts must be an iterable of str, got a single text; use score(text), or put it in a list")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
        checked = []
        for position, text in enumerate(texts):
            try:
                checked.append(check_text(text))
            except (TypeError, ValueError) as error:
                raise type(error)(f"text {position}: {error}") from error
        from tqdm import tqdm  # here: a single text never needs it

        different = Counter(checked)  # a text that occurs twice is scored once
        queue = list(different)
        results: dict[str, Score] = {}
        with tqdm(total=len(checked), unit="article", disable=not show_progress_bar) as progress:
            for batch in self._read_ahead([queue[start : start + batch_size] for start in range(0, len(queue), batch_size)]):
                results |= zip(batch.texts, self._interpret(batch), strict=True)
                progress.update(sum(different[text] for text in batch.texts))
        return [results[text] for text in checked]

    def _read_ahead(self, batches: Sequence[Sequence[str]]) -> Iterator[ReadTexts]:
        """Reads the batches in order, each while the one before is being interpreted; with one thread, one after the other."""
        if self._model.threads == 1 or len(batches) < 2:
            yield from map(self._read_batch, batches)
            return
        pool = ThreadPoolExecutor(1, thread_name_prefix="escalation-ahead")
        try:
            ahead = pool.submit(self._read_batch, batches[0])
            for following in batches[1:]:
                batch, ahead = ahead.result(), pool.submit(self._read_batch, following)
                yield batch
            yield ahead.result()
        finally:
            pool.shutdown(wait=False)  # an error, or Ctrl-C, need not wait for what is being read

    def _read_batch(self, texts: Sequence[str]) -> ReadTexts:
        """Runs the network over the texts that are English."""
        languages = tuple(detect_language(text) for text in texts)
        passed_over = self.passed_over([text for text, language in zip(texts, languages, strict=True) if language == "en"])
        wanted = [language == "en" and text not in passed_over for text, language in zip(texts, languages, strict=True)]
        spans = tuple(split_sentences(text) if read else [] for text, read in zip(texts, wanted, strict=True))
        readings = self.read([(text, found) for text, found in zip(texts, spans, strict=True) if found])
        return ReadTexts(tuple(texts), languages, spans, tuple(readings), passed_over)

    def passed_over(self, texts: Sequence[str]) -> dict[str, int]:
        """The texts that the screen passes over, with the number of their tokens; none where the scorer has no screen."""
        if self._screen is None:
            return {}
        return {text: len(ids) for text, ids in zip(texts, self._model.piece_ids(texts), strict=True) if not self._screen.passes(ids)}

    def _interpret(self, batch: ReadTexts) -> list[Score]:
        """Figures of the texts that were read; the others get their neutral result."""
        read = iter(zip(batch.readings, interpret(batch.readings, self._calibration), strict=True))
        return [
            self._assemble(text, found, *next(read)) if found else self._unread(text, language, batch.passed_over.get(text))
            for text, found, language in zip(batch.texts, batch.spans, batch.languages, strict=True)
        ]

    def read(self, texts: Sequence[tuple[str, Sequence[tuple[int, int]]]]) -> list[Reading]:
        """Runs the network over texts whose sentences are known, as `(text, [(start, end), ...])`; the evidence of every token, before any figure."""
        return read(self._model, [[text[start:end] for start, end in spans] for text, spans in texts])

    def _unread(self, text: str, language: str | None, passed_over: int | None) -> Score:
        """The neutral result of a text that is not scored; `passed_over` is the number of its tokens where the screen passed over it."""
        if not text.strip():
            warning = "the text is empty: there is nothing to score"
        elif language is None:
            warning = "the text holds no letters: there is nothing to score"
        elif passed_over is not None:
            warning = SCREENED
        else:
            warning = f"the text is not English (language {language!r}); {self._name} reads English only, so it was not scored: translate it first"
        tokens = len(self._model.piece_ids([text])[0]) if passed_over is None else passed_over
        nothing = dict.fromkeys(DIRECTIONS, 0.0)
        return Score(
            text, 0.0, "neutral", nothing, (-1.0, 1.0), False, dict.fromkeys(SIGNAL_NAMES, 0.0), (), (),
            Coverage(0, len(text), 0, tokens), language, (warning,), self._name,
        )  # fmt: skip

    def figures(self, text: str, spans: Sequence[tuple[int, int]], reading: Reading) -> Score:
        """Evidence to figures for one text, its sentences `spans` (at least one) and what `read` gave of it."""
        (found,) = interpret([reading], self._calibration)
        return self._assemble(text, spans, reading, found)


def load(model: str | os.PathLike[str] = DEFAULT_MODEL, *, threads: int | None = None, device: str = "cpu", screen: bool = False) -> Scorer:
    """Loads a model from disk; never touches the network.

    Args:
        model: name of a shipped model, or path to a model folder.
        threads: for the network; None takes every core this process may use.
        device: `"cpu"`, or `"cuda"` for an NVIDIA GPU, which needs the package onnxruntime-gpu in place of onnxruntime. Int8 is made for CPUs: for a GPU
            export the model with `--precision fp32`.
        screen: whether a cheap linear screen first passes over texts without political or armed actors, such as sport, business and science. They get the
            neutral result of a text that is not scored, with a warning that says so. For archives of mixed news: faster, at a small loss of recall.

    Raises:
        FileNotFoundError: no such model, or one of its files is missing.
        ValueError: a file was changed, the model is foreign or has no screen, `threads` is below 1, or the device is unknown or not there.
    """
    return Scorer(Model(find_model(model), threads=threads, device=device), screen=screen)


@functools.cache
def _default_scorer() -> Scorer:
    return load()


def score(text: str) -> Score:
    """Scores one article with the shipped model, which is loaded at the first call and kept.

    Args:
        text: the article, or any piece of English news text; see `Scorer.score`.

    Raises:
        TypeError: not a str.
        ValueError: a lone surrogate in it.
    """
    return _default_scorer().score(check_text(text))
