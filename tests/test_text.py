"""Sentences and windows: exact offsets, nothing lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escalation.text import pack, split_sentences


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. A. B. Hale met the U.S. envoy on Jan. 5. They talked.", ["Dr. A. B. Hale met the U.S. envoy on Jan. 5.", "They talked."]),
        ('"We want calm," she said. "Nobody gains." He left.', ['"We want calm," she said.', '"Nobody gains."', "He left."]),
        ("Then… nothing. They paid $4.5 million... Then they left.", ["Then… nothing.", "They paid $4.5 million...", "Then they left."]),
        ("Envoy recalled as row deepens\nThe army said it was ready.", ["Envoy recalled as row deepens", "The army said it was ready."]),
        ("Demands:\n- open the border\n- free the crew\n1. Pay up", ["Demands:", "- open the border", "- free the crew", "1. Pay up"]),
        ("First line.\r\n\r\nSecond line.\r\nThird line.", ["First line.", "Second line.", "Third line."]),
        ("Calm 😀 returned. Cafe\u0301s re\u200bopened.", ["Calm 😀 returned.", "Cafe\u0301s re\u200bopened."]),
        ("TROOPS MASS AT BORDER", ["TROOPS MASS AT BORDER"]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_hard_wrapped_paragraph_is_not_cut_at_line_ends() -> None:
    wrapped = (
        "The two governments said on Tuesday that they had agreed to keep a\n"
        "channel open between their general staffs, and that neither would\n"
        "send further troops to the valley. Talks go on next week."
    )
    assert len(sentences(wrapped)) == 2


@given(st.text(alphabet=st.sampled_from("ab .!?\n\r\"'…-é\u0301\u200b😀A1\u2028\x85\t"), max_size=300))
def test_every_character_but_white_space_is_in_exactly_one_sentence(text: str) -> None:
    spans = split_sentences(text)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)
    assert "".join("".join(text[s:e].split()) for s, e in spans) == "".join(text.split())


@given(st.lists(st.integers(0, 90), max_size=40), st.integers(2, 30), st.integers(0, 40))
def test_every_token_is_kept_exactly_once_and_no_window_is_over_budget(lengths: list[int], budget: int, overlap: int) -> None:
    kept: dict[int, list[int]] = {index: [] for index in range(len(lengths))}
    for window in pack(lengths, budget, overlap=overlap):
        assert sum(piece.last - piece.first for piece in window) <= budget
        for piece in window:
            assert piece.first <= piece.keep_first <= piece.keep_last <= piece.last
            kept[piece.sentence] += range(piece.keep_first, piece.keep_last)
    assert kept == {index: list(range(length)) for index, length in enumerate(lengths)}


def test_parts_of_a_long_sentence_overlap() -> None:
    windows = pack([100], 40, overlap=20)
    for before, after in pairwise(windows):
        assert after[0].first < before[0].last
        assert before[0].keep_last - after[0].first >= 10 or after[0].last == 100


def test_a_window_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 tokens, got 1"):
        pack([3], 1)
