"""The benchmark's arithmetic by hand, its texts, its processes; and, slow, the whole of it on a tiny model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import ROOT

from training import benchmark, benchmark_parts, benchmark_rivals, benchmark_worker
from training.benchmark_figures import (
    Measurement,
    Spread,
    Target,
    compare,
    find_targets,
    fit_slope,
    format_table,
    format_targets,
    interleave,
    show,
    show_spread,
    slopes,
    spread,
)
from training.benchmark_machine import count_int8_weights, describe_machine
from training.benchmark_texts import QUICK, cut_bytes, cut_passages, make_texts, read_corpus, take_bytes, take_words, tenth_of_many


def row(part: str, what: str, contender: str, values: Sequence[float], unit: str, *, threads: int = 2, note: str = "") -> Measurement:
    return Measurement(part, what, contender, threads, unit, tuple(values), note)


def test_a_spread_is_median_smallest_and_largest() -> None:
    assert spread([3.0, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0)
    with pytest.raises(ValueError, match="at least one value"):
        spread([])


def test_a_ratio_above_one_says_that_ours_is_better_whatever_the_unit() -> None:
    assert compare([20.0, 30.0, 40.0], [2.0, 2.0, 2.0], "articles/s") == Spread(15.0, 10.0, 20.0)
    assert compare([2.0, 2.0, 2.0], [20.0, 30.0, 40.0], "ms") == Spread(15.0, 10.0, 20.0)


def test_ratios_pair_what_was_measured_next_to_each_other() -> None:
    assert compare([10.0, 1.0], [5.0, 0.5], "articles/s") == Spread(2.0, 2.0, 2.0)  # the machine was ten times slower the second time: for both
    with pytest.raises(ValueError, match="equally many repetitions, got 1 and 2"):
        compare([1.0], [1.0, 2.0], "s")


@pytest.mark.parametrize(("power", "factor"), [(1.0, 3.0), (2.0, 0.5), (0.0, 7.0)])
def test_the_slope_is_the_power_that_time_grows_with(power: float, factor: float) -> None:
    sizes = [1e3, 1e4, 1e5, 1e6]
    assert fit_slope(sizes, [factor * size**power for size in sizes]) == pytest.approx(power)


def test_a_slope_needs_two_sizes() -> None:
    with pytest.raises(ValueError, match="at least two sizes"):
        fit_slope([10.0, 10.0], [1.0, 2.0])


def test_slopes_count_the_long_texts_and_each_repetition_by_itself() -> None:
    growth = [(10.0, [9.0, 9.0]), (100.0, [1.0, 1.0]), (1000.0, [10.0, 100.0])]
    assert slopes(growth, 100) == pytest.approx((1.0, 2.0))
    assert slopes(growth[:2], 100) == pytest.approx(slopes(growth[:2], 0))  # one long text alone has no slope


def test_everyone_takes_every_turn_and_nobody_is_always_first() -> None:
    assert list(interleave(["a", "b", "c"], 3)) == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert list(interleave([], 3)) == []


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.00012345, "0.000123"), (0.5, "0.500"), (9.876, "9.88"), (98.76, "98.8"), (12345.6, "12,346")])
def test_numbers_show_three_digits_that_count(value: float, text: str) -> None:
    assert show(value) == text


def test_a_spread_shows_its_range_where_there_is_one() -> None:
    assert show_spread(Spread(2.0, 1.0, 3.0), "s") == "2.00 (1.00–3.00) s"
    assert show_spread(Spread(2.0, 2.0, 2.0)) == "2.00"


def test_the_table_holds_figures_ratios_and_what_is_not_installed() -> None:
    lines = format_table(
        [
            row("throughput", "articles", "ours", [40.0, 50.0, 60.0], "articles/s"),
            row("throughput", "articles", "pipeline-32", [4.0, 5.0, 5.0], "articles/s"),
            row("throughput", "articles", "vader", [], "articles/s", note="vaderSentiment not installed: pip install it"),
        ]
    ).splitlines()
    assert lines[2] == "| throughput | articles | 2 | escalation | 50.0 (40.0–60.0) articles/s |  |"
    assert lines[3] == "| throughput | articles | 2 | transformers pipeline, batches of 32 | 5.00 (4.00–5.00) articles/s | 10.0 (10.0–12.0) × |"
    assert lines[4] == "| throughput | articles | 2 | VADER | vaderSentiment not installed: pip install it |  |"


def test_the_table_shows_the_first_and_the_last_tenth_of_many_articles() -> None:
    table = format_table([row("many articles", f"tenth {n} of 20", "ours", [10.0], "articles/s") for n in range(1, 11)])
    assert [n for n in range(1, 11) if f"tenth {n} of" in table] == [1, 10]


def test_targets_are_judged_by_the_median_at_the_most_threads() -> None:
    found = find_targets(
        [
            row("throughput", "articles", "ours", [5.0], "articles/s", threads=1),
            row("throughput", "articles", "pipeline-32", [5.0], "articles/s", threads=1),
            row("throughput", "articles", "ours", [50.0], "articles/s"),
            row("throughput", "articles", "pipeline-32", [5.0], "articles/s"),
            row("explanation", "one article explained", "ours", [30.0], "ms"),
            row("explanation", "one article explained", "integrated-gradients", [3000.0], "ms"),
            row("cold start", "one article, to its result", "ours", [0.5, 0.6, 0.9], "s"),
            row("import", "the import alone", "ours", [0.06], "s"),
            row("memory", "largest resident, scoring articles", "ours", [250.0], "MB"),
            row("growth", "1,000 bytes", "ours", [0.1], "s"),
            row("growth", "100,000 bytes", "ours", [1.0], "s"),
            row("growth", "1,000,000 bytes", "ours", [10.0], "s"),
            row("many articles", "tenth 1 of 20", "ours", [10.0], "articles/s"),
            row("many articles", "tenth 1 of 20", "ours", [250.0], "MB"),
            row("many articles", "tenth 10 of 20", "ours", [9.0], "articles/s"),
            row("many articles", "tenth 10 of 20", "ours", [250.0], "MB"),
        ]
    )
    assert {target.name.split(":")[0]: (round(target.value.median, 6), target.met) for target in found} == {
        "articles": (10.0, True), "one article explained": (100.0, False), "cold start": (0.6, True), "import": (0.06, False), "memory": (250.0, True),
        "growth of time with length": (1.0, True), "many articles": (0.9, False),
    }  # fmt: skip


def test_the_table_of_targets_says_which_are_met() -> None:
    lines = format_targets([Target("import", Spread(0.04, 0.04, 0.04), 0.05, False, "s"), Target("speed", Spread(2.0, 1.0, 3.0), 10, True, "×")]).splitlines()
    assert lines[2:] == ["| import | 0.0400 s | ≤ 0.05 s | yes |", "| speed | 2.00 (1.00–3.00) × | ≥ 10 × | **no** |"]
    assert format_targets([]) == ""


def test_texts_are_cut_and_joined_to_length() -> None:
    assert cut_passages("a b c d e", 2) == ["a b", "c d", "e"]
    assert cut_bytes("one two three", 9) == "one two"
    assert cut_bytes("één twee", 6) == "één"
    assert take_words(iter(["a b", "c", "d"]), 3) == "a b\n\nc"
    assert len(take_bytes(iter(["é" * 10] * 9), 50).encode()) >= 50


def test_the_texts_are_always_the_same_and_long_enough() -> None:
    articles = read_corpus()
    texts = make_texts(articles, QUICK)
    assert texts == make_texts(articles, QUICK)
    assert all(len(article.sentences) >= 5 for article in articles)
    assert all(len(text.split()) >= QUICK.article_words for text in texts["article"])
    assert " ".join(texts["passages"]) == " ".join(texts["report"][0].split())
    assert not any("{" in text for items in texts.values() for text in items)


def test_tenths_of_many_articles_are_the_same_articles_with_other_names() -> None:
    articles = read_corpus()[:3]
    first, second = (tenth_of_many(articles, 40, tenth) for tenth in (0, 1))
    assert len(first) == len(second) == 4
    assert first != second
    assert all(abs(len(a) - len(b)) < len(a) / 2 for a, b in zip(first, second, strict=True))


def test_the_machine_is_described_without_its_name() -> None:
    import platform

    described = describe_machine()
    assert described["cores"] >= 1
    assert described["versions"]["onnxruntime"]
    assert platform.node() not in json.dumps(described) or not platform.node()


def test_int8_weights_are_those_of_the_matrix_products(tmp_path: Path) -> None:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = [numpy_helper.from_array(np.zeros(shape, np.int8), name) for name, shape in (("used", (4, 8)), ("table", (9, 9)))]
    nodes = [helper.make_node("MatMulInteger", ["x", "used"], ["y"]), helper.make_node("Gather", ["table", "i"], ["z"])]
    given = [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 4]), helper.make_tensor_value_info("i", TensorProto.INT64, [1])]
    wanted = [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 8]), helper.make_tensor_value_info("z", TensorProto.INT8, [1, 9])]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", given, wanted, weights)), str(tmp_path / "model.onnx"))
    assert count_int8_weights(tmp_path / "model.onnx") == 32


def test_a_rival_that_is_not_installed_has_a_row_that_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(benchmark_rivals.PACKAGES, "vader", ("no_such_package",))
    (found,) = benchmark_parts.missing("latency", "one sentence, p50", ["ours", "vader"], 1, "ms")
    assert (found.contender, found.values) == ("vader", ())
    assert found.note == 'no_such_package not installed: pip install ".[train,benchmark]"'


def test_a_process_times_texts_together_and_one_by_one(tmp_path: Path) -> None:
    given: list[list[str]] = []

    def read(texts: Sequence[str]) -> int:
        given.append(list(texts))
        return 10 * len(texts)

    (tmp_path / "three.json").write_text('["a", "b", "c"]')
    together = benchmark_worker.answer(read, tmp_path, {"task": "batch", "texts": "three"})
    assert (together["tokens"], given) == (30, [["a", "b", "c"]])
    assert together["seconds"] >= 0
    assert len(benchmark_worker.answer(read, tmp_path, {"task": "calls", "texts": "three"})["seconds"]) == 3
    assert given[1:] == [["a"], ["b"], ["c"]]
    assert benchmark_worker.answer(read, tmp_path, {"task": "memory"})["bytes"] > 1e6
    with pytest.raises(ValueError, match="no task 'sing'"):
        benchmark_worker.answer(read, tmp_path, {"task": "sing", "texts": "three"})


def test_ours_answers_from_a_process_of_its_own(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "warm up.json").write_text('["The army attacked."]')
    with benchmark_worker.Worker("ours", tmp_path, str(tiny_folder), 1) as worker:
        worker.wait_until_loaded()
        assert worker.ask("batch", "warm up")["tokens"] == 4


def test_a_process_that_ends_says_why(tmp_path: Path) -> None:
    with (
        benchmark_worker.Worker("ours", tmp_path, str(tmp_path / "nowhere"), 1) as worker,
        pytest.raises(RuntimeError, match=r"process of ours ended.*nowhere"),
    ):
        worker.wait_until_loaded()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--threads", "0"], "at least 1, got '0'"), (["--plot", "x.txt"], "--plot must end in"), (["--json", "no/such/x.json"], "there is no folder"),
     (["--only", "everything"], "invalid choice")],
)  # fmt: skip
def test_wrong_options_are_refused_before_anything_runs(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(arguments)
    assert message in capsys.readouterr().err


def test_only_a_full_run_writes_to_docs_unasked() -> None:
    assert benchmark.parse(["--quick"]).plot is None
    assert benchmark.parse(["--only", "growth"]).json is None
    assert benchmark.parse([]).plot == ROOT / "docs/benchmark.svg"


def test_a_model_that_is_not_there_is_an_error_of_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--quick", "--only", "growth", "--model", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: model ")


@pytest.mark.slow
def test_the_whole_benchmark_runs_on_a_tiny_model(tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tiny_training import write_encoder

    encoder = write_encoder(tmp_path / "encoder")
    paths = ["--json", str(tmp_path / "figures.json"), "--plot", str(tmp_path / "figures.svg")]
    assert benchmark.main(["--quick", "--threads", "1", "--model", str(tiny_folder), "--encoder", str(encoder), *paths]) == 0
    printed = capsys.readouterr().out
    assert "| throughput | articles | 1 | escalation |" in printed
    assert "transformers pipeline, batches of 32" in printed
    report = json.loads((tmp_path / "figures.json").read_text())
    assert {m["part"] for m in report["measurements"]} == {
        "throughput", "latency", "explanation", "cold start", "import", "memory", "int8", "growth", "many articles"
    }  # fmt: skip
    assert all(m["values"] or "not installed" in m["note"] for m in report["measurements"])
    assert all(value > 0 for m in report["measurements"] if m["part"] != "int8" for value in m["values"])
    assert {target["name"].split(":")[0] for target in report["targets"]} >= {"articles", "cold start", "import", "memory", "many articles"}
    assert str(tmp_path) not in json.dumps(report)
    assert (tmp_path / "figures.svg").read_text().startswith("<?xml")
