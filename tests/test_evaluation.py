"""`evaluate` on the tiny model, which reads words by a lexicon: what it says can be worked out by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from escalation.cli import main
from escalation.evaluation import Report, evaluate, read_labelled
from escalation.evaluation.baselines import load_baseline
from escalation.evaluation.behaviour import Case, ExpectedPhrase, judge, read_case, read_cases
from escalation.evaluation.faithfulness import KEYS, measure_faithfulness, variants, words_of
from escalation.evaluation.petrarch import read_patterns
from escalation.evaluation.slices import length_slice, position_slice
from escalation.scorer import Scorer, load

E, D = "escalation", "de-escalation"
ROWS = [
    {"id": "a", "text": "the army attacked the border and the minister said it", "label": E, "severity": 10, "in_scope": True, "topic": "war"},
    {"id": "b", "text": "the minister said the army withdrew", "label": D, "severity": -8, "in_scope": True, "topic": "peace"},
    {"id": "c", "text": "the striker said football and the goal", "label": "neutral", "severity": 0, "in_scope": False, "topic": "sport"},
    {"id": "d", "text": "the minister condemned the border", "label": "neutral", "severity": 0, "in_scope": True, "topic": "war"},
]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def report(labelled: Path, tiny: Scorer) -> Report:
    return evaluate(labelled, tiny, behaviour=False, draws=20)


def test_a_report_counts_what_the_scorer_says(report: Report, tiny: Scorer) -> None:
    said = [tiny.score(str(row["text"])).label for row in ROWS]
    right = np.mean([label == row["label"] for label, row in zip(said, ROWS, strict=True)])
    assert report.figure("direction_accuracy", "texts").value == pytest.approx(right)
    (level,) = report.levels
    assert sum(map(sum, level.confusion)) == 4
    assert (report.model, report.texts, report.sentences, report.draws) == ("tiny 1", 4, 0, 20)


def test_what_the_labels_do_not_allow_is_named_and_not_made_up(report: Report) -> None:
    assert any(text.startswith("phrases of texts") for text in report.missing)
    with pytest.raises(KeyError, match="was not measured; measured: "):
        report.figure("span_f1", "texts")


def test_labelled_sentences_are_read_as_labelled(tmp_path: Path, tiny: Scorer) -> None:
    # The splitter would make one sentence of this; the labels say two.
    row = {"sentences": [{"text": "the army attacked", "label": E, "phrases": [{"start": 9, "end": 17, "signal": "attack", "status": "asserted"}]},
                         {"text": "the minister said it", "label": "neutral", "phrases": []}]}  # fmt: skip
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    report = evaluate(path, tiny, behaviour=False, draws=5)
    assert report.sentences == 2
    assert report.figure("span_f1").value == 1.0
    assert report.figure("direction_accuracy").value == 1.0
    assert report.figure("evidence_auprc").value == 1.0


def test_highlights_add_up_and_removing_them_removes_the_score(report: Report) -> None:
    assert report.largest_gap is not None
    assert report.largest_gap < 1e-9
    assert report.figure("score_drop", "texts").value > 5 * abs(report.figure("score_drop_random", "texts").value)


def test_variants_remove_replace_and_keep_exactly_the_chosen_words() -> None:
    text = "The army attacked, it said."
    chosen = {words_of(text)[2]}
    assert variants(text, chosen) == ["The army , it said.", "The army something, it said.", "attacked"]


def test_faithfulness_by_hand(tiny: Scorer) -> None:
    text = "the army attacked the border"
    before, removed, alone = (tiny.score(t) for t in (text, "the army the border", "attacked"))
    found = measure_faithfulness(tiny, [before])
    values = dict(zip(KEYS, found.values[0], strict=True))
    assert values["comprehensiveness"] == pytest.approx(before.probabilities[E] - removed.probabilities[E])
    assert values["sufficiency"] == pytest.approx(before.probabilities[E] - alone.probabilities[E])
    assert values["score_drop"] == pytest.approx(abs(before.score) - abs(removed.score))


def test_slices_name_lengths_and_positions() -> None:
    assert [length_slice(n) for n in (1, 10, 39, 40, 500)] == ["1 to 10 words", "11 to 20 words", "21 to 40 words", "41 to 200 words", "over 200 words"]
    assert [position_slice(n, 10) for n in (0, 1, 4, 9)] == ["first sentence", "first third", "middle third", "last third"]


def test_baselines_run_by_the_same_command(labelled: Path, tmp_path: Path, tiny: Scorer) -> None:
    pytest.importorskip("vaderSentiment")
    patterns = tmp_path / "patterns.txt"
    patterns.write_text(DICTIONARY)
    names = ["baseline:majority", "baseline:vader", "baseline:petrarch", "baseline:tfidf"]
    report = evaluate(labelled, tiny, against=names, train=labelled, patterns=patterns, behaviour=False, draws=5)
    assert [c.model for c in report.comparisons] == ["majority", "VADER", "PETRARCH patterns", "TF-IDF + logistic regression"]
    assert all("direction_f1" in {d.key for d in c.differences} for c in report.comparisons)


def test_majority_gives_the_most_frequent_label_and_the_mean_severity(labelled: Path) -> None:
    texts = read_labelled(labelled)
    found = load_baseline("baseline:majority", texts=texts).predict(texts)
    assert {p.whole.label for p in found} == {"neutral"}
    assert found[0].whole.score == pytest.approx(0.05)


def test_tfidf_learns_its_training_file(labelled: Path) -> None:
    texts = read_labelled(labelled)
    assert [p.whole.label for p in load_baseline("baseline:tfidf", train=labelled).predict(texts)][:2] == [E, D]


DICTIONARY = """
&TROOPS
+SOLDIER
+TANK

---  ATTACK   [190]  ---
ATTACK {ATTACKED ATTACKS}
STORM
- * PLAN [---] # no event
- * {CEASE FIRE} [1244]
- &TROOPS * VILLAGE [195]

---  WITHDRAW   [---]  ---
WITHDRAW {WITHDREW}
- * &TROOPS [087]
"""


def test_petrarch_patterns_match_around_the_verb(tmp_path: Path) -> None:
    path = tmp_path / "verbs.txt"
    path.write_text(DICTIONARY)
    dictionary = read_patterns(path)
    assert dictionary.find_event("Rebels stormed the town") == "attack"  # PETRARCH's regular forms, the block's own code
    assert dictionary.find_event("They attacked the plan") is None  # [---]
    assert dictionary.find_event("He attacked the cease fire") == "reject"  # 12
    assert dictionary.find_event("Paris withdrew its tanks") == "yield"  # 08, plural of a word of the set
    assert dictionary.find_event("Paris withdrew its remarks") is None
    assert dictionary.find_event("Nothing happened") is None


def test_a_behaviour_case_says_what_is_wrong(tiny: Scorer) -> None:
    text = "the army attacked the border"
    result = [tiny.score(text)]
    right = Case("x-1", "x", "MFT", (text,), labels=(E,), in_scope=True, phrases=(ExpectedPhrase("attacked", ("attack",), ("asserted",)),), why="r")
    assert judge(right, result).problems == ()
    wrong = Case(
        "x-2", "x", "MFT", (text,), labels=(D,), phrases=(ExpectedPhrase("border"), ExpectedPhrase("attacked", ("agree",))), absent=("attacked",), why="r"
    )
    assert len(judge(wrong, result).problems) == 4


def test_invariance_and_direction_are_judged_over_all_texts(tiny: Scorer) -> None:
    texts = ("the minister condemned it", "the army attacked it", "the army said it")
    invariance = Case("x-1", "x", "INV", (texts[0], texts[1]), why="r")
    assert judge(invariance, [tiny.score(t) for t in invariance.texts]).problems
    rising = Case("x-2", "x", "DIR", (texts[2], texts[0], texts[1]), why="r")
    assert judge(rising, [tiny.score(t) for t in rising.texts]).problems == ()
    falling = Case("x-3", "x", "DIR", rising.texts[::-1], why="r")
    assert len(judge(falling, [tiny.score(t) for t in falling.texts]).problems) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lable": "x"}, "unknown fields"),
        ({"label": "hot"}, "none of"),
        ({"absent": ["z"]}, "stand once"),
        ({"type": "MTF"}, "type must be"),
        ({"why": ""}, "why is missing"),
        ({"label": None}, "needs at least one"),
    ],
)
def test_a_case_that_can_not_be_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_case({"id": "a-1", "capability": "a", "type": "MFT", "text": "b", "label": "neutral", "why": "rule"} | change)


def test_the_suite_holds_every_capability_and_400_cases() -> None:
    cases = read_cases()
    wanted = {
        "signal", "restraint", "negation", "factuality", "hypothetical", "history", "quotation", "metaphor", "graded-severity", "names", "country", "typo",
        "case-and-punctuation", "headline", "long-sentence",
    }  # fmt: skip
    assert len(cases) >= 400
    assert {case.capability for case in cases} == wanted
    assert all(sum(case.capability == name for case in cases) >= 20 for name in wanted)
    signals = {signal for case in cases if case.capability == "signal" for phrase in case.phrases for signal in phrase.signals}
    assert len(signals) == 16


def test_the_page_needs_no_network_and_escapes_the_text(tmp_path: Path, tiny: Scorer) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"id": f"<script>{n}", "text": f"the army <b>withdrew</b> & said it {n}", "label": E, "severity": 5} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = evaluate(path, tiny, behaviour=False, draws=5).to_html()
    assert not re.search(r'(?:src|href)="(?!#)', page.replace('xlink:href="#', 'href="#'))
    assert "<script" not in page
    assert "<b>withdrew" not in page
    assert "&lt;script&gt;0" in page
    assert "prefers-color-scheme:dark" in page
    assert page.count("<svg") >= 3


def test_json_of_a_report_has_no_nan(report: Report) -> None:
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["figures"]


def test_the_command_prints_a_table_and_writes_both_files(labelled: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    assert main(["evaluate", str(labelled), "--model", str(tiny_folder), "--no-behaviour", "--draws", "5", "--report", str(page), "--json", str(data)]) == 0
    printed = capsys.readouterr().out
    assert "Direction, accuracy" in printed
    assert "NOT MEASURED" in printed
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert json.loads(data.read_text())["texts"] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.csv"], "is no file"),
        (["{file}", "--model", "baseline:none"], "baseline must be one of"),
        (["{file}", "--model", "baseline:petrarch"], "needs patterns"),
        (["{file}", "--model", "baseline:tfidf"], "needs train"),
        (["{file}", "--draws", "0"], "draws must be"),
        (["{file}", "--model", "nowhere"], "neither a shipped model"),
    ],
)
def test_wrong_use_ends_with_a_clear_error(arguments: list[str], said: str, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--no-behaviour", *[argument.format(file=labelled) for argument in arguments]]) == 2
    assert said in capsys.readouterr().err


def make_labels(path: Path, count: int) -> Path:
    texts = [
        ("the army attacked the border", E, 6),
        ("the minister withdrew it", D, -4),
        ("the minister said it", "neutral", 0),
        ("the minister condemned it", "neutral", 0),
    ]
    rows = [{"id": str(n), "text": texts[n % 4][0], "label": texts[n % 4][1], "severity": texts[n % 4][2], "in_scope": True} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_recalibration_fits_probabilities_to_the_labels(tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_labels(tmp_path / "mine.jsonl", 160)
    assert main(["recalibrate", str(data), "-o", str(tmp_path / "mine"), "--model", str(tiny_folder)]) == 0
    assert "probability of escalation of a text: 160 labels" in capsys.readouterr().out
    before, after = (evaluate(data, folder, behaviour=False, draws=2).figure("brier", "texts").value for folder in (tiny_folder, tmp_path / "mine"))
    assert after < before
    assert load(tmp_path / "mine").name == "mine 1+recalibrated"
    assert json.loads((tmp_path / "mine" / "recalibration.json").read_text())["model"] == "tiny 1"


def test_recalibration_fits_the_events_to_coded_sentences(tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["the army attacked the border", "the minister condemned it"]
    rows = [{"text": texts[n % 2], "signal": ("threaten", "accuse")[n % 2]} for n in range(40)]
    data = tmp_path / "coded.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["recalibrate", str(data), "-o", str(tmp_path / "mine"), "--model", str(tiny_folder)]) == 0
    assert "events: 40 coded sentences" in capsys.readouterr().out

    def likelihood(folder: Path) -> float:
        return math.prod(load(folder).score(row["text"]).events[row["signal"]] for row in rows[:2])

    assert likelihood(tmp_path / "mine") > likelihood(tiny_folder)
    data.write_text("".join(json.dumps(row) + "\n" for row in [*rows[:19], {"text": texts[0], "signal": "restrain"}]))
    assert main(["recalibrate", str(data), "-o", str(tmp_path / "few"), "--model", str(tiny_folder)]) == 2
    assert "events: 19 coded sentences; 20 are needed" in capsys.readouterr().err


def test_too_few_labels_say_how_many_are_needed_and_write_nothing(tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recalibrate", str(make_labels(tmp_path / "few.jsonl", 12)), "-o", str(tmp_path / "few"), "--model", str(tiny_folder)]) == 2
    said = capsys.readouterr().err
    assert "3 labels yes and 9 no; 20 of each are needed" in said
    assert not (tmp_path / "few").exists()


def test_recalibration_never_writes_over_a_folder(tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old").mkdir()
    assert main(["recalibrate", str(make_labels(tmp_path / "a.jsonl", 160)), "-o", str(tmp_path / "old"), "--model", str(tiny_folder)]) == 2
    assert "exists already" in capsys.readouterr().err
