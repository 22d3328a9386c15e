"""The parts of `training.benchmark`: each measures one thing of all contenders, taking turns, and returns measurements."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, quantiles
from time import perf_counter
from types import TracebackType
from typing import Any

from training.benchmark_figures import GROWTH, INT8, MANY, OURS, SHARE, Measurement, interleave
from training.benchmark_machine import count_int8_weights
from training.benchmark_rivals import CLASSIFIER
from training.benchmark_texts import TENTHS, Sizes, cut_bytes, flow, take_bytes, tenth_of_many, write_texts
from training.benchmark_worker import ROOT, Worker, environment, why_missing
from training.corpus.schema import Article

READERS = (OURS, "pipeline-1", "pipeline-32", "vader", "tfidf")
PIPELINES = ("pipeline-1", "pipeline-32")
EXPLAINERS = (OURS, "integrated-gradients")
STARTERS = (OURS, "pipeline-1")
MOST_SWEEPS = 3  # repetitions of the texts of growing size, whose largest takes minutes
WITHIN = "sentences, in their articles"
IMPORT = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
IMPORTS = {OURS: "import escalation", "pipeline-1": "from transformers import pipeline"}
COLD_PIPELINE = (
    "import sys; import torch; torch.set_num_threads(int(sys.argv[3])); from transformers import pipeline; "
    "classify = pipeline('text-classification', model=sys.argv[1], device='cpu'); "
    "print(classify(open(sys.argv[2], encoding='utf-8').read(), truncation=True))"
)


@dataclass(frozen=True)
class Run:
    """What all parts need.

    Attributes:
        folder: for texts, the rivals' model and logs; thrown away afterwards.
        model: folder of our model.
        articles: of the corpus.
        texts: what `benchmark_texts.make_texts` made; they lie in the folder too.
        sizes: how much is read.
        threads: numbers of threads.
        repetitions: of everything.
    """

    folder: Path
    model: Path
    articles: Sequence[Article]
    texts: dict[str, list[str]]
    sizes: Sizes
    threads: tuple[int, ...]
    repetitions: int


class Crew:
    """The contenders' processes of one number of threads: each loads when it is first wanted and stays until the end of a `with`."""

    def __init__(self, run: Run, threads: int) -> None:
        self.threads = threads
        self._run = run
        self._stack = contextlib.ExitStack()
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    def call(self, *names: str) -> dict[str, Worker]:
        """The processes of those contenders whose packages are installed."""
        for name in names:
            if name not in self._workers and not why_missing(name):
                say(f"{name}, {self.threads} threads: loading")
                self._workers[name] = self._stack.enter_context(Worker(name, self._run.folder, str(self._run.model), self.threads))
                self._workers[name].wait_until_loaded()
        return {name: self._workers[name] for name in names if name in self._workers}


def say(message: str) -> None:
    """Progress, on standard error."""
    print(f"benchmark: {message}", file=sys.stderr, flush=True)


def missing(part: str, what: str, names: Sequence[str], threads: int, unit: str) -> list[Measurement]:
    """Rows without figures for contenders that aren't installed."""
    return [Measurement(part, what, name, threads, unit, (), why) for name in names if (why := why_missing(name))]


def percentile95(values: Sequence[float]) -> float:
    """The 95th percentile, between the two nearest values; of one value, it."""
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def measure_throughput(run: Run, crew: Crew) -> list[Measurement]:
    """Sentences, each as a text of its own, and articles a second; and sentences where a figure for each of an article is wanted, which ours gives with it."""
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    threads, workers = crew.threads, crew.call(*READERS)
    for texts in ("articles", "sentences"):
        for name in interleave(list(workers), run.repetitions):
            seconds[texts, name].append(workers[name].ask("batch", texts)["seconds"])
            say(f"throughput, {threads} threads, {texts}, {name}: {seconds[texts, name][-1]:.2f} s")
    counts = {texts: len(run.texts[texts]) for texts in ("articles", "sentences")}
    rows = []
    for what, texts, unit in (("articles", "articles", "articles/s"), ("sentences, alone", "sentences", "sentences/s"), (WITHIN, "sentences", "sentences/s")):
        for name in workers:
            took = seconds["articles" if name == OURS and what == WITHIN else texts, name]
            rows.append(Measurement("throughput", what, name, threads, unit, tuple(counts[texts] / s for s in took)))
        rows += missing("throughput", what, READERS, threads, unit)
    return rows


def measure_latency(run: Run, crew: Crew) -> list[Measurement]:
    """Milliseconds for one sentence, one article and one report of 40 pages, which goes to the pipelines in passages since they'd drop its rest."""
    rows = []
    threads, workers = crew.threads, crew.call(*READERS)
    for what in ("sentence", "article", "report"):
        taken: dict[str, list[list[float]]] = defaultdict(list)
        for name in interleave(list(workers), run.repetitions):
            if what == "report" and name in PIPELINES:
                taken[name].append([workers[name].ask("batch", "passages")["seconds"]])
            else:
                taken[name].append(workers[name].ask("calls", what)["seconds"])
            say(f"latency, {threads} threads, {what}, {name}: {1000 * median(taken[name][-1]):.1f} ms")
        kinds: list[tuple[str, Callable[[list[float]], float]]] = [("p50", median), ("p95", percentile95)]
        for kind, figure in kinds[: 1 if what == "report" else 2]:
            label = f"one {what}, {kind}" if what != "report" else "one report of 40 pages"
            rows += [Measurement("latency", label, name, threads, "ms", tuple(1000 * figure(s) for s in taken[name])) for name in workers]
            rows += missing("latency", label, READERS, threads, "ms")
    return rows


def measure_explanations(run: Run, crew: Crew) -> list[Measurement]:
    """Milliseconds for the words that speak for the result, of one sentence and of one article."""
    rows = []
    threads, workers = crew.threads, crew.call(*EXPLAINERS)
    for what in ("sentence", "article"):
        taken: dict[str, list[float]] = defaultdict(list)
        for name in interleave(list(workers), run.repetitions):
            taken[name].append(1000 * fmean(workers[name].ask("calls", f"explain {what}")["seconds"]))
            say(f"explanation, {threads} threads, {what}, {name}: {taken[name][-1]:.1f} ms")
        label = f"one {what} explained"
        rows += [Measurement("explanation", label, name, threads, "ms", tuple(taken[name])) for name in workers]
        rows += missing("explanation", label, EXPLAINERS, threads, "ms")
    return rows


def run_child(command: Sequence[str], threads: int) -> tuple[float, str]:
    """Runs a Python process to its end: seconds and what it printed.

    Raises:
        RuntimeError: it failed; the message holds the last lines that it printed.
    """
    start = perf_counter()
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, encoding="utf-8", cwd=ROOT, env=environment(threads), check=False)
    took = perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"a measured process ended with {done.returncode}: {' / '.join(done.stderr.splitlines()[-5:])}")
    return took, done.stdout


def measure_starts(run: Run, crew: Crew) -> list[Measurement]:
    """Seconds from nothing to the first article's result on the command line, and for the import alone; files are in the system's cache."""
    threads = crew.threads
    article = run.folder / "article.txt"
    article.write_text(run.texts["article"][0], encoding="utf-8")
    cold = {
        OURS: ["-m", "escalation.cli", "score", str(article), "--model", str(run.model), "--threads", str(threads)],
        "pipeline-1": ["-c", COLD_PIPELINE, str(run.folder / CLASSIFIER), str(article), str(threads)],
    }
    present = [name for name in STARTERS if not why_missing(name)]
    starts: dict[str, list[float]] = defaultdict(list)
    imports: dict[str, list[float]] = defaultdict(list)
    for turn, name in enumerate(interleave(present, run.repetitions + 1)):
        took, _ = run_child(cold[name], threads)
        _, printed = run_child(["-c", IMPORT.format(IMPORTS[name])], threads)
        if turn >= len(present):  # the first turn fills the caches
            starts[name].append(took)
            imports[name].append(float(printed))
        say(f"start, {threads} threads, {name}: {took:.2f} s, import {float(printed):.3f} s")
    rows = []
    for part, what, found in (("cold start", "one article, to its result", starts), ("import", "the import alone", imports)):
        rows += [Measurement(part, what, name, threads, "s", tuple(found[name])) for name in present]
        rows += missing(part, what, STARTERS, threads, "s")
    return rows


def measure_memory(run: Run, crew: Crew) -> list[Measurement]:
    """Largest resident memory of a process that loads a contender and reads the articles, in a new process each time."""
    threads = crew.threads
    present = [name for name in READERS if not why_missing(name)]
    taken: dict[str, list[float]] = defaultdict(list)
    for name in interleave(present, run.repetitions):
        with Crew(run, threads) as fresh:
            workers = fresh.call(name)
            workers[name].ask("batch", "articles")
            taken[name].append(workers[name].ask("memory")["bytes"] / 1e6)
    what = "largest resident, scoring articles"
    rows = [Measurement("memory", what, name, threads, "MB", tuple(taken[name])) for name in present]
    return rows + missing("memory", what, READERS, threads, "MB")


def measure_growth(run: Run) -> list[Measurement]:
    """Seconds for one text of growing size."""
    threads = max(run.threads)
    sizes = run.sizes.growth
    whole = take_bytes(flow(run.articles), max(sizes))
    taken: dict[int, list[float]] = defaultdict(list)
    for size in sizes:
        write_texts(run.folder, f"growth {size}", [cut_bytes(whole, size)])
    with Crew(run, threads) as crew:
        workers = crew.call(OURS)
        for _ in range(min(run.repetitions, MOST_SWEEPS)):
            for size in sizes:
                taken[size] += workers[OURS].ask("calls", f"growth {size}")["seconds"]
                say(f"growth, {size:,} bytes: {taken[size][-1]:.3f} s")
    return [Measurement(GROWTH, f"{size:,} bytes", OURS, threads, "s", tuple(taken[size])) for size in sizes]


def measure_many(run: Run) -> list[Measurement]:
    """Articles a second in each tenth of many, in one process, and its largest resident memory so far; each tenth is measured once."""
    threads = max(run.threads)
    rows = []
    with Crew(run, threads) as crew:
        workers = crew.call(OURS)
        for tenth in range(TENTHS):
            texts = tenth_of_many(run.articles, run.sizes.many, tenth)
            write_texts(run.folder, "many", texts)
            took = workers[OURS].ask("batch", "many")["seconds"]
            largest = workers[OURS].ask("memory")["bytes"] / 1e6
            say(f"many articles, tenth {tenth + 1}: {len(texts) / took:.1f} articles/s, {largest:.0f} MB")
            what = f"tenth {tenth + 1} of {TENTHS * len(texts):,}"
            rows.append(Measurement(MANY, what, OURS, threads, "articles/s", (len(texts) / took,)))
            rows.append(Measurement(MANY, what, OURS, threads, "MB", (largest,)))
    return rows


def measure_int8(run: Run, crew: Crew) -> list[Measurement]:
    """Our int8 operations a second in the whole of scoring, 2 × weights × tokens, beside what the machine does in one large product of int8 matrices."""
    weights = count_int8_weights(run.model / "model.onnx")
    ours: list[float] = []
    machine: list[float] = []
    threads, workers = crew.threads, crew.call(OURS)
    for name in interleave([OURS, "machine"], run.repetitions):
        if name == OURS:
            answer: dict[str, Any] = workers[OURS].ask("batch", "articles")
            ours.append(2 * weights * answer["tokens"] / answer["seconds"] / 1e9)
            say(f"int8, {threads} threads: {answer['tokens'] / answer['seconds']:,.0f} tokens/s, {ours[-1]:.1f} GOP/s")
        else:
            _, printed = run_child(["-m", "training.benchmark_machine", "--threads", str(threads), "--size", str(run.sizes.matrix)], threads)
            machine.append(json.loads(printed)["operations_per_second"] / 1e9)
            say(f"int8, {threads} threads: the machine does {machine[-1]:.1f} GOP/s")
    share = tuple(100 * a / b for a, b in zip(ours, machine, strict=True))
    note = "" if weights else "the model has no int8 matrices"
    return [
        Measurement(INT8, "operations a second", OURS, threads, "GOP/s", tuple(ours), note),
        Measurement(INT8, "operations a second", "machine", threads, "GOP/s", tuple(machine)),
        Measurement(INT8, SHARE, OURS, threads, "%", share, note),
    ]
