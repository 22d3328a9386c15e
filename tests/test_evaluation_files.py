"""Labelled files are read whole or refused, with line, value and rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from escalation.evaluation import read_labelled
from escalation.evaluation.labelled import LabelledText


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def read_one(tmp_path: Path, row: dict[str, object], **options: object) -> LabelledText:
    return read_labelled(write(tmp_path / "a.jsonl", row), **options)[0]  # type: ignore[arg-type]


def test_json_lines_csv_and_parquet_give_the_same(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    rows = [
        {"id": "a", "text": "Troops crossed.", "label": "escalation", "severity": 7},
        {"id": "b", "text": "Talks, held.", "label": "de-escalation", "severity": -3},
    ]
    lines = read_labelled(write(tmp_path / "a.jsonl", *rows))
    assert lines == read_labelled(write(tmp_path / "a.csv", "id,text,label,severity", "a,Troops crossed.,escalation,7", 'b,"Talks, held.",de-escalation,-3'))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert lines == read_labelled(tmp_path / "a.parquet")
    assert (lines[0].labels.escalation, lines[0].labels.de_escalation, lines[0].labels.severity) == (1, 0, 7.0)


def test_two_columns_are_enough_and_may_have_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", "headline,heat", "Troops crossed,1", "Talks held,0")
    texts = read_labelled(path, column_mapping={"headline": "text", "heat": "label"}, label_mapping={"1": "escalation", "0": "neutral"})
    assert [(text.text, text.labels.label) for text in texts] == [("Troops crossed", "escalation"), ("Talks held", "neutral")]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext,label\nTroops crossed,escalation\n")
    assert read_labelled(tmp_path / "a.csv")[0].text == "Troops crossed"


def test_sentences_without_a_text_are_joined_by_paragraph(tmp_path: Path) -> None:
    sentences = [{"text": "One."}, {"text": "Two.", "label": "neutral", "paragraph": 0}, {"text": "Three.", "paragraph": 1}]
    text = read_one(tmp_path, {"sentences": sentences, "label": "neutral"})
    assert text.text == "One. Two.\n\nThree."
    assert [text.text[s.start : s.end] for s in text.sentences] == ["One.", "Two.", "Three."]


def test_offsets_of_phrases_count_the_text_that_they_stand_under(tmp_path: Path) -> None:
    sentence = {"text": "They shelled it.", "phrases": [{"start": 5, "end": 12, "signal": "attack", "status": "asserted", "text": "shelled"}]}
    text = read_one(tmp_path, {"sentences": [{"text": "Quiet."}, sentence]})
    (phrase,) = text.sentences[1].labels.phrases or ()
    assert text.text[phrase.start : phrase.end] == "shelled"
    assert phrase.direction == "escalation"


def test_no_phrases_and_unknown_phrases_differ(tmp_path: Path) -> None:
    assert read_one(tmp_path, {"text": "a", "label": "neutral", "phrases": []}).labels.phrases == ()
    assert read_one(tmp_path, {"text": "a", "label": "neutral"}).labels.phrases is None


def test_plover_roots_become_signals_and_quads(tmp_path: Path) -> None:
    text = read_one(tmp_path, {"text": "a", "plover": "ASSAULT"})
    assert (text.labels.signal, text.labels.quad) == ("attack", "material conflict")
    assert read_one(tmp_path, {"text": "a", "quad": None, "signal": "aid"}).labels.quad == "material cooperation"


def test_a_column_can_say_what_is_out_of_scope(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"text": "a", "topic": "sports"}, {"text": "b", "topic": "world"})
    assert [text.labels.in_scope for text in read_labelled(path, out_of_scope=("topic", ("sports", "business")))] == [False, None]


FAULTS = [
    ({"text": "a", "label": "bad"}, ["line 1", "'bad'", "escalation, de-escalation, mixed, neutral"]),
    ({"text": "a", "escalation": 2}, ["escalation must be 0 or 1", "2"]),
    ({"text": "a", "label": "escalation", "escalation": 0}, ["contradicts", "schemes are mixed"]),
    ({"text": "a", "severity": 11}, ["-10 to 10", "11"]),
    ({"text": "a", "severity": "high"}, ["severity", "'high'"]),
    ({"text": "a", "label": "escalation", "severity": -3}, ["other way"]),
    ({"text": "a", "in_scope": "maybe"}, ["in_scope", "'maybe'"]),
    ({"text": "a", "signal": "bomb"}, ["signal must be one of attack", "'bomb'"]),
    ({"text": "a", "plover": "BOMB"}, ["PLOVER root", "'BOMB'"]),
    ({"text": "a", "signal": "aid", "plover": "ASSAULT"}, ["contradicts"]),
    ({"text": "a", "signal": "aid", "quad": "verbal conflict"}, ["contradicts"]),
    ({"text": "a", "quad": "verbal"}, ["quad must be one of verbal conflict"]),
    ({"text": "abc", "phrases": [{"start": 1, "end": 9, "signal": "attack"}]}, ["0 <= start < end <= 3", "1 and 9"]),
    ({"text": "a b", "phrases": [{"start": 1, "end": 2, "signal": "attack"}]}, ["phrase 1:2 is ' '", "nothing but space"]),
    ({"text": "abc", "phrases": [{"start": 2, "end": 2, "signal": "attack"}]}, ["start < end"]),
    ({"text": "abc", "phrases": [{"start": 0, "end": 1, "signal": "attack", "text": "b"}]}, ["is 'a'", "says 'b'"]),
    ({"text": "abc", "phrases": [{"start": 0, "end": 1}]}, ["needs a signal"]),
    ({"text": "abc", "phrases": [{"start": 0, "end": 1, "signal": "attack", "direction": "de-escalation"}]}, ["direction must be escalation"]),
    ({"text": "abc", "phrases": [{"start": 0, "end": 1, "signal": "attack", "status": "true"}]}, ["status must be one of asserted"]),
    ({"text": "abc", "phrases": [{"start": 0, "end": 2, "signal": "attack"}, {"start": 1, "end": 3, "signal": "attack"}]}, ["overlap"]),
    ({"text": "abc def", "sentences": [{"start": 0, "end": 5}, {"start": 4, "end": 7}], "label": "neutral"}, ["overlaps the one before"]),
    ({"text": "abc def", "sentences": [{"start": 4, "end": 9}]}, ["0 <= start < end <= 7"]),
    ({"text": "abc def", "sentences": [{"text": "xyz"}]}, ["does not stand in the text"]),
    ({"text": "   ", "label": "neutral"}, ["no text"]),
    ({"text": 5, "label": "neutral"}, ["text must be a string"]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "said"), FAULTS)
def test_a_faulty_record_is_named_with_value_and_rule(tmp_path: Path, row: dict[str, object], said: list[str]) -> None:
    with pytest.raises(ValueError, match="nothing was evaluated") as error:
        read_one(tmp_path, row)
    assert all(part in str(error.value) for part in said), str(error.value)


def test_one_faulty_line_refuses_the_whole_file_and_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"text": "a", "label": "neutral"}, "{not json", {"text": "b", "label": "x"})
    with pytest.raises(ValueError, match="line 2: is no JSON") as error:
        read_labelled(path)
    assert "line 3" in str(error.value)
    assert "2 of 3 records" in str(error.value)


def test_ids_must_differ(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'a' stands on line 1 already"):
        read_labelled(write(tmp_path / "a.jsonl", {"id": "a", "text": "x", "label": "neutral"}, {"id": "a", "text": "y", "label": "neutral"}))


def test_scores_taken_for_severities_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="look like scores"):
        read_labelled(write(tmp_path / "a.jsonl", {"text": "x", "severity": 0.5}, {"text": "y", "severity": -0.25}))


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "is empty"), ('{"body": "x", "label": "neutral"}\n', "neither a column text"), ('{"text": "x", "lable": "neutral"}\n', "has no labels")],
)
def test_a_file_without_texts_or_labels_says_what_it_has(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(ValueError, match=said):
        read_labelled(tmp_path / "a.jsonl")


def test_a_mapped_column_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no column 'headline'; it has label, text"):
        read_labelled(write(tmp_path / "a.jsonl", {"text": "x", "label": "neutral"}), column_mapping={"headline": "text"})


def test_ragged_csv_and_foreign_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 3: has 3 fields, the header has 2"):
        read_labelled(write(tmp_path / "a.csv", "text,label", "x,neutral", "y,neutral,more"))
    (tmp_path / "b.csv").write_bytes("text,label\nKöln,neutral\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        read_labelled(tmp_path / "b.csv")
    (tmp_path / "c.txt").write_text("x")
    with pytest.raises(ValueError, match="suffix must be one of"):
        read_labelled(tmp_path / "c.txt")
    with pytest.raises(FileNotFoundError, match="is no file"):
        read_labelled(tmp_path / "missing.csv")
