"""A report as one self-contained page: no script, no network, light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from escalation.evaluation.plots import plot_behaviour, plot_confusion, plot_reliability, plot_risk
from escalation.evaluation.report import GROUPS, PUBLISHED, ClassFigures, Comparison, Figure, Level, Mistake, Report, Slice
from escalation.evaluation.terminal import TITLES, number
from escalation.render import CSS as MARKS

CSS = """
:root{--ink:#1c1d1f;--paper:#fbfaf8;--card:#fff;--line:#dedbd5;--faint:#8a8781;--up:#b3261e;--down:#1b6e34;--bar:#e9e6e0}
@media(prefers-color-scheme:dark){:root{--ink:#e8e6e3;--paper:#15171a;--card:#1d2024;--line:#363a40;--faint:#8f959c;--up:#ff8a7a;--down:#7ad196;--bar:#2a2e34}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);
background:var(--paper);margin:0 auto;max-width:68rem;padding:2rem 1.2rem 5rem}
h1{font-size:1.7rem;margin:0 0 .2rem}h2{font-size:1.2rem;margin:2.6rem 0 .7rem;border-bottom:1px solid var(--line);padding-bottom:.3rem}
h3{font-size:1rem;margin:1.4rem 0 .5rem}
p.lead{color:var(--faint);margin:.2rem 0 1.2rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:600;text-align:left;color:var(--faint);font-size:.85rem}
td,th{padding:.28rem .6rem .28rem 0;border-bottom:1px solid var(--line);vertical-align:baseline}
td.n,th.n{text-align:right;white-space:nowrap}td.i{color:var(--faint);white-space:nowrap}
.range{display:block;position:relative;height:.55rem;background:var(--bar);border-radius:3px;min-width:9rem}
.range i{position:absolute;top:0;bottom:0;background:var(--faint);opacity:.55;border-radius:3px}
.range b{position:absolute;top:-2px;bottom:-2px;width:3px;background:var(--ink);border-radius:2px}
.plots{display:flex;flex-wrap:wrap;gap:1rem}.plots>div,.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem}
.plots svg{display:block;max-width:100%;height:auto}
.wide{overflow-x:auto}
.heads{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}
.heads div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem 1rem;flex:1 1 11rem}
.heads b{display:block;font-size:1.6rem;font-variant-numeric:tabular-nums}.heads span{color:var(--faint);font-size:.85rem}
.card{margin:.7rem 0}
.card p{margin:.2rem 0}
.small{font-size:.88rem;color:var(--faint)}
.esc{background:none!important;color:inherit!important;padding:.2rem 0!important}
details summary{cursor:pointer;margin:.6rem 0}
ul{padding-left:1.2rem}
@media print{body{max-width:none}}
"""
HEADLINES = (("direction_f1", "sentences"), ("direction_f1", "texts"), ("span_f1", "sentences"), ("severity_pearson", "texts"), ("event_root_f1", "texts"),
             ("scope_false_alarm", "texts"), ("ece", "texts"), ("faithfulness_ratio", "texts"))  # fmt: skip


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *, numbers: int = 0) -> str:
    """A table; cells are HTML already; the last `numbers` columns are right-aligned."""
    names = list(head)
    first = len(names) - numbers

    def cells(tag: str, values: Iterable[str]) -> str:
        return "".join(f"<{tag}{' class=n' if place >= first else ''}>{value}</{tag}>" for place, value in enumerate(values))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells("th", names)}</tr></thead><tbody>{body}</tbody></table></div>'


def value_with_interval(figure: Figure | None) -> str:
    """`0.712 [0.68, 0.74]`."""
    if figure is None:
        return "–"
    return f'{number(figure.value)} <span class="small">[{number(figure.low)}, {number(figure.high)}]</span>'


def range_bar(figure: Figure) -> str:
    """The interval drawn on a line from 0 to 1; nothing for figures on another scale."""
    if figure.key in ("severity_error", "faithfulness_ratio") or figure.low != figure.low:
        return ""
    low, high, value = (min(1.0, max(0.0, v)) * 100 for v in (figure.low, figure.high, figure.value))
    return f'<span class="range"><i style="left:{low:.1f}%;width:{max(0.5, high - low):.1f}%"></i><b style="left:calc({value:.1f}% - 1px)"></b></span>'


def figures_section(report: Report, level: str) -> str:
    """All figures of a level, by group."""
    parts = []
    for group in GROUPS:
        figures = [f for f in report.figures if (f.group, f.level) == (group, level)]
        if figures:
            rows = [(escape(f.title), range_bar(f), number(f.value), f"[{number(f.low)}, {number(f.high)}]", str(f.count)) for f in figures]
            parts.append(f"<h3>{escape(group.capitalize())}</h3>" + table(("figure", "", "value", "95 % interval", "cases"), rows, numbers=3))
    return "".join(parts)


def classes_table(title: str, classes: tuple[ClassFigures, ...]) -> str:
    """Precision, recall, F1 of each class."""
    if not classes:
        return ""
    rows = [(escape(c.name), number(c.precision), number(c.recall), number(c.f1), str(c.count)) for c in classes]
    return f"<h3>{title}</h3>" + table(("class", "precision", "recall", "F1", "labelled"), rows, numbers=4)


def level_section(report: Report, level: Level) -> str:
    """Figures, plots and tables of a level."""
    plots = []
    if level.confusion:
        plots.append(plot_confusion(level))
    if level.reliability:
        plots.append(plot_reliability(level))
    if level.risk_coverage:
        plots.append(plot_risk(level))
    drawn = '<div class="plots">' + "".join(f"<div>{svg}</div>" for svg in plots) + "</div>" if plots else ""
    return (
        f"<h2>{escape(TITLES[level.name].capitalize())}</h2>{drawn}{figures_section(report, level.name)}"
        f"{classes_table('Direction, by class', level.classes)}{classes_table('PLOVER roots', level.events)}"
    )


def published_section(report: Report) -> str:
    """Our event figures beside the published ones."""
    ours = {f.key: f for f in report.figures if f.key.startswith("event_")}
    if "event_quad_f1" not in ours:
        return ""
    rows = [(escape(p.system), p.size, f"{p.binary:.1f}", f"{p.quad:.1f}", f"{p.root:.1f}") for p in PUBLISHED]
    mine = [f"{100 * ours[key].value:.1f}" if key in ours else "–" for key in ("event_binary_f1", "event_quad_f1", "event_root_f1")]
    note = "Published on the PLV test set (Hu et al., ACL 2024); ours on the data of this report, so the rows compare only where that is the same set."
    head = ("system", "parameters", "binary", "quad", "root")
    return f'<h2>Beside published systems</h2><p class="small">{note}</p>' + table(head, [(f"<b>{escape(report.model)}</b>", "", *mine), *rows], numbers=3)


def comparison_section(comparison: Comparison) -> str:
    """Paired differences to another model."""
    rows = [
        (f"{escape(d.title)} <span class=small>({d.level})</span>", number(d.ours), number(d.theirs), f"{d.value:+.3f}", f"[{d.low:+.3f}, {d.high:+.3f}]")
        for d in comparison.differences
    ]
    if not rows:
        return f"<h2>Against {escape(comparison.model)}</h2><p>Nothing that both can be measured on.</p>"
    return f"<h2>Against {escape(comparison.model)}</h2>" + table(("figure", "ours", "theirs", "difference", "95 % interval (paired)"), rows, numbers=4)


def slices_section(slices: tuple[Slice, ...]) -> str:
    """Figures of parts."""
    rows = [
        (escape(s.field), escape(s.value), s.level, str(s.count), *(value_with_interval(f) for f in (s.direction, s.spans, s.severity_error))) for s in slices
    ]
    head = ("by", "value", "of", "cases", "direction macro-F1", "phrases F1", "severity error")
    return "<h2>Slices</h2>" + table(head, rows, numbers=4) if rows else ""


def behaviour_section(report: Report) -> str:
    """Failure rates and failed cases."""
    if not report.capabilities:
        return ""
    total, failed = sum(c.count for c in report.capabilities), sum(c.failed for c in report.capabilities)
    cases = "".join(
        f'<div class="card"><p>{escape(f.text)}</p><p class="small"><b>{escape(f.id)}</b>: {escape("; ".join(f.problems))}. Rule: {escape(f.why)}</p></div>'
        for f in report.failures
    )
    return (
        f'<h2>Behaviour</h2><p>{failed} of {total} hand-written cases failed.</p><div class="plots"><div>{plot_behaviour(report.capabilities)}</div></div>'
        f"<details><summary>The failed cases</summary>{cases}</details>"
    )


def mistake_card(mistake: Mistake) -> str:
    """One mistake with what was highlighted."""
    figures = f"labelled <b>{escape(mistake.gold)}</b>" + (f" ({mistake.severity:+g} of 10)" if mistake.severity is not None else "")
    figures += f", read as <b>{escape(mistake.found)}</b>" + (f" ({10 * mistake.score:+.1f})" if mistake.score is not None else "")
    return f'<div class="card"><div class="esc"><div class="t">{mistake.html}</div></div><p class="small">{escape(mistake.id)}: {figures}</p></div>'


def headlines(report: Report) -> str:
    """The figures that matter most, large."""
    known = {(f.key, f.level): f for f in report.figures}
    boxes = [
        f"<div><b>{number(f.value)}</b>{escape(f.title)}<br><span>{TITLES[f.level]} · [{number(f.low)}, {number(f.high)}]</span></div>"
        for key in HEADLINES
        if (f := known.get(key))
    ]
    return f'<div class="heads">{"".join(boxes)}</div>'


def to_html(report: Report) -> str:
    """The page."""
    gap = "" if report.largest_gap is None else f"<p>The highlights' scores add up to each text's score; largest difference {report.largest_gap:.1e}.</p>"
    missing = "".join(f"<li>{escape(text)}</li>" for text in report.missing)
    mistakes = "".join(map(mistake_card, report.mistakes))
    body = [
        f"<h1>{escape(report.model)}</h1>",
        f'<p class="lead">on {escape(report.data)}: {report.texts} texts, {report.sentences} labelled sentences · 95 % bootstrap intervals, '
        f"{report.draws} draws of whole texts</p>",
        headlines(report),
        *(level_section(report, level) for level in report.levels),
        gap,
        published_section(report),
        *map(comparison_section, report.comparisons),
        behaviour_section(report),
        slices_section(report.slices),
        f"<h2>The worst mistakes</h2>{mistakes}" if mistakes else "",
        f"<h2>Not measured</h2><ul>{missing}</ul>" if missing else "",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(report.model)} on {escape(report.data)}</title><style>{MARKS}{CSS}</style></head>'
        f"<body>{''.join(body)}</body></html>\n"
    )
