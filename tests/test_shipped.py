"""Promises about the shipped model."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from conftest import ROOT

from escalation import Score, Scorer, load, score
from escalation.cli import main
from escalation.model import shipped_models
from training.corpus.schema import ARTICLES, read_articles
from training.data import corpus_item
from training.results import rewrite, speed_text, tables

pytestmark = pytest.mark.slow
STORY = ROOT.parent / "shared" / "articles" / "pakistan-iran-2024-01-18.txt"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return load()


@pytest.fixture(scope="module")
def sample(scorer: Scorer) -> Score:
    return scorer.score((ROOT / "tests/data/sample.txt").read_text(encoding="utf-8"))


def signals(result: Score, words: str) -> set[str]:
    """Signals of the highlights that share a character with `words`."""
    start = result.text.index(words)
    return {h.signal for h in result.highlights if h.start < start + len(words) and h.end > start}


def test_the_sample_reads_right(sample: Score) -> None:
    assert sample.in_scope
    assert sample.label in ("mixed", "escalation")
    assert "restrain" in signals(sample, "measured response")
    assert "sanction" in signals(sample, "recalled its ambassador")
    assert "attack" in signals(sample, "bombed what it called")
    assert "mobilize" in signals(sample, "put two border brigades on alert")
    assert "yield" in signals(sample, "released the two Ostmark pilots")
    assert not signals(sample, "Shares in Ostmark fell 1.2 percent")


def test_the_sample_tells_status_apart(sample: Score) -> None:
    status = {h.text.lower(): h.status for h in sample.highlights}
    assert any(state == "historical" for words, state in status.items() if "war" in words)
    assert any(state == "negated" for words, state in status.items() if "ceasefire" in words or "fired" in words)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Kestria's air force bombed a border town on Monday, killing at least nine people.", "escalation"),
        ("The two governments signed a ceasefire agreement.", "de-escalation"),
        ("The two governments signed a ceasefire agreement after three weeks of fighting.", "de-escalation"),
        ("The minister ruled out talks with the rebels and threatened to storm the city.", "escalation"),
        ("Both armies began to withdraw their troops from the disputed valley.", "de-escalation"),
        ("TROOPS OPEN FIRE ON PROTESTERS", "escalation"),
        ("The valley has about 40,000 inhabitants, most of them farmers.", "neutral"),
        ("The striker attacked down the left and fired a late winner past the goalkeeper.", "neutral"),
        ("Retailers are locked in a price war as supermarkets battle for shoppers.", "neutral"),
        ("The software firm struck a deal to buy its rival after talks collapsed last year.", "neutral"),
    ],
)
def test_plain_sentences(scorer: Scorer, text: str, label: str) -> None:
    assert scorer.score(text).label == label


def test_restraint_is_told_from_threat(scorer: Scorer) -> None:
    calm = scorer.score("The minister said the response had been measured and that his country did not want war.")
    threat = scorer.score("The minister said the response would be crushing and that his country was ready for war.")
    assert calm.score < -0.1 < 0.1 < threat.score


def test_highlights_are_the_score(sample: Score) -> None:
    assert sum(h.score for h in sample.highlights) == pytest.approx(sample.score, abs=1e-9)


def test_a_label_names_only_directions_that_highlights_carry(scorer: Scorer) -> None:
    """On articles of the corpus, as written; of their sentences too."""
    texts = [" ".join(unit.text for unit in corpus_item(article, "dev", "names").units) for article in list(read_articles(ARTICLES))[::40]]
    named = {"escalation": (True, False), "de-escalation": (False, True), "mixed": (True, True), "neutral": (False, False)}
    results = scorer.score_many(texts)
    assert {"escalation", "de-escalation", "mixed", "neutral"} == {result.label for result in results}
    for result in (*results, *(sentence for whole in results for sentence in whole.sentences)):
        carried = (any(h.score > 0 for h in result.highlights), any(h.score < 0 for h in result.highlights))
        assert all(there or not name for name, there in zip(named[result.label], carried, strict=True)), result.text


def test_offsets_are_exact(sample: Score) -> None:
    assert all(sample.text[h.start : h.end] == h.text for h in (*sample.highlights, *sample.sentences))


def test_the_only_signal_of_a_long_text_is_found_at_its_end(scorer: Scorer) -> None:
    filler = "The town lies on the river and has about forty thousand inhabitants. The market opens at eight. "
    text = filler * 2100 + "The army shelled the town on Monday, killing nine people."
    assert len(text) > 200_000
    result = scorer.score(text)
    assert result.coverage.characters == len(text)
    assert result.coverage.tokens == result.coverage.total_tokens
    assert any(h.signal == "attack" and h.start > len(text) - 60 for h in result.highlights)


def test_a_name_does_not_decide(scorer: Scorer) -> None:
    names = ["Iran", "Norway", "Pakistan", "the United States", "Israel", "Uruguay", "Russia", "Ghana"]
    scores = [scorer.score(f"On Tuesday {name} recalled its ambassador and put its border troops on alert.").score for name in names]
    assert max(scores) - min(scores) < 0.25
    assert min(scores) > 0.1


def test_a_text_has_the_same_figures_whatever_it_is_scored_with(scorer: Scorer, sample: Score) -> None:
    texts = ["The army shelled the town.", sample.text, "A truce was signed on Monday."]
    together = scorer.score_many(texts)
    assert together == [scorer.score(text) for text in texts]


def test_score_uses_the_default_model_and_keeps_it_loaded() -> None:
    score("Warm up.")
    started = time.perf_counter()
    result = score("The army shelled the town.")
    assert time.perf_counter() - started < 0.25
    assert result.model.startswith("newswire-en ")


def test_the_card_and_metrics_came_with_the_model() -> None:
    folder = shipped_models()["newswire-en"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 60e6
    figures = json.loads((folder / "metrics.json").read_text())
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{figures['test']['corpus_direction_f1']:.3f}" in card
    assert "GPL-3.0" in card
    assert 'name = "newswire-en"' in (folder / "train.toml").read_text()


def test_the_readme_table_is_what_the_command_writes() -> None:
    found = json.loads((ROOT / "docs/results.json").read_text(encoding="utf-8"))
    written = tables(found["dev"], found["test"], found.get("names"))
    assert found["dev"]["model"] == load().name
    for path in (ROOT / "README.md", ROOT / "models/newswire-en/README.md"):
        text = path.read_text(encoding="utf-8")
        assert rewrite(text, written, path.name) == text
        assert written in text


def test_the_readme_quotes_the_benchmark() -> None:
    benchmarks = [json.loads((ROOT / "docs" / name).read_text(encoding="utf-8")) for name in ("benchmark.json", "benchmark-no-vnni.json")]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert rewrite(readme, speed_text(*benchmarks), "README.md", "speed") == readme


def test_models_command_lists_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert re.search(r"^newswire-en\t\d+\.\d+\.\d+\ten\t\d+\.\d MB\t", capsys.readouterr().out, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def story(scorer: Scorer) -> Score:
    return scorer.score(STORY.read_text(encoding="utf-8"))


@pytest.mark.skipif(not STORY.is_file(), reason="the story is not part of the project")
class TestStory:
    """The story that the project started from."""

    def test_label(self, story: Score) -> None:
        assert story.in_scope
        assert story.label in ("mixed", "escalation")

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("measured response", {"restrain"}),
            ("conducted strikes inside Iran on Thursday", {"attack"}),
            ("several missiles hit a village", {"attack"}),
            ("strongly condemns the strikes", {"accuse"}),
            ("recalled its ambassador from Iran", {"sanction"}),
            ("would meet any", {"threaten"}),
        ],
    )
    def test_phrase(self, story: Score, words: str, expected: set[str]) -> None:
        assert signals(story, words) & expected

    @pytest.mark.parametrize("words", ["Skip to main content", "View all News", "Read original article here", "The Karachi stock index fell"])
    def test_furniture_and_markets_are_unmarked(self, story: Score, words: str) -> None:
        assert not signals(story, words)

    def test_the_groups_past_is_not_news(self, story: Score) -> None:
        start = story.text.index("In its previous incarnation")
        assert all(h.score == pytest.approx(0, abs=0.005) for h in story.highlights if h.start >= start)

    def test_offsets_and_sum(self, story: Score) -> None:
        assert all(story.text[h.start : h.end] == h.text for h in story.highlights)
        assert sum(h.score for h in story.highlights) == pytest.approx(story.score, abs=1e-9)


def test_the_story_itself_is_not_in_the_project() -> None:
    if STORY.is_file():
        line = max(STORY.read_text(encoding="utf-8").splitlines(), key=len)
        for path in (ROOT / "training/corpus").rglob("*.jsonl"):
            assert line not in Path(path).read_text(encoding="utf-8")


def test_the_model_file_tells_nothing_of_the_machine_that_made_it() -> None:
    raw = (shipped_models()["newswire-en"] / "model.onnx").read_bytes()
    assert b"site-packages" not in raw
    assert b"training/network.py" not in raw
