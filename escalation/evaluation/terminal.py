"""A report as a table in the terminal."""

from __future__ import annotations

from escalation.evaluation.report import GROUPS, LEVELS, Figure, Report
from escalation.signals import LABELS

TITLES = {"texts": "texts as a whole", "sentences": "sentences"}


def number(value: float) -> str:
    """Three decimals; a dash for what is undefined."""
    return "–" if value != value else f"{value:.3f}"


def figure_line(figure: Figure) -> str:
    """Title, value, interval, count."""
    return f"  {figure.title:58} {number(figure.value):>7}   [{number(figure.low)}, {number(figure.high)}]   {figure.count:>6}"


def confusion_lines(confusion: tuple[tuple[int, ...], ...]) -> list[str]:
    """The confusion matrix."""
    head = "  gold \\ predicted " + "".join(f"{name:>15}" for name in LABELS)
    return [head, *(f"  {name:17}" + "".join(f"{count:>15}" for count in row) for name, row in zip(LABELS, confusion, strict=True))]


def to_terminal(report: Report) -> str:
    """The report's figures, tables and what it could not measure."""
    lines = [f"{report.model} on {report.data}: {report.texts} texts, {report.sentences} labelled sentences; 95 % intervals, {report.draws} draws of texts"]
    for level in LEVELS:
        figures = [figure for group in GROUPS for figure in report.figures if (figure.group, figure.level) == (group, level)]
        if figures:
            lines += ["", f"{TITLES[level].upper():60} {'value':>7}   {'95 % interval':16}   {'cases':>6}", *map(figure_line, figures)]
        for tables in report.levels:
            if tables.name == level and tables.confusion:
                lines += ["", *confusion_lines(tables.confusion)]
    if any(figure.key == "event_root_f1" for figure in report.figures):
        from escalation.evaluation.report import PUBLISHED

        lines += ["", "PUBLISHED ON THE PLV TEST SET (per cent)                        binary    quad    root"]
        lines += [f"  {p.system + ', ' + p.size:58} {p.binary:>9.1f} {p.quad:>7.1f} {p.root:>7.1f}" for p in PUBLISHED]
    if report.capabilities:
        lines += ["", f"{'BEHAVIOUR':40} {'failed':>12} {'rate':>8}   95 % interval"]
        lines += [f"  {c.name:38} {c.failed:>5} of {c.count:>3} {c.rate:>8.1%}   [{c.low:.1%}, {c.high:.1%}]" for c in report.capabilities]
    for comparison in report.comparisons:
        lines += ["", f"AGAINST {comparison.model:52} {'ours':>7} {'theirs':>8} {'difference':>11}"]
        lines += [
            f"  {d.level + ': ' + d.title:58} {number(d.ours):>7} {number(d.theirs):>8} {d.value:>+11.3f}   [{d.low:+.3f}, {d.high:+.3f}]"
            for d in comparison.differences
        ]
    if report.largest_gap is not None:
        lines += ["", f"Highlights' scores add up to the text's score: largest difference {report.largest_gap:.1e}"]
    if report.missing:
        lines += ["", "NOT MEASURED", *(f"  {text}" for text in report.missing)]
    return "\n".join(lines)
