"""The corpus tools: markup, validator, slots, stand-off labels; and the corpus itself is valid."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from training.corpus.__main__ import main
from training.corpus.fill import fill, indefinite, join, names, substitute
from training.corpus.markup import MarkupError, format_article, parse_articles
from training.corpus.schema import ARTICLES, STANDOFF, Article, article_to_dict, read_articles, write_articles
from training.corpus.standoff import parse_line, read_units
from training.corpus.validate import problems
from training.corpus.variety import distinct_openings, minimal_pairs, repeated_runs, wordings

DRAFT = """=== article
scenario: lake-patrol
topic: naval
region: East Africa
voice: agency
year: 2014
scope: in
label: mixed
severity: 1
slots: A=country B=country P=person.f/B

E 5 | {A} [recalled its ambassador|sanction] from {B.capital} on {weekday}.
M 1 | Minister {P} [vowed an answer|threaten] but said {B} [did not want war|restrain].

N 0 | A {A.adj} boat [was sunk there|attack:historical:8] in 1971.
E 3 | [No truce was reached|agree:negated], and an {A.adj} boat turned back.
X 0 | Tea prices rose.
"""


def parsed(text: str = DRAFT) -> Article:
    (article,) = parse_articles(text, "draft")
    assert isinstance(article, Article), article
    return article


def test_markup_round_trip() -> None:
    article = parsed()
    assert [s.direction for s in article.sentences] == ["escalation", "mixed", "neutral", "escalation", "neutral"]
    assert article.sentences[2].phrases[0].severity == 8
    assert [s.paragraph for s in article.sentences] == [0, 0, 1, 1, 1]
    assert list(parse_articles(format_article(article), "other")) == [article]
    assert problems([article]) == []


def test_json_lines_round_trip(tmp_path: Path) -> None:
    write_articles([parsed()], tmp_path / "a.jsonl")
    assert list(read_articles(tmp_path)) == [parsed()]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("|sanction]", "|sanctions]", "unknown signal 'sanctions'"),
        (":historical", ":historic", "unknown status 'historic'"),
        ("E 5 |", "Q 5 |", "LABEL SEVERITY"),
        ("[did not want war|restrain]", "[did not [want|restrain] war|restrain]", "do not nest"),
        ("region: East Africa\n", "", "header lacks region"),
        ("year: 2014", "year: soon", "soon"),
    ],
)
def test_broken_markup_is_named_with_its_line(old: str, new: str, message: str) -> None:
    (error,) = parse_articles(DRAFT.replace(old, new), "draft")
    assert isinstance(error, MarkupError)
    assert "line " in str(error)
    assert message in str(error)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("E 5 |", "E -5 |", "wrong sign"),
        ("E 5 |", "N 0 |", "asserted escalation phrase but is labelled neutral"),
        ("[recalled its ambassador|sanction]", "recalled its ambassador", "no phrase carries escalation"),
        ("P=person.f/B", "P=person.f/C", "not a country slot"),
        ("{B.capital}", "{C}", "not declared"),
        ("{B.capital}", "{B.king}", "has the forms"),
        ("voice: agency", "voice: poem", "unknown voice"),
        ("label: mixed", "label: both", "unknown label"),
        ("severity: 1\n", "severity: 11\n", "outside -10..10"),
        ("year: 2014", "year: 1914", "outside 1950"),
        ("|attack:historical:8]", "|attack:historical:3]", "over 3 from the default"),
        ("Tea prices rose.", "Tea prices [rose|attack].", "not figurative"),
        ("scope: in", "scope: out", "out of scope but not labelled neutral"),
    ],
)
def test_the_validator_finds_each_kind_of_mistake(old: str, new: str, message: str) -> None:
    found = problems([parsed(DRAFT.replace(old, new))])
    assert any(message in problem for problem in found), found


def test_the_validator_finds_shifted_offsets_and_duplicates() -> None:
    article = parsed()
    sentence = article.sentences[0]
    phrase = dataclasses.replace(sentence.phrases[0], start=sentence.phrases[0].start + 1, end=sentence.phrases[0].end + 1)
    broken = dataclasses.replace(article, sentences=(dataclasses.replace(sentence, phrases=(phrase,)), *article.sentences[1:]))
    assert any("offsets" in problem for problem in problems([broken]))
    twice = problems([article, dataclasses.replace(article, scenario="other")])
    assert any("is used 2 times" in problem for problem in twice)
    assert any("repeats draft-001 sentence 1" in problem for problem in twice)


def test_the_checker_names_file_line_field_value_and_rule_of_every_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = article_to_dict(parsed())
    wrong = {**record, "year": "soon", "colour": 1}
    sentence = {**record["sentences"][0], "severity": True}
    nested = {**record, "id": "x", "sentences": [sentence, *record["sentences"][1:]]}
    lines = [json.dumps(wrong), "{", json.dumps(nested), json.dumps(record), "[]"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    assert main(["check", str(tmp_path / "a.jsonl")]) == 1
    out = capsys.readouterr().out
    assert "a.jsonl line 1: " in out
    assert "unknown field 'colour'" in out
    assert "field 'year' must be a whole number, got 'soon'" in out
    assert "a.jsonl line 2: " in out
    assert "a.jsonl line 3: article 'x' sentence 1: field 'severity' must be a whole number, got True" in out
    assert "a.jsonl line 5: the record must be an object, got []" in out
    assert "1 articles" in out
    assert "4 problems" in out


def test_a_slot_gets_the_same_name_throughout_and_offsets_follow() -> None:
    for seed in range(60):
        filled = fill(parsed(), seed)
        for sentence in filled:
            assert "{" not in sentence.text
            assert all(sentence.text[p.start : p.end] == p.text for p in sentence.phrases)
        assert filled[0].phrases[0].text == "recalled its ambassador"
        assert filled[1].phrases[1].text == "did not want war"
        text, starts = join(filled)
        assert all(text[start : start + len(s.text)] == s.text for start, s in zip(starts, filled, strict=True))
    assert fill(parsed(), 1) == fill(parsed(), 1)
    assert len({fill(parsed(), seed)[0].text for seed in range(20)}) > 15


def test_indefinite_article_and_capital() -> None:
    assert substitute("A {X} ship met an {Y} one.", {"X": "Iranian", "Y": "Ukrainian"})[0] == "An Iranian ship met a Ukrainian one."
    assert substitute('"{X} will wait."', {"X": "the Netherlands"})[0] == '"The Netherlands will wait."'
    assert [indefinite(word) for word in ("U.S.", "Emirati", "Ugandan", "Nepali", "NATO", "honest")] == ["a", "an", "a", "a", "an", "an"]


def test_no_public_sentence_is_labelled_twice_by_one_labeller() -> None:
    fields: dict[tuple[str, str, str, bool], list[tuple[int, int]]] = {}
    for unit in read_units(STANDOFF):
        fields.setdefault((unit.corpus, unit.row, unit.field, unit.second), []).append((unit.start, unit.end))
    for where, spans in fields.items():
        assert all(end <= start for (_, end), (start, _) in pairwise(sorted(spans))), where


def test_standoff_line() -> None:
    texts = {"x#0": "It condemned the raid and asked for calm."}
    unit, sentence = parse_line("x#0 | M 1 | condemned the raid :: accuse ; asked for calm :: restrain:asserted:3", texts)
    assert unit == "x#0"
    assert [(p.text, p.signal, p.severity) for p in sentence.phrases] == [("condemned the raid", "accuse", None), ("asked for calm", "restrain", 3)]
    with pytest.raises(MarkupError, match="stands 0 times"):
        parse_line("x#0 | E 2 | condemns :: accuse", texts)
    with pytest.raises(MarkupError, match="unknown id"):
        parse_line("y | N 0 |", texts)


def test_add_writes_nothing_while_a_problem_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draft, target = tmp_path / "d.txt", tmp_path / "out.jsonl"
    draft.write_text(DRAFT.replace("E 5 |", "N 0 |"))
    assert main(["add", str(draft), "--to", str(target)]) == 1
    assert not target.exists()
    draft.write_text(DRAFT)
    assert main(["check", str(draft)]) == 0
    assert main(["add", str(draft), "--to", str(target)]) == 0
    assert main(["add", str(draft), "--to", str(target)]) == 0
    assert len(list(read_articles(target))) == 1
    assert "1 articles" in capsys.readouterr().out


def test_the_corpus_is_valid_and_as_large_as_promised() -> None:
    articles = list(read_articles(ARTICLES))
    assert problems(articles) == []
    inside = [article for article in articles if article.in_scope]
    assert len(inside) >= 350
    assert len({article.scenario for article in inside}) >= 120
    assert len(articles) - len(inside) >= 150
    sentences = [sentence for article in articles for sentence in article.sentences]
    assert len(sentences) >= 6500
    assert sum(sentence.de_escalation for sentence in sentences) >= 1500
    assert sum(sentence.direction == "mixed" for sentence in sentences) >= 250
    assert minimal_pairs(articles) >= 400
    assert wordings(articles, "restrain") >= 200
    status = Counter(phrase.status for sentence in sentences for phrase in sentence.phrases)
    assert min(status[name] for name in ("hypothetical", "negated", "historical")) >= 400


NEWSWIRE = (
    "crises", "armed-groups", "truces", "factuality", "restraint-and-headlines", "diplomacy", "domestic-unrest", "look-alikes",
    "newswire-long", "signals", "voices", "direction-pairs", "group-background",
)  # fmt: skip
SHORT = (
    "restraint-in-words", "restraint-in-deeds", "holding-back", "fact-and-rumour", "no-and-not", "might-and-was", "said-and-meant", "headlines-and-leads",
    "both-ways", "told-otherwise", "plain-acts", "who-they-are", "crisis-stories", "other-papers", "other-sections",
    "might-or-did", "calm-and-measure", "said-plainly", "claimed-and-denied", "headlines-and-quotes", "what-is-not-an-act", "two-ways-at-once",
    "plans-and-threats", "quiet-steps", "plain-verbs", "front-pages", "not-so", "other-pages", "short-leads",
    "acts-as-topics", "capital-letters", "changed-plans", "kept-in-bounds", "neither-nor", "show-of-strength", "wars-elsewhere", "what-may-come",
    "crisis-day", "crisis-backdrop", "crisis-reaction", "crisis-headlines",
    "wire-motives", "wire-diary", "wire-amid", "wire-posture", "wire-tickers", "wire-ruled-out", "wire-hints", "wire-other-news",
    "announced-diary", "announced-plans", "analysts-say", "journeys-cut",
)  # fmt: skip


def test_the_corpus_is_written_and_not_stamped_out() -> None:
    articles = list(read_articles(ARTICLES))
    freer = [article for article in articles if not article.id.startswith((*NEWSWIRE, *SHORT))]
    short = [article for article in articles if article.id.startswith(SHORT)]
    assert repeated_runs(short) < 0.02
    assert distinct_openings(short) > 0.88
    assert repeated_runs(freer) < 0.03
    assert distinct_openings(freer) > 0.85
    assert repeated_runs(articles) < 0.04  # plain newswire has its formulas, and opens with who did it
    assert distinct_openings(articles) > 0.78


def test_names_are_many_and_well_formed() -> None:
    lists = names()
    assert len(lists["countries"]) >= 110
    assert all({"name", "adj", "people", "capital", "cities", "names"} <= set(country) for country in lists["countries"])
    assert all(country["names"] in lists["person_names"] for country in lists["countries"])
