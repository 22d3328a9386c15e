"""`escalation evaluate` and `escalation recalibrate`: thin commands over `evaluate` and `recalibrate`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

OK, FAILED, USAGE = 0, 1, 2
NEEDS = 'escalation evaluate and recalibrate need the extra "evaluate" ({missing} is missing); install it with: pip install "escalation[evaluate]"'


def pair(text: str) -> tuple[str, str]:
    """`YOURS=NAME`."""
    left, equals, right = text.partition("=")
    if not equals or not left or not right:
        raise argparse.ArgumentTypeError(f"must be YOURS=NAME, got {text!r}")
    return left, right


def add_input(command: argparse.ArgumentParser) -> None:
    """Options that say how a labelled file is to be read."""
    command.add_argument("labelled", metavar="LABELLED", type=Path, help="labelled file: .jsonl, .csv, .tsv or .parquet")
    command.add_argument(
        "--column", type=pair, action="append", default=[], metavar="YOURS=NAME", help="a column of yours and the name it stands for (text, label …)"
    )
    command.add_argument("--label", type=pair, action="append", default=[], metavar="YOURS=LABEL", help="a value of yours and the label it stands for")
    command.add_argument(
        "--out-of-scope", type=pair, metavar="COLUMN=VALUE,…", help="rows with these values are labelled out of scope, such as topic=sports,business"
    )
    command.add_argument("--model", default="newswire-en", help="name of a shipped model, a model folder, or (evaluate) a baseline such as baseline:vader")


def read_input(args: argparse.Namespace) -> dict[str, Any]:
    """These options as keyword arguments."""
    outside = args.out_of_scope
    return {
        "column_mapping": dict(args.column), "label_mapping": dict(args.label), "model": args.model,
        "out_of_scope": None if outside is None else (outside[0], tuple(outside[1].split(","))),
    }  # fmt: skip


def run_evaluate(args: argparse.Namespace) -> int:
    """`escalation evaluate`."""
    try:
        from escalation.evaluation import evaluate

        bar = sys.stderr.isatty()
        given = read_input(args)
        if args.screen:
            from escalation.scorer import load

            given["model"] = load(args.model, screen=True)
        report = evaluate(
            args.labelled, against=args.against, train=args.train, patterns=args.patterns, behaviour=not args.no_behaviour, draws=args.draws, seed=args.seed,
            show_progress_bar=bar, **given,
        )  # fmt: skip
        print(report.to_terminal())
        for path, content in ((args.report, report.to_html), (args.json, lambda: json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n")):
            if path:
                path.write_text(content(), encoding="utf-8")
    except (ValueError, OSError, ModuleNotFoundError) as error:
        return complain(error)
    return OK


def run_recalibrate(args: argparse.Namespace) -> int:
    """`escalation recalibrate`."""
    try:
        from escalation.evaluation.recalibrate import recalibrate

        done = recalibrate(args.labelled, args.output, **read_input(args))
    except (ValueError, OSError, ModuleNotFoundError) as error:
        return complain(error)
    print(f"{done.folder}: fitted")
    print("\n".join(f"  {text}" for text in done.fitted))
    if done.kept:
        print("kept as it was, for want of labels\n" + "\n".join(f"  {text}" for text in done.kept))
    return OK


def complain(error: Exception) -> int:
    """Prints an error; returns the exit code."""
    text: object = error
    if isinstance(error, ModuleNotFoundError) and error.name:
        text = NEEDS.format(missing=error.name)
    elif isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    print(f"error: {text}", file=sys.stderr)
    return USAGE


def add_commands(commands: Any) -> None:
    """Adds both commands to the command line."""
    evaluate = commands.add_parser("evaluate", help="measure a model on labelled text", epilog="exit codes: 0 measured, 2 faulty data, wrong use or no model")
    add_input(evaluate)
    evaluate.add_argument("--against", action="append", default=[], metavar="MODEL", help="another model or baseline: paired differences; may be given again")
    evaluate.add_argument("--screen", action="store_true", help="read through the model's screen; with --against the same model: what the screen costs")
    evaluate.add_argument("--report", type=Path, metavar="OUT.html", help="also write a page with tables and plots")
    evaluate.add_argument("--json", type=Path, metavar="OUT", help="also write every figure as JSON")
    evaluate.add_argument("--train", type=Path, metavar="LABELLED", help="labelled file that baseline:tfidf and baseline:majority learn from")
    evaluate.add_argument("--patterns", type=Path, metavar="FILE", help="PETRARCH's verb dictionary, for baseline:petrarch")
    evaluate.add_argument("--no-behaviour", action="store_true", help="leave the behaviour suite out")
    evaluate.add_argument("--draws", type=int, default=1000, help="of the bootstrap (default: %(default)s)")
    evaluate.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")
    evaluate.set_defaults(run=run_evaluate)
    recalibrate = commands.add_parser("recalibrate", help="fit a model's probabilities, thresholds and intervals to your labels")
    add_input(recalibrate)
    recalibrate.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL", help="model folder to write; must not exist")
    recalibrate.set_defaults(run=run_recalibrate)
