"""The corpus' other tools: agreement, variety, duplicates, gold, sample, datasets, invariance; on cases small enough to check by hand."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

from escalation import Scorer
from training.corpus import agreement, gold
from training.corpus.__main__ import main
from training.corpus.agreement import compare, with_labels
from training.corpus.duplicates import find_straddling, read_evaluation
from training.corpus.fill import fill
from training.corpus.hub import sentence_rows, to_datasets
from training.corpus.markup import parse_articles
from training.corpus.reader import labelled_score
from training.corpus.schema import ADJUDICATION, ARTICLES, SECOND, STANDOFF, Article, Phrase, Sentence, read_articles
from training.corpus.standoff import StandoffPhrase, StandoffUnit, read_unfit, read_units, to_sentence, write_units
from training.corpus.validate import article_problems, sentence_problems
from training.corpus.variety import distinct_openings, minimal_pairs, repeated_runs, wordings
from training.invariance import measure_spread
from training.sources import SOURCES, read_source

CORPORA = ROOT.parent / "shared" / "corpora"


def sentence(text: str, escalation: int, severity: int, *phrases: Phrase) -> Sentence:
    return Sentence(text, escalation, 0, severity, True, 0, phrases)


def article(name: str, scenario: str, *lines: str) -> Article:
    head = "topic: t\nregion: r\nvoice: agency\nyear: 2000\nscope: in\nlabel: neutral\nseverity: 0\nslots: A=country\n\n"
    (parsed,) = parse_articles(f"=== article\nscenario: {scenario}\n{head}" + "\n".join(lines), name)
    assert isinstance(parsed, Article), parsed
    return dataclasses.replace(parsed, id=name)


def test_agreement_by_hand() -> None:
    a = [sentence("It shelled the town.", 1, 9, Phrase(3, 19, "shelled the town", "attack")), sentence("It rained.", 0, 0)]
    b = [sentence("It shelled the town.", 1, 7, Phrase(3, 10, "shelled", "coerce", "historical")), sentence("It rained.", 0, 0)]
    same = compare(a, a)
    assert (same.direction_alpha, same.severity_alpha, same.span_exact_f1, same.status_accuracy) == (1.0, 1.0, 1.0, 1.0)
    other = compare(a, b)
    assert other.span_f1 == 0.0  # 7 of 16 characters: below half
    wide = [sentence("It shelled the town.", 1, 9, Phrase(3, 14, "shelled the", "coerce", "historical")), a[1]]
    assert (compare(a, wide).span_f1, compare(a, wide).span_signal_f1, compare(a, wide).status_accuracy) == (1.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="different text"):
        compare(a, [b[0], sentence("It snowed.", 0, 0)])


def test_agreement_is_between_first_labels_not_adjudicated_ones() -> None:
    now = sentence("It shelled the town.", 0, 0)
    first = {
        "escalation": 1,
        "de_escalation": 0,
        "severity": 9,
        "in_scope": True,
        "phrases": [{"start": 103, "end": 119, "signal": "attack", "status": "asserted"}],
    }
    before = with_labels(now, first, shift=100)
    assert (before.direction, before.phrases[0].text) == ("escalation", "shelled the town")
    records = [json.loads(line) for line in ADJUDICATION.read_text(encoding="utf-8").splitlines()]
    assert len(records) >= 300
    assert all(record["reason"] and record["taken"] in ("1", "2", "new", "model") and record["first"] for record in records)
    twice = {f"{u.corpus}/{u.row}/{u.field}/{u.start}" for u in read_units(STANDOFF) if u.second}
    assert not [record["id"] for record in records if record["taken"] == "model" and record["id"] in twice]  # agreement is between two labellers


def test_first_labels_stand_on_the_sentence_that_they_are_of() -> None:
    """Numbers count from 1: counted from 0, first labels would be put on a neighbour."""
    sentences = {f"{article.id}#{number}": item for article in read_articles(ARTICLES) for number, item in enumerate(article.sentences, 1)}
    found = {name: labels for name, labels in agreement.first_labels().items() if "#" in name}
    assert len(found) > 8_000
    assert not found.keys() - sentences.keys()
    cut = []
    for name, labels in found.items():
        text = sentences[name].text
        for phrase in labels["phrases"]:
            words = text[phrase["start"] : phrase["end"]]
            edges = (text[phrase["start"] - 1 : phrase["start"] + 1], text[phrase["end"] - 1 : phrase["end"] + 1])
            if words != words.strip() or len(words) < phrase["end"] - phrase["start"] or any(len(edge) == 2 and edge.isalnum() for edge in edges):
                cut.append(name)
    assert not cut


def test_a_quarter_of_the_articles_is_labelled_twice_and_the_labellers_agree() -> None:
    count, ours, theirs = agreement.article_pairs()
    assert count >= 0.25 * sum(1 for _ in read_articles(ARTICLES))
    found = compare(ours, theirs)
    assert found.direction_alpha >= 0.8
    assert found.severity_alpha >= 0.8
    assert found.span_f1 >= 0.75
    assert [problem for article in read_articles(SECOND) for problem in article_problems(article)] == []
    first = {a.id: a for a in read_articles(ARTICLES)}
    assert all([s.text for s in a.sentences] == [s.text for s in first[a.id].sentences] for a in read_articles(SECOND))


def test_variety_by_hand() -> None:
    one = article("x-1", "one", "N 0 | The minister of {A} met them on the bridge.", "D -3 | He [urged calm|restrain].")
    two = article("x-2", "two", "N 0 | The minister of {A} met him on the bridge.", "D -3 | She [Urged calm|restrain].")
    # runs of five: "the minister of _ met" is shared; each first sentence has 5 of them, so 2 of 10
    assert repeated_runs([one, two]) == pytest.approx(2 / 10)
    assert repeated_runs([one, dataclasses.replace(two, scenario="one")]) == 0.0
    assert distinct_openings([one, two]) == 0.0
    assert wordings([one, two], "restrain") == 1
    pair = [article(f"p-{n}", "pair-x", "N 0 | It rained.") for n in (1, 2)]
    assert minimal_pairs([*pair, one]) == 1
    assert repeated_runs(pair) == 0.0


def test_near_duplicates_across_splits_are_found(tmp_path: Path) -> None:
    a = "the army of the north shelled three villages near the river on monday"
    texts = [("a", "train", a), ("b", "dev", a + " night"), ("c", "train", a), ("d", "test", "nothing of the kind stands here at all today")]
    assert sorted(find_straddling(texts)) == [("a", "train", "b", "dev"), ("b", "dev", "c", "train")]
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps({"id": "e", "text": a}) + "\n")
    assert find_straddling([texts[0], *read_evaluation(path)]) == [("a", "train", "e", "evaluation")]
    path.write_text('{"id": "e"}\n')
    with pytest.raises(ValueError, match=r"e.jsonl line 1: field 'text' must be text, got None"):
        read_evaluation(path)


def test_the_corpus_has_no_near_duplicate_across_splits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["duplicates"]) == 0
    assert "0 near-duplicates across splits" in capsys.readouterr().out


def test_gold_agreement_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = [
        StandoffUnit("plv", "r1", "text", 0, 9, 1, 0, 5, True, (StandoffPhrase(0, 3, "attack"),)),
        StandoffUnit("plv", "r2", "text", 0, 9, 1, 0, 5, True, (StandoffPhrase(0, 3, "accuse"),)),
        StandoffUnit("plv", "r3", "text", 0, 9, 0, 1, -5, True, (StandoffPhrase(0, 3, "agree"),)),
        StandoffUnit("plv", "r4", "text", 0, 9, 0, 0, 0, False),
    ]
    write_units(units, tmp_path / "plv.jsonl")
    rows = [
        {"id": "r1", "quad": "material conflict", "signal": "attack"},
        {"id": "r2", "quad": "material conflict", "signal": "coerce"},
        {"id": "r3", "quad": "verbal conflict", "signal": "reject"},
        {"id": "r4", "quad": "verbal conflict", "signal": "reject"},
    ]
    monkeypatch.setattr("training.sources.read_source", lambda name, corpora: rows)
    found, differing = gold.compare_with_gold(Path("unused"), standoff=tmp_path)
    assert found == gold.GoldAgreement(4, 3 / 4, 2 / 3, 1 / 3, 1 / 3)
    assert differing == ["r3"]


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the public corpora are not part of the project")
def test_the_texts_said_to_be_in_scope_are_there() -> None:
    sections = {row["id"]: row["topic"] for row in read_source("ag", CORPORA)}
    unfit = read_unfit(STANDOFF)
    assert len(unfit) == 106
    assert {sections.get(row) for row in unfit} == {"business", "science", "sports"}
    assert not unfit & {unit.row for unit in read_units(STANDOFF) if unit.corpus == "ag"}


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the public corpora are not part of the project")
def test_standoff_labels_fit_the_public_text_and_agree_with_gold() -> None:
    found, _ = gold.compare_with_gold(CORPORA)
    assert found.units >= 1000
    assert found.binary >= 0.95
    for name in SOURCES:
        rows = {row["id"]: row for row in read_source(name, CORPORA)}
        for unit in (unit for unit in read_units(STANDOFF) if unit.corpus == name):
            assert list(sentence_problems(to_sentence(unit, rows[unit.row][unit.field]))) == [], unit
    pairs = agreement.standoff_pairs(CORPORA)
    ours, theirs = ([s for both in pairs.values() for s in both[side]] for side in (0, 1))
    assert compare(ours, theirs).direction_alpha >= 0.8
    assert compare(ours, theirs).severity_alpha >= 0.8


def test_a_sample_is_shown_with_its_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--seed", "3", "--html", str(tmp_path / "s.html")]) == 0
    first = capsys.readouterr().out
    assert main(["sample", "--seed", "3"]) == 0
    assert capsys.readouterr().out == first
    assert (tmp_path / "s.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    result = labelled_score(article("x", "y", "E 9 | {A} [shelled the town|attack].", "N 0 | It was [hit in 1980|attack:historical]."), 1)
    assert [(h.text, h.score) for h in result.highlights] == [("shelled the town", 1.0), ("hit in 1980", 0.0)]


def test_stats_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", str(ARTICLES / "civil-war.jsonl"), "--plots", str(tmp_path / "s.png")]) == 0
    assert "articles" in capsys.readouterr().out
    assert (tmp_path / "s.png").stat().st_size > 10_000


def test_the_corpus_as_datasets() -> None:
    rows = sentence_rows(1)
    loaded = to_datasets(1)
    assert {name: len(part) for name, part in loaded.items()} == {name: len(part) for name, part in rows.items()}
    row = next(row for row in loaded["dev"] if row["phrases"])
    assert all(row["text"][p["start"] : p["end"]] == p["text"] for p in row["phrases"])


def test_spread_over_names_by_hand(tiny: Scorer) -> None:
    steady = article("x", "y", "E 9 | {A} [attacked|attack] the border.", "N 0 | The army said it.")
    found = measure_spread(tiny, [steady], 5)
    assert (found["sentences"], found["mean_spread"], found["label_changes"]) == (1, pytest.approx(0.0, abs=1e-5), 0.0)


def test_the_behaviour_suite_never_trains() -> None:
    from escalation.evaluation.behaviour import read_cases
    from training.splits import NEAR, shingles

    held: dict[str, set[str]] = {}
    for case in read_cases():
        for text in case.texts:
            for shingle in shingles(text):
                held.setdefault(shingle, set()).add(text)
    sizes = {text: len(shingles(text)) for texts in held.values() for text in texts}
    near = []
    for article in read_articles(ARTICLES):
        for filled in fill(article, "suite"):
            shared = Counter(text for shingle in shingles(filled.text) for text in held.get(shingle, ()))
            near += [(article.id, text) for text, count in shared.items() if count >= NEAR * min(sizes[text], len(shingles(filled.text)))]
    assert near == []
