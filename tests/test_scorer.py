"""Text in, figures out, on the tiny model."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import escalation
from escalation import Coverage, Highlight, Score, Scorer, SentenceScore, load
from escalation.calibration import Calibration
from escalation.evidence import SentenceFigures, TokenFigures, score_sentences
from escalation.interpreting import cut_blocks, interpret
from escalation.model import Tokens
from escalation.reading import join
from escalation.signals import SIGNAL_NAMES
from escalation.text import split_sentences

STORY = "The army attacked the border. The minister said it recalled the envoy! A measured response, it said.\n\nAttacks and a truce."


def test_the_result_has_every_promised_field() -> None:
    promised = {"score", "label", "probabilities", "interval", "in_scope", "signals", "highlights", "coverage"}
    promised |= {"events"}
    assert promised | {"sentences", "text", "language", "warnings", "model"} == {field.name for field in dataclasses.fields(Score)}
    assert promised | {"text", "start", "end"} == {field.name for field in dataclasses.fields(SentenceScore)}
    assert [field.name for field in dataclasses.fields(Highlight)] == ["text", "start", "end", "signal", "direction", "status", "score"]


def test_results_are_frozen(tiny: Scorer) -> None:
    result = tiny.score(STORY)
    for value in (result, result.highlights[0], result.sentences[0], result.coverage):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.score = 1.0  # type: ignore[misc]


def test_highlights_are_the_words_of_the_lexicon(tiny: Scorer) -> None:
    found = [(h.text, h.signal, h.direction, h.status) for h in tiny.score(STORY).highlights]
    assert found == [
        ("attacked", "attack", "escalation", "asserted"),
        ("recalled", "sanction", "escalation", "asserted"),
        ("envoy", "sanction", "escalation", "asserted"),
        ("measured response", "restrain", "de-escalation", "asserted"),
        ("Attacks", "attack", "escalation", "historical"),
        ("truce", "agree", "de-escalation", "asserted"),
    ]


@pytest.mark.parametrize("text", [STORY, "Truce.", "feared", "the army", STORY * 20])
def test_highlight_shares_add_up_to_the_score(tiny: Scorer, text: str) -> None:
    result = tiny.score(text)
    assert sum(h.score for h in result.highlights) == pytest.approx(result.score, abs=1e-9)
    for sentence in result.sentences:
        assert sum(h.score for h in sentence.highlights) == pytest.approx(sentence.score, abs=1e-9)


@settings(deadline=None)  # how long an example takes is the machine's affair
@given(st.text(alphabet=st.sampled_from('truce atkd.\n\r"😀é\u0301\u200bA'), max_size=200) | st.sampled_from(["ATTACKED truce", "«attacked» truce…"]))
def test_offsets_are_exact_whatever_the_text(tiny: Scorer, text: str) -> None:
    result = tiny.score(text)
    for span in (*result.highlights, *result.sentences):
        assert text[span.start : span.end] == span.text
    assert [h.start for h in result.highlights] == sorted(h.start for h in result.highlights)


def test_direction_of_the_score(tiny: Scorer) -> None:
    assert tiny.score("The army attacked.").score > 0.5 > -0.3 > tiny.score("A truce.").score
    assert tiny.score("The army attacked.").label == "escalation"
    assert tiny.score("A truce.").label == "de-escalation"
    assert tiny.score("The army said it.").label == "neutral"
    assert tiny.score("The army said it.").score == 0.0


def test_history_is_seen_and_not_counted(tiny: Scorer) -> None:
    (highlight,) = tiny.score("Attacks, the minister said.").highlights
    assert (highlight.status, highlight.score) == ("historical", 0)
    news, past = tiny.score("The army attacked the border. The minister attacked the attacks.").highlights[1:]  # beside news, where a share would show
    assert (news.status, past.status, past.score) == ("asserted", "historical", 0)
    assert news.score > 0


def test_out_of_scope_gives_zero_and_keeps_what_was_seen(tiny: Scorer) -> None:
    result = tiny.score("The striker attacked the goal. Football, striker, football. The football striker.")
    assert not result.in_scope
    assert (result.score, result.label) == (0.0, "neutral")
    assert result.highlights
    assert all(h.score == 0.0 for h in result.highlights)


def test_the_only_signal_at_the_end_of_a_long_text_is_found(tiny: Scorer) -> None:
    filler = "The minister said it, and the army said it. " * 4546
    text = filler + "The army shelled the border."
    assert len(text) > 200_000
    result = tiny.score(text)
    assert [(h.text, h.start) for h in result.highlights] == [("shelled", text.index("shelled"))]
    assert result.coverage.characters == result.coverage.total_characters == len(text)
    assert result.coverage.tokens == result.coverage.total_tokens == sum(s.coverage.tokens for s in result.sentences)


def test_a_sentence_longer_than_a_window_is_read_to_its_end(tiny: Scorer) -> None:
    text = "The army " + "and the minister " * 60 + "shelled the border"
    (sentence,) = tiny.score(text).sentences
    assert sentence.coverage.tokens > 100
    assert [h.text for h in sentence.highlights] == ["shelled"]


def test_score_many_gives_what_score_gives_in_order(tiny: Scorer) -> None:
    texts = [STORY, "", "Truce.", "attacked " * 50, "Война продолжается на границе."]
    for batch_size in (1, 2, 32):
        assert tiny.score_many(texts, batch_size=batch_size) == [tiny.score(text) for text in texts]
    assert tiny.score_many(text for text in ()) == []


def test_progress_bar_goes_to_standard_error_only_when_asked(tiny: Scorer, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.score_many(["Truce."] * 3)
    assert capsys.readouterr() == ("", "")
    tiny.score_many(["Truce."] * 3, show_progress_bar=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "3/3" in err


@pytest.mark.parametrize("text", ["", "   \n\t", "1234 !!! 😀", "\u200b"])
def test_nothing_to_read_is_a_neutral_result_that_says_so(tiny: Scorer, text: str) -> None:
    result = tiny.score(text)
    assert (result.score, result.label, result.in_scope, result.highlights, result.sentences) == (0.0, "neutral", False, (), ())
    assert "nothing to score" in result.warnings[0]
    assert result.language is None


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ru", "Армия обстреляла приграничный город, сообщил министр обороны."),
        ("de", "Der Minister hat den Botschafter am Mittwoch zurückgerufen und die Grenze schließen lassen."),
        ("es", "El gobierno retiró a su embajador y acusó al país vecino de bombardear la frontera."),
        ("zh", "军队周三炮击了边境城市，外交部召回大使。"),
        ("ar", "قصف الجيش المدينة الحدودية يوم الأربعاء واستدعى سفيره"),
    ],
)
def test_another_language_is_named_and_not_scored(tiny: Scorer, language: str, text: str) -> None:
    result = tiny.score(text)
    assert (result.language, result.score, result.label, result.coverage.tokens) == (language, 0.0, "neutral", 0)
    assert "not English" in result.warnings[0]
    assert "translate" in result.warnings[0]


@pytest.mark.parametrize("text", ["ARMY ATTACKED BORDER", "Army attacked", "Kabul envoy recalled", "Truce!", "Lula, Petro meet in Bogotá"])
def test_a_short_headline_is_taken_for_english(tiny: Scorer, text: str) -> None:
    assert tiny.score(text).language == "en"


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (b"text", TypeError, r"bytes; decode it first"),
        (None, TypeError, r"must be a str, got NoneType"),
        (3, TypeError, r"must be a str, got int"),
        (["a"], TypeError, r"got list .*score_many"),
        ("ab\ud800c", ValueError, r"lone surrogate \(U\+D800 at character 2\)"),
    ],
)
def test_what_is_no_text_is_refused_with_the_remedy(tiny: Scorer, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tiny.score(value)  # type: ignore[arg-type]


def test_score_many_names_the_text_that_is_wrong(tiny: Scorer) -> None:
    with pytest.raises(TypeError, match=r"text 1: text must be a str"):
        tiny.score_many(["fine", None])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"single text"):
        tiny.score_many("one")
    with pytest.raises(ValueError, match=r"batch_size must be .* got 0"):
        tiny.score_many(["a"], batch_size=0)


def test_to_dict_is_json_and_holds_everything(tiny: Scorer) -> None:
    result = tiny.score(STORY)
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain == result.to_dict()
    assert set(plain) == {field.name for field in dataclasses.fields(Score)}
    assert len(plain["sentences"]) == len(result.sentences)
    assert plain["highlights"][0]["text"] == "attacked"


def test_ranges(tiny: Scorer) -> None:
    result = tiny.score(STORY)
    for figures in (result, *result.sentences):
        assert -1 <= figures.interval[0] <= figures.score <= figures.interval[1] <= 1
        assert set(figures.probabilities) == {"escalation", "de-escalation"}
        assert set(figures.signals) == set(SIGNAL_NAMES)
        assert all(0 <= p <= 1 for p in (*figures.probabilities.values(), *figures.signals.values()))
        assert figures.label in ("escalation", "de-escalation", "mixed", "neutral")


def test_public_names() -> None:
    assert set(escalation.__all__) == {"Coverage", "Highlight", "Score", "Scorer", "SentenceScore", "load", "score"}
    assert all(getattr(escalation, name) for name in escalation.__all__)
    assert escalation.load is load
    assert escalation.Coverage is Coverage
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        _ = escalation.scores  # type: ignore[attr-defined]


def test_a_text_that_occurs_twice_is_scored_once(tiny: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[str] = []
    batch = tiny._read_batch
    monkeypatch.setattr(tiny, "_read_batch", lambda texts: scored.extend(texts) or batch(texts))
    texts = ["the army attacked", "the minister said it", "the army attacked"]
    results = tiny.score_many(texts)
    assert scored == texts[:2]
    assert [result.text for result in results] == texts


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_read_ahead_in_order(tiny_folder: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = load(tiny_folder, threads=threads)
    readers: set[str] = set()
    read = scorer._read_batch
    monkeypatch.setattr(scorer, "_read_batch", lambda texts: readers.add(threading.current_thread().name) or read(texts))
    texts = [f"{word} the army attacked {word}" for word in ("border", "it", "minister", "said", "football", "and", "the")]
    scores = scorer.score_many(texts, batch_size=2)
    assert all(("ahead" in name) == (threads > 1) for name in readers)
    assert scores == [scorer.score(text) for text in texts]


def test_events_say_what_a_coder_would_choose(tiny: Scorer) -> None:
    result = tiny.score("A truce, it said. The army attacked the border.")
    truce, attack = (max(s.events, key=s.events.__getitem__) for s in result.sentences)
    assert (truce, attack) == ("agree", "attack")
    assert "restrain" not in result.events
    assert sum(result.events.values()) == pytest.approx(1.0)
    assert tiny.score("").events == {}


def test_what_a_reading_says_is_the_same_in_any_block(tiny: Scorer) -> None:
    texts = [
        "Troops attacked the village. Envoys met.",
        "Rain fell.",
        "The army shelled a town. It was quiet. Talks went on. A truce was signed.",
        "Prices rose.",
    ]
    spans = [split_sentences(text) for text in texts]
    readings = tiny.read(list(zip(texts, spans, strict=True)))
    whole = interpret(readings, tiny.calibration)
    assert [len(found.phrases) for found in whole] == [2, 1, 4, 1]
    for block in (1, 2, 3):
        for found, expected in zip(interpret(readings, tiny.calibration, block=block), whole, strict=True):
            assert found.phrases == expected.phrases
            for item in dataclasses.fields(SentenceFigures):
                np.testing.assert_array_equal(getattr(found.figures, item.name), getattr(expected.figures, item.name))


def test_blocks_hold_all_sentences_once_and_in_order() -> None:
    assert [[(s.number, s.first, s.last) for s in block] for block in cut_blocks([3, 1, 5], 4)] == [[(0, 0, 3), (1, 0, 1)], [(2, 0, 4)], [(2, 4, 5)]]
    assert list(cut_blocks([], 4)) == []
    with pytest.raises(ValueError, match="block must be at least 1"):
        interpret([], Calibration(), block=0)


def test_a_long_text_is_worked_out_block_by_block(tiny: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that memory for its evidence does not grow with it."""
    seen: list[int] = []

    def watch(tokens: TokenFigures, bounds: NDArray[np.int64], *rest: object) -> SentenceFigures:
        seen.append(len(bounds) - 1)
        return score_sentences(tokens, bounds, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("escalation.interpreting.score_sentences", watch)
    result = tiny.score("The army said it.\n" * 2500)
    assert len(result.sentences) == 2500
    assert seen == [1024, 1024, 452]


def test_what_is_a_word_is_told_sentence_by_sentence(tiny: Scorer) -> None:
    whole = join([*tiny.read([(", a", [(0, 3)])]), *tiny.read([("b . it", [(0, 3), (4, 6)])])])
    assert whole.is_word.tolist() == [False, True, True, False, True]
    assert whole.bounds.tolist() == [0, 2, 4, 5]
    rest = whole.part(1, 3)
    assert (rest.sentences, rest.bounds.tolist(), rest.is_word.tolist()) == (("b .", "it"), [0, 2, 3], [True, False, True])
    np.testing.assert_array_equal(rest.logits, whole.logits[2:])
    assert whole.part(1, 1).is_word.tolist() == []


def test_an_apostrophe_within_a_word_parts_nothing(tiny: Scorer) -> None:
    for apostrophe in "'’":
        sentence = f"Iran{apostrophe}s envoys{apostrophe} 'don{apostrophe}t'"
        tokens = tiny.read([(sentence, [(0, len(sentence))])])[0].tokens[0]
        assert words_of(tokens, sentence) == [f"Iran{apostrophe}s", "envoys", apostrophe, "'", f"don{apostrophe}t", "'"]


def words_of(tokens: Tokens, sentence: str) -> list[str]:
    return [sentence[tokens.offsets[tokens.words == word][0, 0] : tokens.offsets[tokens.words == word][-1, 1]] for word in np.unique(tokens.words)]
