"""HTML, terminal and SVG: the text unchanged, every piece escaped."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

import pytest

from escalation import Scorer
from escalation.render import pieces, to_html, to_page, to_svg, to_terminal

NASTY = 'The army <script>alert("x")</script> attacked & "recalled" the \'envoy\'. A truce > war.\n\nIt said: </div>.'


def test_html_shows_the_text_unchanged_and_escaped(tiny: Scorer) -> None:
    page = to_html(tiny.score(NASTY))
    assert "<script" not in page
    body = page[page.index('<div class="t">') + len('<div class="t">') : page.rindex("</div></div>")]
    assert html.unescape(re.sub(r"<sub>.*?</sub>|<[^>]+>", "", body)) == NASTY


def test_html_needs_no_network_and_no_colour(tiny: Scorer) -> None:
    result = tiny.score("The army attacked. A truce. Attacks.")
    page = result.to_html()
    assert "http" not in page
    assert 'class="up"' in page
    assert 'class="down"' in page
    assert 'class="seen"' in page
    assert "▲ attack" in page
    assert "▼ agree" in page
    assert "attack, historical" in page
    assert result._repr_html_() == page


def test_a_name_cannot_break_the_page(tiny: Scorer) -> None:
    page = to_page([("<b>x</b>.txt", tiny.score("Truce."))])
    assert "<b>x" not in page
    assert page.startswith("<!DOCTYPE html>")


def test_terminal_without_colour_tells_direction_by_signs(tiny: Scorer) -> None:
    shown = to_terminal(tiny.score("The army attacked. A truce. Attacks."), colour=False)
    assert "\x1b" not in shown
    assert "[+attacked+](attack)" in shown
    assert "[-truce-](agree)" in shown
    assert "[·Attacks·](attack, historical)" in shown
    assert re.search(r"score [+-]0\.\d\d \(90 % interval [+-]\d\.\d\d to [+-]\d\.\d\d\)", shown)


def test_terminal_with_colour_underlines(tiny: Scorer) -> None:
    shown = to_terminal(tiny.score("The army attacked. A truce."), colour=True)
    assert "\x1b[31m\x1b[4mattacked\x1b[0m" in shown
    assert "\x1b[32m\x1b[4mtruce\x1b[0m" in shown


def test_terminal_lets_no_control_sequence_through(tiny: Scorer) -> None:
    shown = to_terminal(tiny.score("The army \x1b[2J\x07attacked.\r\nTruce."), colour=False)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\r" not in shown


def test_what_is_out_of_scope_is_seen_and_not_counted(tiny: Scorer) -> None:
    shown = to_terminal(tiny.score("The striker attacked the goal. Football, striker, football. The football striker."), colour=False)
    assert "[·attacked·](attack)" in shown
    assert "\n  " not in shown  # no strongest phrases


def test_strongest_phrases_come_largest_first(tiny: Scorer) -> None:
    shown = to_terminal(tiny.score("The army attacked. It condemned it. A truce."), colour=False)
    shares = [abs(float(value)) for value in re.findall(r"^  ([+-]\d\.\d{3})", shown, flags=re.MULTILINE)]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)


def test_warnings_are_shown(tiny: Scorer) -> None:
    for shown in (to_terminal(tiny.score(""), colour=False), to_html(tiny.score(""))):
        assert "the text is empty" in shown


@pytest.mark.parametrize("text", [NASTY, "Truce " * 60, "", "A\n\nattacked\ttruce  and   truce"])
def test_svg_is_well_formed_and_holds_the_words(tiny: Scorer, text: str) -> None:
    root = ElementTree.fromstring(to_svg(tiny.score(text)))
    words = " ".join(node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text")).split()
    assert [word for word in text.split() if word not in words] == [] or text == NASTY


def test_pieces_are_the_text(tiny: Scorer) -> None:
    result = tiny.score(NASTY)
    assert "".join(text for text, _ in pieces(NASTY, result.highlights)) == NASTY
