"""A `Score` for people: HTML, terminal text, SVG. Every piece of text is escaped; the original text is walked by offsets and never changed."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

from escalation.result import Highlight, Score
from escalation.signals import ESCALATION

RED, GREEN, GREY, BOLD, UNDERLINE, RESET = "\x1b[31m", "\x1b[32m", "\x1b[90m", "\x1b[1m", "\x1b[4m", "\x1b[0m"
STRONGEST = 5  # phrases named in the verdict
CSS = (
    ".esc{font:16px/1.6 Georgia,serif;max-width:46em;color:#1b1b1b;background:#fff;padding:1em}"
    ".esc p.v{font:14px/1.4 system-ui,sans-serif;margin:0 0 1em}"
    ".esc div.t{white-space:pre-wrap;overflow-wrap:anywhere}"
    ".esc mark{color:inherit;border-radius:2px;padding:0 1px}"
    ".esc mark.up{background:#f9d2cb;border-bottom:2px solid #b3261e}"
    ".esc mark.down{background:#cfe9d4;border-bottom:2px solid #1b6e34}"
    ".esc mark.seen{background:none;border-bottom:2px dotted #777}"
    ".esc mark sub{font:10px system-ui,sans-serif;vertical-align:baseline;margin-left:3px;color:#444}"
    "@media(prefers-color-scheme:dark){.esc{color:#e8e6e3;background:#181a1b}.esc mark.up{background:#5c1f1a}"
    ".esc mark.down{background:#1d4427}.esc mark sub{color:#bbb}}"
)


def is_counted(highlight: Highlight) -> bool:
    """Whether the phrase moves the score; what is historical, figurative or out of scope is seen and has no share of it."""
    return highlight.score != 0


def is_escalation(highlight: Highlight) -> bool:
    """Which way the phrase pulls: by its share of the score where it has one ("no ceasefire" pulls up), else by its signal's direction."""
    return highlight.score > 0 if abs(highlight.score) > 1e-9 else highlight.direction == ESCALATION


def describe(highlight: Highlight) -> str:
    """`"sanction"`, or with a status other than asserted `"agree, negated"`."""
    return highlight.signal if highlight.status == "asserted" else f"{highlight.signal}, {highlight.status}"


def pieces(text: str, highlights: tuple[Highlight, ...]) -> Iterator[tuple[str, Highlight | None]]:
    """Walks a text: runs without a phrase and phrases, in order; together they are the text."""
    last = 0
    for highlight in highlights:
        if highlight.start > last:
            yield text[last : highlight.start], None
        yield text[highlight.start : highlight.end], highlight
        last = highlight.end
    if last < len(text):
        yield text[last:], None


def verdict(score: Score) -> str:
    """One line: label, score with its interval, probabilities."""
    low, high = score.interval
    line = (
        f"{score.label.upper()}  score {score.score:+.2f} (90 % interval {low:+.2f} to {high:+.2f})  "
        f"P(escalation) {score.probabilities['escalation']:.2f}  P(de-escalation) {score.probabilities['de-escalation']:.2f}"
    )
    return line if score.in_scope or score.warnings else line + "  OUT OF SCOPE: no political or armed actors"


def strongest(score: Score) -> list[Highlight]:
    """The counted phrases with the largest shares of the score, largest first; at most `STRONGEST`."""
    counted = [highlight for highlight in score.highlights if is_counted(highlight) and abs(highlight.score) >= 0.0005]
    return sorted(counted, key=lambda highlight: -abs(highlight.score))[:STRONGEST]


def highlights_to_html(text: str, highlights: tuple[Highlight, ...]) -> str:
    """The text, escaped, its phrases as `<mark>` with signal and status, readable without colour."""
    parts = []
    for piece, highlight in pieces(text, highlights):
        if highlight is None:
            parts.append(html.escape(piece))
            continue
        kind = "seen" if not is_counted(highlight) else "up" if is_escalation(highlight) else "down"
        arrow = {"up": "▲", "down": "▼", "seen": "·"}[kind]
        title = html.escape(f"{describe(highlight)} · {highlight.direction} · share {highlight.score:+.3f}", quote=True)
        parts.append(f'<mark class="{kind}" title="{title}">{html.escape(piece)}<sub>{arrow} {html.escape(describe(highlight))}</sub></mark>')
    return "".join(parts)


def to_html(score: Score) -> str:
    """One `<div>` with its style, no script, no network; phrases as `<mark>` with signal and status, readable without colour."""
    notes = "".join(f"<br>{html.escape(warning)}" for warning in score.warnings)
    marked = highlights_to_html(score.text, score.highlights)
    return f'<div class="esc"><style>{CSS}</style><p class="v"><b>{html.escape(verdict(score))}</b>{notes}</p><div class="t">{marked}</div></div>'


def to_page(scores: list[tuple[str, Score]]) -> str:
    """A whole HTML document: one heading and one marked article a score."""
    body = "".join(f"<h1>{html.escape(name)}</h1>{to_html(score)}" for name, score in scores)
    title = html.escape(", ".join(name for name, _ in scores))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>h1{{font:20px system-ui,sans-serif}}body{{margin:2em}}"
        "@media(prefers-color-scheme:dark){body{background:#181a1b;color:#e8e6e3}}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def printable(text: str) -> str:
    """Text without the control characters that could move a terminal's cursor or change its colours; line breaks and tabs stay."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else "\ufffd" if c != "\r" else "" for c in text)


def to_terminal(score: Score, *, colour: bool) -> str:
    """The article with its phrases marked, the verdict, the strongest phrases.

    Without colour a phrase stands as `[+words+](signal)` where it escalates, `[-words-](signal)` where it de-escalates and `[·words·](signal, historical)`
    where it is not counted; with colour the signal follows in grey.
    """
    parts = []
    for text, highlight in pieces(score.text, score.highlights):
        text = printable(text)
        if highlight is None:
            parts.append(text)
        elif colour:
            tint = GREY if not is_counted(highlight) else RED if is_escalation(highlight) else GREEN
            parts.append(f"{tint}{UNDERLINE}{text}{RESET}{GREY}({describe(highlight)}){RESET}")
        else:
            sign = "·" if not is_counted(highlight) else "+" if is_escalation(highlight) else "-"
            parts.append(f"[{sign}{text}{sign}]({describe(highlight)})")
    bold, reset = (BOLD, RESET) if colour else ("", "")
    lines = ["".join(parts).strip("\n"), "", f"{bold}{verdict(score)}{reset}"]
    lines += [f"note: {warning}" for warning in score.warnings]
    lines += [f"  {h.score:+.3f}  {describe(h):22} {printable(' '.join(h.text.split()))}" for h in strongest(score)]
    return "\n".join(lines) + "\n"


def to_svg(score: Score, *, columns: int = 92) -> str:
    """The marked article as a picture: monospaced lines of `columns` characters, phrases coloured and underlined, the verdict below."""
    marks = [highlight for text, highlight in pieces(score.text, score.highlights) for _ in text]
    lines = [[(score.text[i], marks[i]) for i in range(start, end)] for start, end in wrap_lines(score.text, columns)]
    body, y = [], 30
    for row in lines:
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end][1] is row[x][1]:
                end += 1
            body.append(_svg_run("".join(c for c, _ in row[x:end]), row[x][1], 20 + 8.4 * x, y))
            x = end
        y += 22
    y += 12
    for line in [verdict(score), *(f"{h.score:+.3f}  {describe(h):22} {h.text}" for h in strongest(score))]:
        body.append(f'<text x="20" y="{y}" xml:space="preserve" fill="#1b1b1b">{html.escape(line)}</text>')
        y += 22
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * 8.4 + 220:.0f}" height="{y}" font-family="Menlo,Consolas,monospace" font-size="14">'
        f'<rect width="100%" height="100%" fill="#fdfcf9"/>{"".join(body)}</svg>\n'
    )


def wrap_lines(text: str, columns: int) -> Iterator[tuple[int, int]]:
    """Offsets of display lines: broken at line breaks and, where a line is longer than `columns`, behind the last white space before (or at the column)."""
    for match in re.finditer(r"[^\n]*", text):
        start, end = match.span()
        if start == end and start and text[start - 1] != "\n":
            continue  # the empty match behind every line
        while end - start > columns:
            spaces = [i for i in range(start + 1, start + columns + 1) if text[i].isspace()]
            cut = spaces[-1] if spaces else start + columns
            yield start, cut
            start = cut + bool(spaces)
        yield start, end


def _svg_run(text: str, highlight: Highlight | None, x: float, y: int) -> str:
    """A run of one line."""
    style = 'fill="#1b1b1b"'
    if highlight is not None:
        tint = "#777777" if not is_counted(highlight) else "#b3261e" if is_escalation(highlight) else "#1b6e34"
        style = f'fill="{tint}" text-decoration="underline" font-weight="bold"'
    return f'<text x="{x:.1f}" y="{y}" xml:space="preserve" textLength="{8.4 * len(text):.1f}" {style}>{html.escape(printable(text))}</text>'
