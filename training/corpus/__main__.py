"""`python -m training.corpus`: check, add, show and count the labelled articles."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from training.corpus.markup import MarkupError, format_article, parse_articles
from training.corpus.schema import ARTICLES, Article, read_articles, scan_articles, write_articles
from training.corpus.standoff import StandoffPhrase, StandoffUnit, parse_draft, write_units
from training.corpus.validate import problems
from training.corpus.variety import distinct_openings, minimal_pairs, repeated_runs, wordings


def load(paths: list[Path]) -> tuple[list[Article], list[str]]:
    """Articles of JSON Lines files, folders and drafts in markup, with the problems of reading them."""
    articles: list[Article] = []
    found: list[str] = []
    for path in paths:
        if path.is_dir() or path.suffix == ".jsonl":
            items: Iterable[Article | ValueError] = scan_articles(path)
        else:
            items = (
                MarkupError(f"{path.name}: {item}") if isinstance(item, MarkupError) else item
                for item in parse_articles(path.read_text(encoding="utf-8"), path.stem)
            )
        for item in items:
            if isinstance(item, ValueError):
                found.append(str(item))
            else:
                articles.append(item)
    return articles, found


def stats(articles: list[Article]) -> str:
    """Counts that tell how large and how varied the corpus is."""
    sentences = [sentence for article in articles for sentence in article.sentences]
    phrases = [phrase for sentence in sentences for phrase in sentence.phrases]
    rows = [
        ("articles", str(len(articles))),
        ("in scope", str(sum(article.in_scope for article in articles))),
        ("scenarios", str(len({article.scenario for article in articles}))),
        ("sentences", str(len(sentences))),
        ("phrases", str(len(phrases))),
        ("out of scope or without news", str(sum(not a.in_scope or a.label == "neutral" for a in articles))),
        ("de-escalation sentences", str(sum(s.de_escalation for s in sentences))),
        ("mixed sentences", str(sum(s.direction == "mixed" for s in sentences))),
        ("minimal pairs", str(minimal_pairs(articles))),
        ("wordings of restraint", str(wordings(articles, "restrain"))),
        ("five-word runs seen in another scenario", f"{repeated_runs(articles):.1%}"),
        ("articles with an opening of their own", f"{distinct_openings(articles):.1%}"),
    ]
    for name, counter in (
        ("article label", Counter(a.label for a in articles)),
        ("voice", Counter(a.voice for a in articles)),
        ("direction", Counter(s.direction if s.in_scope else "out of scope" for s in sentences)),
        ("signal", Counter(p.signal for p in phrases)),
        ("status", Counter(p.status for p in phrases)),
    ):
        rows.append((name, ", ".join(f"{key} {count}" for key, count in counter.most_common())))
    return "\n".join(f"{name:40} {value}" for name, value in rows)


def count(args: argparse.Namespace) -> int:
    """Prints the counts, and draws them."""
    articles = load(args.paths)[0]
    print(stats(articles))
    if args.plots:
        from training.corpus.plots import plot_corpus

        plot_corpus(articles, args.plots)
    return 0


def check(args: argparse.Namespace) -> int:
    """Prints every problem; exit code 1 if there is one."""
    articles, found = load(args.paths)
    found += problems(articles)
    print("\n".join([*found, f"{len(articles)} articles, {sum(len(a.sentences) for a in articles)} sentences, {len(found)} problems"]))
    return int(bool(found))


def check_standoff(args: argparse.Namespace) -> int:
    """Checks drafted stand-off labels against the text they label."""
    texts = dict(line.split("\t", 1) for line in args.text.read_text(encoding="utf-8").splitlines())
    items = list(parse_draft(args.draft, texts))
    errors = [item for item in items if isinstance(item, MarkupError)]
    print("\n".join([*map(str, errors), f"{len(items) - len(errors)} units of {len(texts)}, {len(errors)} problems"]))
    return int(bool(errors))


def add(args: argparse.Namespace) -> int:
    """Writes drafts to a JSON Lines file; an article whose id is there already is replaced. Nothing is written while a problem is open."""
    new, found = load(args.paths)
    kept = [a for a in read_articles(args.to) if a.id not in {n.id for n in new}] if args.to.exists() else []
    found += problems(kept + new)
    if found:
        print("\n".join([*found, f"{len(found)} problems; nothing was written"]), file=sys.stderr)
        return 1
    write_articles(kept + new, args.to)
    print(f"{args.to}: {len(new)} articles written, {len(kept)} kept")
    return 0


def add_standoff(args: argparse.Namespace) -> int:
    """Writes drafted stand-off labels to JSON Lines: ids and offsets, no text. Nothing is written while a problem is open."""
    texts = dict(line.split("\t", 1) for line in args.text.read_text(encoding="utf-8").splitlines())
    rows = {row["id"]: row for row in map(json.loads, args.rows.read_text(encoding="utf-8").splitlines())}
    units: list[StandoffUnit] = []
    errors: list[str] = []
    for item in parse_draft(args.draft, texts):
        if isinstance(item, MarkupError):
            errors.append(str(item))
            continue
        unit, sentence = item
        row, _, part = unit.partition("#")
        if row not in rows:
            continue
        name = "title" if part == "t" else "text"
        start = rows[row][name].find(sentence.text)
        if start < 0:
            errors.append(f"{unit}: its text is not in the row's {name}")
            continue
        phrases = tuple(StandoffPhrase(start + p.start, start + p.end, p.signal, p.status, p.severity) for p in sentence.phrases)
        units.append(
            StandoffUnit(
                args.corpus, row, name, start, start + len(sentence.text), sentence.escalation, sentence.de_escalation, sentence.severity,
                sentence.in_scope, phrases, args.second,
            )
        )  # fmt: skip
    if errors:
        print("\n".join([*errors, f"{len(errors)} problems; nothing was written"]), file=sys.stderr)
        return 1
    write_units(units, args.to)
    print(f"{args.to}: {len(units)} units written")
    return 0


def agreement(args: argparse.Namespace) -> int:
    """Prints how far second labellings agree with the first."""
    from training.corpus.agreement import article_pairs, compare, standoff_pairs
    from training.corpus.gold import compare_with_gold

    count, ours, theirs = article_pairs()
    print(f"articles: {count} of {sum(1 for _ in read_articles(ARTICLES))} labelled twice\n{compare(ours, theirs)}")
    if args.corpora:
        for corpus, (ours, theirs) in standoff_pairs(args.corpora).items():
            print(f"{corpus}: {len(ours)} sentences labelled twice\n{compare(ours, theirs)}")
        for corpus in ("plv", "cameo-train", "cameo-test"):
            found, differing = compare_with_gold(args.corpora, corpus=corpus)
            print(f"{corpus} against its gold labels\n{found}\nthe other side: {' '.join(differing)}")
    return 0


def duplicates(args: argparse.Namespace) -> int:
    """Prints near-duplicates across the splits and against evaluation sets; exit code 1 if there is one."""
    from training.corpus.duplicates import find_straddling, labelled_texts, read_evaluation
    from training.data import load_dataset
    from training.unlabelled import add_unlabelled

    dataset = load_dataset(args.corpora)
    texts = labelled_texts(add_unlabelled(dataset, args.corpora) if args.corpora else dataset)
    for path in args.against:
        texts += read_evaluation(path)
    found = find_straddling(texts)
    print("\n".join([*(f"{a} ({s}) and {b} ({t})" for a, s, b, t in found), f"{len(texts)} texts, {len(found)} near-duplicates across splits"]))
    return int(bool(found))


def sample(args: argparse.Namespace) -> int:
    """Prints a random article with names filled in and its labels marked, as the scorer would show it."""
    from escalation.render import to_page, to_terminal
    from training.corpus.reader import labelled_score

    rng = random.Random(args.seed)
    article = rng.choice(list(read_articles(ARTICLES)))
    result = labelled_score(article, rng.random())
    print(f"{article.id}  {article.voice}, {article.year}, {article.scenario}\n")
    print(to_terminal(result, colour=sys.stdout.isatty()))
    if args.html:
        args.html.write_text(to_page([(article.id, result)]), encoding="utf-8")
    return 0


def export(args: argparse.Namespace) -> int:
    """Writes a split as one labelled file for `escalation evaluate`."""
    from training.corpus.export import write_split
    from training.data import load_dataset

    print(f"{args.out}: {write_split(load_dataset(args.corpora), args.split, args.out)} texts")
    return 0


def show(args: argparse.Namespace) -> int:
    """Prints an article as markup."""
    for article in read_articles(ARTICLES):
        if article.id == args.id:
            print(format_article(article), end="")
            return 0
    print(f"no article has the id {args.id!r}", file=sys.stderr)
    return 1


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.corpus", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, function, text in (("check", check, "validate"), ("add", add, "write drafts to JSON Lines"), ("stats", count, "count")):
        command = commands.add_parser(name, help=text)
        command.add_argument("paths", nargs="*", type=Path, default=[ARTICLES], help="drafts, JSON Lines files or folders")
        command.set_defaults(run=function)
        if name == "stats":
            command.add_argument("--plots", type=Path, metavar="OUT", help="also draw the counts (PNG, SVG or PDF)")
        if name == "add":
            command.add_argument("--to", type=Path, required=True, help="JSON Lines file to write")
    command = commands.add_parser("agreement", help="how far the second labellers agree with the first")
    command.add_argument("--corpora", type=Path, help="folder with the public corpora, to compare the stand-off labels too")
    command.set_defaults(run=agreement)
    command = commands.add_parser("duplicates", help="near-duplicates across the splits and against evaluation sets")
    command.add_argument("--corpora", type=Path, help="folder with the public corpora, to look at them too")
    command.add_argument("--against", type=Path, action="append", default=[], help="JSON Lines file that measures; may be given again")
    command.set_defaults(run=duplicates)
    command = commands.add_parser("sample", help="print a random article with its marks")
    command.add_argument("--seed", type=int, help="the same number gives the same article")
    command.add_argument("--html", type=Path, help="also write it as a page")
    command.set_defaults(run=sample)
    command = commands.add_parser("export", help="write a split as one labelled file for escalation evaluate")
    command.add_argument("out", type=Path, help="JSON Lines file to write; it holds public text, so don't commit it")
    command.add_argument("--split", choices=("train", "dev", "test"), default="dev")
    command.add_argument("--corpora", type=Path, help="folder with the public corpora; without it the project's own articles alone")
    command.set_defaults(run=export)
    command = commands.add_parser("show", help="print an article as markup")
    command.add_argument("id")
    command.set_defaults(run=show)
    command = commands.add_parser("check-standoff", help="validate drafted labels of public text")
    command.add_argument("draft", type=Path)
    command.add_argument("--text", type=Path, required=True, help="TSV: id, text")
    command.set_defaults(run=check_standoff)
    command = commands.add_parser("add-standoff", help="write drafted labels of public text as ids and offsets")
    command.add_argument("draft", type=Path)
    command.add_argument("--text", type=Path, required=True, help="TSV: id, text")
    command.add_argument("--rows", type=Path, required=True, help="the public corpus, JSON Lines")
    command.add_argument("--corpus", required=True, help="name of the corpus in training/sources.py")
    command.add_argument("--to", type=Path, required=True, help="JSON Lines file to write")
    command.add_argument("--second", action="store_true", help="labels of a second labeller, which measure agreement")
    command.set_defaults(run=add_standoff)
    args = parser.parse_args(argv)
    return int(args.run(args))


if __name__ == "__main__":
    sys.exit(main())
