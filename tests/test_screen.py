"""The screen: what it passes over, what a caller gets then, and how it is fitted."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, VOCABULARY, write_tiny_model

from escalation import Scorer, load
from escalation.batch import score_files
from escalation.batch.cluster import PartScorer, _total
from escalation.batch.jobs import choose_options, describe, settle
from escalation.batch.places import Folder
from escalation.batch.survey import survey_source
from escalation.calibration import Calibration
from escalation.cli import main
from escalation.evaluation.recalibrate import write_folder
from escalation.evidence import N_LOGITS
from escalation.model import CONFIG_FILE, piece_ids
from escalation.scorer import SCREENED
from escalation.screen import SCREEN_FILE, Screen, ScreenSettings, cut, features
from training.card import screen_table
from training.config import Config
from training.corpus.schema import ARTICLES, read_articles
from training.data import Dataset, Item, Unit, corpus_item, item_text
from training.export import write_model
from training.results import rewrite
from training.screen import KEEP, choose_threshold, fit_screen, fit_weights, has_signal, measure_screen, measure_speed, put_screen, scope_of, tell
from training.start import start_screen

PAIRS = 64
SPORT = "The striker and the football."
NEWS = "The army attacked the border."


def make_screen(**weights: int) -> Screen:
    """A screen that knows some words; a block passes from 0."""
    table = np.zeros(len(VOCABULARY) + PAIRS, np.int8)
    for word, weight in weights.items():
        table[VOCABULARY.index(word)] = weight
    return Screen(ScreenSettings(len(VOCABULARY), PAIRS, block=8, scale=0.1, intercept=-0.01, threshold=0.0), table)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose screen knows two words."""
    path = write_tiny_model(tmp_path_factory.mktemp("screened") / "model")
    put_screen(make_screen(army=100, football=-100), path, "2")
    return path


@pytest.fixture(scope="module")
def screened(folder: Path) -> Scorer:
    return load(folder, threads=1, screen=True)


def ids(*words: str) -> np.ndarray:
    return np.array([VOCABULARY.index(word) for word in words])


def test_features_are_pieces_and_pairs_each_once() -> None:
    block = ids("the", "army", "the", "army")
    found = features(block, len(VOCABULARY), PAIRS)
    assert set(block) == {row for row in found if row < len(VOCABULARY)}
    assert len(found) == 2 + len({(a * 1_000_003 + b * 30_011) % PAIRS for a, b in pairwise(block)})
    assert found.max() < len(VOCABULARY) + PAIRS
    assert len(features(block[:0], len(VOCABULARY), PAIRS)) == 0


def test_evidence_is_the_sum_over_the_root_of_the_number() -> None:
    screen = make_screen(army=100, football=-100)
    assert screen.evidence(ids("army")) == pytest.approx(-0.01 + 0.1 * 100)
    assert screen.evidence(ids("army", "the")) == pytest.approx(-0.01 + 0.1 * 100 / 3**0.5)
    assert screen.evidence(ids("army")[:0]) == pytest.approx(-0.01)


def test_one_block_is_enough_for_a_long_text() -> None:
    screen = make_screen(army=127, football=-100)
    sport = ids(*["football"] * 80)
    assert not screen.passes(sport)
    assert screen.passes(np.concatenate([sport, ids("army"), sport]))


def test_blocks_hold_everything_once() -> None:
    for length in (0, 1, 8, 9, 1000):
        blocks = cut(np.arange(length), 8)
        assert np.array_equal(np.concatenate(blocks), np.arange(length))
        assert max(map(len, blocks)) <= 8


def test_a_text_that_is_passed_over_says_so_and_is_not_read(screened: Scorer, folder: Path) -> None:
    result = screened.score(SPORT)
    assert (result.label, result.score, result.in_scope, result.highlights, result.sentences) == ("neutral", 0.0, False, (), ())
    assert result.warnings == (SCREENED,)
    assert (result.coverage.characters, result.coverage.tokens, result.language) == (0, 0, "en")
    assert result.coverage.total_tokens == load(folder, threads=1).score(SPORT).coverage.total_tokens


def test_what_passes_has_the_figures_that_it_has_without(screened: Scorer, folder: Path) -> None:
    texts = [SPORT, NEWS, "", "Войска обстреляли город на границе в понедельник.", NEWS + " " + SPORT]
    plain, found = load(folder, threads=1).score_many(texts), screened.score_many(texts)
    assert found[1:] == plain[1:]
    assert found[0] != plain[0]


def test_it_is_off_unless_chosen(folder: Path) -> None:
    result = load(folder, threads=1).score(SPORT)
    assert not result.warnings
    assert result.coverage.characters == len(SPORT)


def test_a_model_without_one_is_named_with_the_remedy(tiny_folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model tiny 1 has no screen; leave screen out, or add one with python -m training.screen"):
        load(tiny_folder, screen=True)
    text = tmp_path / "a.txt"
    text.write_text(NEWS)
    assert main(["score", str(text), "--model", str(tiny_folder), "--screen"]) == 2
    assert "has no screen" in capsys.readouterr().err


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw[:-1] + b"\x01"])
def test_a_damaged_table_is_refused(folder: Path, tmp_path: Path, change) -> None:
    copy = write_tiny_model(tmp_path / "model")
    put_screen(make_screen(army=100), copy, None)
    (copy / SCREEN_FILE).write_bytes(change((copy / SCREEN_FILE).read_bytes()))
    with pytest.raises(ValueError, match=rf"{SCREEN_FILE} was changed"):
        load(copy)


def test_a_table_of_another_size_is_refused(tmp_path: Path, reseal) -> None:
    copy = write_tiny_model(tmp_path / "model")
    put_screen(make_screen(), copy, None)
    settings = json.loads((copy / CONFIG_FILE).read_text())["screen"]
    reseal(copy, screen={**settings, "pairs": PAIRS + 1})
    with pytest.raises(ValueError, match=r"not int8 of \d+ rows"):
        load(copy, screen=True)


@pytest.mark.parametrize("level", ["article", "sentence", "highlight"])
def test_a_batch_counts_what_was_passed_over(folder: Path, tmp_path: Path, level: str) -> None:
    texts = [SPORT, NEWS, "", SPORT]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    done = score_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", model=folder, level=level, screen=True)
    assert (done.rows, done.screened, done.warned) == (4, 2, 3)
    assert "2 articles were passed over by the screen and not scored" in done.summary()
    assert "1 article was not scored: empty" in done.summary()
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(rows) == (4 if level == "article" else 1)
    if level == "article":
        assert [row["warnings"] == [SCREENED] for row in rows] == [True, False, False, True]


def test_a_batch_with_a_screen_is_another_command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was stopped without a screen does not go on with one: its output would be of two kinds."""
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": f"{NEWS} {number}"}) + "\n" for number in range(300)))
    calls = iter(range(100))

    def stop(*_: object, **__: object) -> None:
        if next(calls):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("escalation.batch.journal.Journal.write", wrap(stop))
        with pytest.raises(KeyboardInterrupt):
            score_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", model=folder)
    with pytest.raises(ValueError, match="screen was None, is True"):
        score_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", model=folder, screen=True)
    assert score_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", model=folder).rows == 300


def test_what_was_passed_over_is_counted_over_all_beginnings(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": f"{SPORT} {number}"}) + "\n" for number in range(300)))
    calls = iter(range(100))

    def stop() -> None:
        if next(calls) > 1:  # after the first chunk
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("escalation.batch.journal.Journal.write", wrap(stop))
        with pytest.raises(KeyboardInterrupt):
            score_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", model=folder, screen=True)
    done = score_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", model=folder, screen=True)
    assert done.resumed
    assert (done.rows, done.screened) == (300, 300)


def test_a_cluster_is_told_before_it_starts(tiny_folder: Path, tmp_path: Path) -> None:
    """What a job is made of says it; no worker need find out."""
    options = choose_options("", text_column="text", id_column=None, level="article", prefix="", output_format="jsonl", screen=True)
    with pytest.raises(ValueError, match="model tiny 1 has no screen"):
        describe(options, tiny_folder)


def test_a_worker_of_the_cluster_screens(folder: Path, tmp_path: Path) -> None:
    """Ray apart: the actor that makes the parts, by itself."""
    options = choose_options("", text_column="text", id_column=None, level="article", prefix="", output_format="jsonl", screen=True)
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in (SPORT, NEWS)))
    job = settle([str(source)], options, folder, input_format=None, ignore=[])
    job = replace(job, survey=survey_source(job.sources[0], options.needed))
    worker = PartScorer(job, str(tmp_path / "out"), str(folder), 1)
    (found,) = job.sources
    told = worker({"part": ["part-00000.jsonl"], "name": [found.name], "format": [found.format], "address": [found.address]})
    assert told["error"] == [""]
    assert _total(Folder(str(tmp_path / "out")), ["part-00000.jsonl"], set(), ()).screened == 1


def test_the_screen_of_what_a_run_started_from_is_found(folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    found = start_screen(str(folder))
    assert found is not None
    assert not found.passes(ids("football"))
    assert start_screen(str(tiny_folder)) is start_screen("") is None
    (tmp_path / "best.safetensors").touch()  # a run that began with the model
    (tmp_path / "config.json").write_text(json.dumps({"start": str(folder)}))
    assert start_screen(str(tmp_path)) is not None


def test_an_export_seals_the_screen_with_the_model(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "model")
    config = Config(name="tiny", version="3", encoder="none", max_tokens=32)
    write_model(path, config, {"cls_id": 2, "sep_id": 3, "pad_id": 0}, Calibration(), N_LOGITS, make_screen(army=100, football=-100))
    assert load(path, screen=True).score(SPORT).warnings == (SCREENED,)
    (path / SCREEN_FILE).unlink()
    with pytest.raises(FileNotFoundError, match=SCREEN_FILE):
        load(path)


def test_a_recalibrated_model_keeps_its_screen(folder: Path, tmp_path: Path) -> None:
    write_folder(folder, tmp_path / "mine", Calibration(), {})
    assert load(tmp_path / "mine", screen=True).score(SPORT).warnings == (SCREENED,)


def wrap(before):
    """Journal.write, with something before it."""
    from escalation.batch.journal import Journal

    write = Journal.write

    def wrapped(self, *args: object) -> None:
        before()
        write(self, *args)

    return wrapped


def lone(number: int, text: str, scope: bool, split: str = "train", source: str = "plv") -> Item:
    unit = Unit(text, None, int(scope), 0, 5.0 if scope else 0.0, scope)
    return Item(f"{source}-{number}", source, split, (unit,), None, None, scope)


def make_dataset(count: int = 120) -> Dataset:
    items = [lone(n, f"the army attacked the border {chr(97 + n % 26)} {n}", True) for n in range(count)]
    items += [lone(n + 1000, f"the striker and the football {chr(97 + n % 26)} {n}", False) for n in range(count)]
    items += [lone(n + 2000, f"the army attacked the border {chr(97 + n)}", True, "dev") for n in range(3)]
    return Dataset((*items, lone(3000, "a striker with a football", False, "dev")))


def test_a_fitted_screen_tells_apart_what_it_was_fitted_on(tiny: Scorer) -> None:
    dataset, tokenizer = make_dataset(), tiny._model._tokenizer
    screen = fit_screen(dataset, tokenizer)
    assert screen is not None
    figures = measure_screen(screen, tokenizer, dataset.of_split("dev"))
    assert figures["with a signal"] == {"texts": 3, "read": 3}
    assert figures["out of scope"] == {"texts": 1, "read": 0}


def test_the_threshold_keeps_the_source_that_loses_most(tiny: Scorer) -> None:
    """One source speaks of armies as all others do, one of envoys that no other knows: judged by tables without it, an envoy is hard to tell from a striker."""
    items = list(make_dataset().items)
    alone = [lone(n, f"an envoy {word}", True, source="cameo") for n, word in enumerate(VOCABULARY[16 : 16 + 40] * 3)]
    ids = piece_ids(tiny._model._tokenizer, [item_text(item) for item in [*items[:240], *alone]])
    scopes = [bool(scope_of(item)) for item in [*items[:240], *alone]]
    pieces = tiny._model._tokenizer.get_vocab_size()
    easy = choose_threshold(items[:240], ids[:240], scopes[:240], pieces)
    both = choose_threshold([*items[:240], *alone], ids, scopes, pieces)
    assert both < easy
    whole = fit_weights(ids, scopes, pieces)
    fitted = [whole.evidence(found) for found, item in zip(ids, [*items[:240], *alone], strict=True) if item.source == "cameo"]
    assert both < np.quantile(fitted, 1 - KEEP)  # by tables that knew the texts it would be set higher


def test_too_few_texts_make_no_screen(tiny: Scorer) -> None:
    assert fit_screen(make_dataset(20), tiny._model._tokenizer) is None


def test_scope_and_signals_of_texts() -> None:
    assert scope_of(lone(1, "a", False)) is False
    assert scope_of(Item("x", "plv", "train", (Unit("a"), Unit("b", in_scope=True)))) is True
    assert scope_of(Item("x", "plv", "train", (Unit("a"),))) is None
    assert has_signal(lone(1, "a", True))
    assert not has_signal(Item("x", "corpus", "train", (Unit("a", escalation=1, de_escalation=0),), "neutral"))


def test_evaluation_reads_through_the_screen(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second text is passed over, since the football outweighs the army, and must show as a loss."""
    texts = [(NEWS, "escalation"), ("A minister said army attacked football.", "escalation"), ("The minister and the border.", "neutral")]
    file = tmp_path / "labelled.jsonl"
    file.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in texts))
    arguments = ["evaluate", str(file), "--model", str(folder), "--screen", "--against", str(folder), "--no-behaviour", "--draws", "10"]
    assert main([*arguments, "--json", str(tmp_path / "r.json")]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["model"] == "tiny 2, screened"
    assert report["comparisons"][0]["model"] == "tiny 2"
    (accuracy,) = [d for d in report["comparisons"][0]["differences"] if d["key"] == "direction_accuracy" and d["level"] == "texts"]
    assert accuracy["ours"] < accuracy["theirs"]
    assert "screened" in capsys.readouterr().out


@pytest.mark.slow
def test_the_shipped_screen_passes_over_sport_and_reads_conflict() -> None:
    """And what it reads has the figures that it has without."""
    sport = "The striker scored twice in the second half as the home side beat the league leaders, and the coach praised his defence after the match."
    sample = (ROOT / "tests/data/sample.txt").read_text(encoding="utf-8")
    texts = [sport, sample, "Recalled its ambassador.", "Both governments agreed to a ceasefire on Monday."]
    plain, found = load().score_many(texts), load(screen=True).score_many(texts)
    assert found[0].warnings == (SCREENED,)
    assert found[1:] == plain[1:]


@pytest.mark.slow
def test_the_shipped_screen_lets_the_corpus_through() -> None:
    """Of articles with a signal, nearly all; they trained it, so this is no measure, only a guard against a wrong table."""
    scorer = load(screen=True)
    articles = [corpus_item(article, "dev", "names") for article in list(read_articles(ARTICLES))[::40]]
    texts = [item_text(item) for item in articles if item.label != "neutral"]
    assert len(texts) > 50
    assert sum(bool(scorer.passed_over([text])) for text in texts) <= len(texts) // 50


def test_speed_is_measured_on_texts_that_do_not_train(folder: Path, encoder: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = dataset.of_split("train")[0].id
    rows = {
        "ag": [{"id": name, "title": "Truce", "text": "The army attacked the border."} for name in (trained, "new-1", "new-2")],
        "bbc-train": [{"id": str(number), "text": "The army attacked the border."} for number in range(4)],
    }
    monkeypatch.setattr("training.screen.read_source", lambda source, corpora: rows[source])
    monkeypatch.setattr("training.screen.BBC_TEXTS", 3)
    figures = measure_speed(folder, dataset, Path("corpora"), str(encoder))
    assert list(figures) == ["AG's news, all four topics (2)", "the BBC's articles, all topics (3)"]
    assert all(list(rates) == ["without", "with", "pipeline-1", "pipeline-32"] for rates in figures.values())


def test_the_figures_go_into_documents(tmp_path: Path) -> None:
    part = {"with a signal": {"texts": 1000, "read": 990}, "out of scope": {"texts": 50, "read": 10}}
    figures = {"dev": part, "test": part, "texts a second": {"News": {"without": 10.0, "with": 30.0}}, "machine": "a processor, 2 threads"}
    card = tmp_path / "card.md"
    card.write_text("# model\n\n## Trained on\n")
    tell(figures, card)
    tell(figures, card)
    text = card.read_text()
    assert text.count("## The screen") == text.count("| dev | 1,000 | 99.0% [98.2%, 99.5%] | 50 | 20.0% [11.2%, 33.0%] |") == 1
    assert "| News | 10.0 | 30.0 | 3.0 |\n" in text
    figures["texts a second"]["News"] |= {"pipeline-1": 5.0, "pipeline-32": 4.0}
    tell(figures | {"encoder": "minilm"}, card)
    text = card.read_text()
    header = "| texts | without a screen | with it | times as fast | pipeline, batches of 1 | with the screen, times as fast | pipeline, batches of 32 |"
    assert f"{header} with the screen, times as fast |\n|---|---|---|---|---|---|---|---|\n| News | 10.0 | 30.0 | 3.0 | 5.0 | 6.0 | 4.0 | 7.5 |\n" in text
    assert "(encoder minilm)" in text
    card.write_text("# other\n")
    with pytest.raises(ValueError, match="has neither the mark"):
        tell(figures, card)


@pytest.mark.slow
def test_the_documents_hold_the_figures_that_were_measured() -> None:
    figures = json.loads((ROOT / "docs/screen.json").read_text(encoding="utf-8"))
    for path in (ROOT / "README.md", ROOT / "models/newswire-en/README.md"):
        text = path.read_text(encoding="utf-8")
        assert rewrite(text, screen_table(figures), path.name, "screen") == text
