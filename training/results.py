"""Puts measured figures into the README and the model's card: python -m training.results README.md models/newswire-en/README.md --dev DEV.json --test TEST.json

DEV.json and TEST.json are what `escalation evaluate --json` wrote of the project's own splits (`make results`). The tables go between the marks
`<!-- figures -->` and `<!-- /figures -->`; `--to` keeps the figures themselves, without the texts of mistakes, which are public corpora's.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.benchmark_figures import OURS, Measurement, find_targets, format_table, format_targets, spread

KEPT = ("model", "data", "texts", "sentences", "draws", "figures", "slices", "capabilities", "comparisons", "missing", "largest_gap")
# key, level, words
ROWS = (
    ("direction_f1", "sentences", "Sentence direction, four classes, macro-F1"),
    ("direction_accuracy", "sentences", "… accuracy"),
    ("severity_pearson", "sentences", "Sentence severity, Pearson"),
    ("direction_f1", "texts", "Article direction, four classes, macro-F1"),
    ("severity_pearson", "texts", "Article severity, Pearson"),
    ("span_f1", "sentences", "Highlights, span F1 (IoU ≥ 0.5, direction right)"),
    ("span_exact_f1", "sentences", "… exact offsets"),
    ("span_char_f1", "sentences", "… by character"),
    ("status_accuracy", "sentences", "Status right on matched highlights"),
    ("evidence_auprc", "sentences", "Token evidence against gold phrases, area under precision–recall"),
    ("event_binary_f1", "texts", "PLOVER, macro-F1: binary"),
    ("event_quad_f1", "texts", "… quad class"),
    ("event_root_f1", "texts", "… root (15)"),
    ("event_ece", "texts", "… root, expected calibration error"),
    ("scope_false_alarm", "texts", "Sport, business and science called in scope"),
    ("direction_false_alarm", "texts", "… given a direction"),
    ("ece", "sentences", "Expected calibration error"),
    ("brier", "sentences", "Brier score"),
    ("interval_coverage", "texts", "90 % interval holds the article's severity"),
    ("faithfulness_ratio", "texts", "Fall of the score without the highlighted words, times that of random words"),
)  # fmt: skip
SHOWN_PARTS = ("throughput", "explanation", "cold start", "import", "memory")  # of the benchmark, at the largest number of threads
MANY_ARTICLES = 1e8
DOLLARS = 0.05  # about the list price of a general-purpose machine's thread for an hour at the large clouds


def find(report: Mapping[str, Any], key: str, level: str) -> Mapping[str, Any] | None:
    """A figure of a report; None where it was not measured."""
    return next((f for f in report["figures"] if (f["key"], f["level"]) == (key, level)), None)


def number(value: float | None) -> str:
    """Three decimals, one from 10 on; a dash where there is none."""
    return "–" if value is None else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def with_interval(figure: Mapping[str, Any] | None) -> str:
    """`0.712 [0.690, 0.731]`."""
    return "–" if figure is None else f"{number(figure['value'])} [{number(figure['low'])}, {number(figure['high'])}]"


def figures_table(dev: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    """Dev and test figures with intervals, and those of the baselines on dev."""
    others = {c["model"]: {(d["key"], d["level"]): d["theirs"] for d in c["differences"]} for c in dev["comparisons"]}
    lines = [f"| figure | dev | test | {' | '.join(f'{name}, dev' for name in others)} |", "|---|---|---|" + "---|" * len(others)]
    for key, level, words in ROWS:
        if (found := find(dev, key, level)) is not None:
            theirs = " | ".join(number(values.get((key, level))) for values in others.values())
            lines.append(f"| {words} | {with_interval(found)} | {with_interval(find(test, key, level))} | {theirs} |")
    return "\n".join(lines)


def sources_table(dev: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    """Direction and phrases by where the sentences come from."""
    lines = ["| sentences of | dev: direction, phrases | test: direction, phrases |", "|---|---|---|"]

    def cells(report: Mapping[str, Any], value: str) -> str:
        part = next((s for s in report["slices"] if (s["field"], s["value"], s["level"]) == ("source", value, "sentences")), None)
        return "–" if part is None else f"{with_interval(part['direction'])}, {with_interval(part['spans'])} ({part['count']})"

    values = sorted({s["value"] for s in dev["slices"] if (s["field"], s["level"]) == ("source", "sentences") and s["spans"]})
    return "\n".join(lines + [f"| {value} | {cells(dev, value)} | {cells(test, value)} |" for value in values])


def behaviour_table(report: Mapping[str, Any]) -> str:
    """Failure rates of the behaviour suite."""
    lines = ["| capability | failed | rate, 95 % interval |", "|---|---|---|"]
    for c in report["capabilities"]:
        lines.append(f"| {c['name']} | {c['failed']} of {c['count']} | {c['failed'] / c['count']:.0%} [{c['low']:.0%}, {c['high']:.0%}] |")
    failed, count = (sum(c[key] for c in report["capabilities"]) for key in ("failed", "count"))
    return "\n".join([*lines, f"| all | {failed} of {count} | {failed / max(1, count):.0%} |"])


def names_text(names: Mapping[str, Any]) -> str:
    """What other names change (`python -m training.invariance`)."""
    deviation = f"{names['mean_spread']:.3f} on average, {names['p95_spread']:.3f} at the 95th percentile"
    return (
        f"Names: {names['sentences']} dev sentences of the corpus, each with {names['fillings']} fillings of its countries, people and places. "
        f"Standard deviation of the score: {deviation}. The label changes under some filling in {names['label_changes']:.0%}. "
        f"The country that moves the score most moves it by {names['largest_country_deviation']:.3f} on average."
    )


def tables(dev: Mapping[str, Any], test: Mapping[str, Any], names: Mapping[str, Any] | None = None) -> str:
    """Everything that goes between the marks."""
    return "\n\n".join(
        [
            f"`{dev['model']}`, 95 % bootstrap intervals over texts.",
            figures_table(dev, test),
            "By source (macro-F1 of the direction, span F1; sentences):",
            sources_table(dev, test),
            "Behaviour suite:",
            behaviour_table(dev),
            *([names_text(names)] if names else []),
        ]
    )


def speed_text(*benchmarks: Mapping[str, Any]) -> str:
    """What `training.benchmark` wrote on one machine or several, as tables; of the first also what everyone took."""
    return "\n\n".join(machine_text(benchmark, whole=benchmark is benchmarks[0]) for benchmark in benchmarks)


def machine_text(benchmark: Mapping[str, Any], *, whole: bool) -> str:
    """The machine, what everyone took with the most threads (where `whole`), the targets, what an archive would cost."""
    measurements = [Measurement(**{**m, "values": tuple(m["values"])}) for m in benchmark["measurements"]]
    most = max(m.threads for m in measurements)
    settings, machine = benchmark["settings"], benchmark["machine"]
    shown = [m for m in measurements if m.threads == most and m.part in SHOWN_PARTS]
    ours = next(m for m in shown if (m.part, m.what, m.contender) == ("throughput", "articles", OURS))
    hours = MANY_ARTICLES / spread(ours.values).median / 3600
    length = settings["texts"]["sentences"] / settings["texts"]["articles"]
    archive = (
        f"At this rate {MANY_ARTICLES / 1e6:.0f} million articles of {length:.0f} sentences take {hours:,.0f} hours of such a machine; "
        f"at {DOLLARS} US dollars a thread and hour, about {hours * most * DOLLARS:,.0f} dollars. Reading and writing files comes on top."
    )
    instructions = ", ".join(machine["int8_instructions"]) or "none"
    return "\n\n".join(
        [
            f"`{settings['model']}`, {machine['cpu']} (instructions for int8: {instructions}), {most} threads, {settings['repetitions']} repetitions: "
            "median and range.",
            *([format_table(shown)] if whole else []),
            "Targets:",
            format_targets(find_targets(measurements)),
            archive,
        ]
    )


def rewrite(text: str, content: str, name: str, mark: str = "figures") -> str:
    """The text with other content between `<!-- mark -->` and `<!-- /mark -->`.

    Raises:
        ValueError: the marks are missing.
    """
    marks = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"{name} lacks the marks <!-- {mark} --> and <!-- /{mark} -->")
    return marks.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.results", description=__doc__)
    parser.add_argument("documents", type=Path, nargs="+", help="Markdown files with the marks")
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--names", type=Path, help="what training.invariance printed")
    parser.add_argument(
        "--benchmark", type=Path, nargs="+", default=[], help="what training.benchmark wrote; goes into the documents that have the marks <!-- speed -->"
    )
    parser.add_argument("--to", type=Path, help="JSON file that keeps the figures")
    args = parser.parse_args(argv)
    dev, test = (json.loads(path.read_text(encoding="utf-8")) for path in (args.dev, args.test))
    names = json.loads(args.names.read_text(encoding="utf-8")) if args.names else None
    content = tables(dev, test, names)
    try:
        written = {path: rewrite(path.read_text(encoding="utf-8"), content, str(path)) for path in args.documents}
        if args.benchmark:
            speed = speed_text(*(json.loads(path.read_text(encoding="utf-8")) for path in args.benchmark))
            written |= {path: rewrite(text, speed, str(path), "speed") for path, text in written.items() if "<!-- speed -->" in text}
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
    if args.to:
        kept = {name: {key: report[key] for key in KEPT} for name, report in (("dev", dev), ("test", test))}
        args.to.write_text(json.dumps({**kept, **({"names": names} if names else {})}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
