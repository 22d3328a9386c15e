"""The `escalation` command."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TextIO

from escalation import __version__
from escalation.evaluation.command import add_commands
from escalation.result import Score

OK, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
SCREEN_HELP = "pass over texts whose words show no political or armed actor: faster on mixed news, at a small loss of recall"


def read_text(name: str) -> str:
    """The text of a file, or of standard input for `-`.

    Raises:
        ValueError: not UTF-8; the message gives the byte.
        OSError: can't be read.
    """
    raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        remedy = "convert it first, for example: iconv -f windows-1252 -t utf-8"
        raise ValueError(f"is not UTF-8 (byte 0x{raw[error.start]:02x} at {error.start}); {remedy}") from error


def wants_colour(stream: TextIO, choice: str) -> bool:
    """Whether to colour: as told, else on a terminal unless NO_COLOR (no-color.org) is set."""
    if choice != "auto":
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def report(name: str, score: Score, *, as_json: bool, colour: bool, heading: bool) -> None:
    """Prints one result."""
    if as_json:
        print(json.dumps({"file": name, **score.to_dict()}, ensure_ascii=False))
        return
    from escalation.render import to_terminal

    if heading:
        print(f"== {name}")
    print(to_terminal(score, colour=colour))


def run_score(args: argparse.Namespace) -> int:
    """`escalation score`: scores files; a bad one is reported and the others are scored."""
    from escalation.scorer import load

    if args.files.count("-") > 1:
        print("error: standard input (-) can be read once, not twice", file=sys.stderr)
        return USAGE
    try:
        scorer = load(args.model, threads=args.threads, screen=args.screen)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    colour, failed = wants_colour(sys.stdout, args.color), 0
    scored: list[tuple[str, Score]] = []
    for name in args.files:
        try:
            result = scorer.score(read_text(name))
        except (ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            print(f"error: {name}: {reason}", file=sys.stderr)
            failed += 1
            continue
        report(name, result, as_json=args.json, colour=colour, heading=len(args.files) > 1)
        scored.append((name, result))
    if failed:
        print(f"{failed} of {len(args.files)} files could not be scored", file=sys.stderr)
    written = write_outputs(args, scored)
    return SOME_FAILED if failed or not written else OK


def write_outputs(args: argparse.Namespace, scored: list[tuple[str, Score]]) -> bool:
    """Writes the files asked for with --html and --svg; False where one can't be written."""
    from escalation.render import to_page, to_svg

    outputs = []
    if args.html:
        outputs.append((args.html, to_page(scored)))
    if args.svg and scored:
        outputs.append((args.svg, to_svg(scored[0][1])))
    for path, content in outputs:
        try:
            path.write_text(content, encoding="utf-8")
        except OSError as error:
            print(f"error: {path} can't be written: {error.strerror}", file=sys.stderr)
            return False
    return True


def run_batch(args: argparse.Namespace) -> int:
    """`escalation batch`: scores files of articles."""
    options = {
        "text_column": args.text, "id_column": args.id, "level": args.level, "prefix": args.prefix, "model": args.model, "threads": args.threads,
        "screen": args.screen, "input_format": args.input_format, "output_format": args.format, "overwrite": args.overwrite,
        "show_progress_bar": sys.stderr.isatty(),
    }  # fmt: skip
    again = "" if args.output == "-" else "; what is done is kept, and the same command goes on from there"
    try:
        if args.engine == "ray":
            from escalation.batch.cluster import score_files_on_ray

            done = score_files_on_ray(args.inputs, args.output, address=args.address, workers=args.workers, **options)
        else:
            from escalation.batch import score_files

            done = score_files(args.inputs, args.output, **options)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        print(f"stopped{again}", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        failed = isinstance(error, OSError) and not isinstance(error, (FileNotFoundError, FileExistsError))
        return SOME_FAILED if failed else USAGE
    print(done.summary(), file=sys.stderr)
    return OK


def run_models(_: argparse.Namespace) -> int:
    """`escalation models`: the shipped models."""
    from escalation.model import check_integrity, shipped_models

    failed = False
    for name, folder in shipped_models().items():
        try:
            config = check_integrity(folder)
            size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
            print(f"{name}\t{config['version']}\t{config['language']}\t{size:.1f} MB\t{folder}")
        except (ValueError, OSError) as error:
            failed = True
            print(f"error: {name}: {error}", file=sys.stderr)
    return SOME_FAILED if failed else OK


def add_batch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The options of `escalation batch`."""
    batch = commands.add_parser(
        "batch", help="score files of articles: JSON Lines, CSV, Parquet",
        description="Scores files of articles, a row each. Stopped at any moment and given again, the same command goes on where it was.",
        epilog="exit codes: 0 done (broken rows are in OUT.rejects.jsonl), 1 a file could not be read or written on, 2 wrong use or no model, 130 stopped",
    )  # fmt: skip
    batch.add_argument("inputs", nargs="+", metavar="IN", help="file, folder or pattern; .jsonl, .csv, .parquet, also .gz and .zst; - is standard input")
    batch.add_argument("-o", "--output", required=True, metavar="OUT", help="file, its format by suffix; - is standard output; with --engine ray a folder")
    batch.add_argument("--text", default="text", metavar="COLUMN", help="column that holds the article (default: text)")
    batch.add_argument("--id", metavar="COLUMN", help="column that each row must have; like all columns it is kept")
    batch.add_argument("--level", choices=("article", "sentence", "highlight"), default="article", help="what a row of the output is (default: article)")
    batch.add_argument("--prefix", default="", help="put before the names of our columns, for inputs that have columns of the same name")
    batch.add_argument("--input-format", metavar="FORMAT", help="jsonl, csv or parquet, where the suffix does not say")
    batch.add_argument("--format", metavar="FORMAT", help="the same for the output")
    batch.add_argument("--overwrite", action="store_true", help="replace an output that is there; forget another command's journal")
    batch.add_argument("--model", default="newswire-en", help="name of a shipped model, or a model folder")
    batch.add_argument("--threads", type=int, help="threads for the network (default: all cores)")
    batch.add_argument("--screen", action="store_true", help=SCREEN_HELP)
    batch.add_argument("--engine", choices=("local", "ray"), default="local", help="where to run: here, or on a Ray cluster")
    batch.add_argument("--address", help="of the Ray cluster (default: the one this machine is in, else a local one)")
    batch.add_argument("--workers", type=int, help="most workers on the cluster (default: as many as it has room for)")
    batch.set_defaults(run=run_batch)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="escalation", description="Reads news: is a dispute heating up or cooling down, and which words say so?")
    top.add_argument("--version", action="version", version=f"escalation {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    score = commands.add_parser(
        "score", help="score articles and mark their phrases",
        epilog="exit codes: 0 all scored, 1 a file could not be read, scored or written, 2 wrong use or no model",
    )  # fmt: skip
    score.add_argument("files", nargs="+", metavar="FILE", help="text file (UTF-8); - is standard input")
    score.add_argument("--json", action="store_true", help="one JSON object a file and line")
    score.add_argument("--html", type=Path, metavar="OUT", help="also write the marked articles as an HTML page")
    score.add_argument("--svg", type=Path, metavar="OUT", help="also write the first article as a picture")
    score.add_argument("--model", default="newswire-en", help="name of a shipped model, or a model folder")
    score.add_argument("--threads", type=int, help="threads for the network (default: all cores)")
    score.add_argument("--screen", action="store_true", help=SCREEN_HELP)
    score.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="colour the terminal (default: where it is one)")
    score.set_defaults(run=run_score)
    add_batch(commands)
    add_commands(commands)
    models = commands.add_parser("models", help="list the shipped models")
    models.set_defaults(run=run_models)
    return top


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parser().parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    try:
        return int(args.run(args))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


if __name__ == "__main__":
    sys.exit(main())
