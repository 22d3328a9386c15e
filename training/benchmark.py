"""Speed and memory beside what a user would pick instead: python -m training.benchmark

Ours, the pipeline of transformers with the same encoder (alone, and with integrated gradients for highlights), VADER, and TF-IDF with logistic regression,
on the project's own articles. Each runs in a process of its own, all take turns, and every figure is a median with its range. Ours gives figures of the
article and of each sentence, and highlights; the others one label a text, and the pipeline reads a text's first 512 tokens.

    python -m training.benchmark --quick                        does it run? a minute; the figures mean little
    python -m training.benchmark --only latency memory          some parts; they print and write nothing unless told where to
    python -m training.benchmark --articles 100000 --only many  a long run

Nothing else should run on the machine meanwhile. A full run takes about an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from escalation.model import available_cores, find_model
from training.benchmark_figures import Measurement, find_targets, format_table, format_targets, growth_points, ratios, slopes
from training.benchmark_machine import describe_machine
from training.benchmark_parts import (
    Crew,
    Run,
    measure_explanations,
    measure_growth,
    measure_int8,
    measure_latency,
    measure_many,
    measure_memory,
    measure_starts,
    measure_throughput,
    run_child,
    say,
)
from training.benchmark_plot import DRAWERS, SUFFIXES, draw
from training.benchmark_rivals import ENCODER, missing_packages
from training.benchmark_texts import QUICK, Sizes, labelled_texts, make_texts, read_corpus, write_texts

BY_THREADS: dict[str, Callable[[Run, Crew], list[Measurement]]] = {
    "throughput": measure_throughput,
    "latency": measure_latency,
    "explanation": measure_explanations,
    "start": measure_starts,
    "memory": measure_memory,
    "int8": measure_int8,
}
WITH_MOST_THREADS: dict[str, Callable[[Run], list[Measurement]]] = {"growth": measure_growth, "many": measure_many}
PARTS = (*BY_THREADS, *WITH_MOST_THREADS)
OURS_ALONE = ("int8", *WITH_MOST_THREADS)
DOCS = Path(__file__).resolve().parent.parent / "docs"
REPETITIONS = 5
BUSY = 0.3  # load a core above which the figures say more about the other work than about ours


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and short texts, one repetition and one thread unless told otherwise")
    parser.add_argument("--threads", type=positive, nargs="+", metavar="N", help="numbers of threads (default: 1 and, where there are two cores, 2)")
    parser.add_argument("--repetitions", type=positive, metavar="N", help=f"of everything but the many articles (default: {REPETITIONS})")
    parser.add_argument("--articles", type=positive, metavar="N", help=f"of the part many (default: {Sizes().many})")
    parser.add_argument("--model", default="newswire-en", help="name of a shipped model, or a model folder")
    parser.add_argument("--encoder", default=ENCODER, help=f"of the rivals: python:PACKAGE or a folder (default: {ENCODER})")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[], metavar="PART", help=f"some parts: {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="OUT", help="figures (default of a full run: docs/benchmark.json)")
    parser.add_argument("--plot", type=Path, metavar="OUT", help="picture (default of a full run: docs/benchmark.svg)")
    args = parser.parse_args(argv)
    full = not args.quick and not args.only
    args.threads = tuple(sorted(set(args.threads or ([1] if args.quick else [1, min(2, available_cores())]))))
    args.repetitions = args.repetitions or (1 if args.quick else REPETITIONS)
    args.json = args.json or (DOCS / "benchmark.json" if full else None)
    args.plot = args.plot or (DOCS / "benchmark.svg" if full else None)
    if args.plot is not None and args.plot.suffix not in SUFFIXES:
        parser.error(f"--plot must end in one of {', '.join(SUFFIXES)}, got {args.plot}")
    for path in (args.json, args.plot):
        if path is not None and not path.parent.is_dir():
            parser.error(f"{path} can't be written: there is no folder {path.parent}")
    return args


def prepare_run(args: argparse.Namespace, folder: Path, parts: Sequence[str]) -> Run:
    """Writes texts and, where a part needs it, the rivals' model.

    Raises:
        FileNotFoundError: there is no such model of ours.
        RuntimeError: the rivals' encoder can't be had.
    """
    model = find_model(args.model).resolve()
    sizes = QUICK if args.quick else Sizes()
    sizes = replace(sizes, many=args.articles) if args.articles else sizes
    articles = read_corpus()
    texts = make_texts(articles, sizes)
    for name, items in texts.items():
        write_texts(folder, name, items)
    write_texts(folder, "labelled", labelled_texts(articles[: sizes.labelled]))
    if not missing_packages("pipeline-1") and not set(parts) <= set(OURS_ALONE):
        run_child(["-c", f"from pathlib import Path; from training.benchmark_rivals import prepare; prepare({args.encoder!r}, Path({str(folder)!r}))"], 1)
    return Run(folder, model, articles, texts, sizes, args.threads, args.repetitions)


def measure(run: Run, parts: Sequence[str]) -> list[Measurement]:
    """All parts asked for, in the order of `PARTS`, and each by threads."""
    found: dict[str, list[Measurement]] = {part: [] for part in PARTS}
    for threads in run.threads:
        with Crew(run, threads) as crew:
            for part in [part for part in BY_THREADS if part in parts]:
                found[part] += BY_THREADS[part](run, crew)
    for part in [part for part in WITH_MOST_THREADS if part in parts]:
        found[part] += WITH_MOST_THREADS[part](run)
    return [measurement for part in PARTS for measurement in found[part]]


def describe(args: argparse.Namespace, run: Run, machine: dict[str, Any], measurements: Sequence[Measurement]) -> dict[str, Any]:
    """What is written as JSON: the machine, the settings, every measured value, ratios, targets."""
    config = json.loads((run.model / "config.json").read_text(encoding="utf-8"))
    settings = {
        "model": f"{config['name']} {config['version']}", "encoder": Path(args.encoder).name, "repetitions": run.repetitions,
        "threads": run.threads, "quick": args.quick, **asdict(run.sizes), "texts": {name: len(items) for name, items in run.texts.items()},
    }  # fmt: skip
    better = [
        {"part": m.part, "what": m.what, "threads": m.threads, "rival": m.contender, "ours_better_by": asdict(ratio)}
        for m, ratio in ratios(measurements).items()
    ]
    points = growth_points(measurements)
    targets = [{**asdict(target), "met": target.met} for target in find_targets(measurements)]
    return {
        "machine": machine, "settings": settings, "measurements": [asdict(m) for m in measurements], "ratios": better, "targets": targets,
        "growth_slope_of_all_sizes": slopes(points, 0) if len(points) > 1 else None,
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0 whether or not the targets are met, since a slow machine is no error."""
    args = parse(argv)
    machine = describe_machine()
    if machine["load_before"] and machine["load_before"] > BUSY * machine["cores"]:
        say(f"other work runs on this machine (load {machine['load_before']} on {machine['cores']} cores): the figures will be too bad, and uneven")
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            parts = args.only or PARTS
            run = prepare_run(args, Path(folder), parts)
            found = measure(run, parts)
            report = describe(args, run, machine, found)
        if args.json:
            args.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if args.plot and any(m.part in DRAWERS and m.values for m in found):
            draw(found, args.plot)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}{', quick: the figures mean little' * args.quick}\n")
    print(format_table(found), format_targets(find_targets(found)), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
