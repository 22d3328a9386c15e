"""`escalation batch`: what goes in, what comes out, what is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from escalation.batch import chunks, score_files
from escalation.batch.records import COLUMNS
from escalation.batch.run import BatchReport
from escalation.cli import main
from escalation.scorer import Scorer

TEXTS = ["The army attacked the border. A measured response.", "", "It was a truce and the envoy said it.", "The striker attacked the goal.", "12 %"]
ROWS = [{"id": f"r{number}", "text": text, "n": number} for number, text in enumerate(TEXTS)]


@pytest.fixture
def run(tiny_folder: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Calls the command in a folder of its own; gives exit code, standard output and standard error."""
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 2)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, bytes, str]:
        code = main(["batch", "--model", str(tiny_folder), "--threads", "1", *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return call


def write(name: str, rows: list[dict[str, Any]]) -> Path:
    """Writes rows as what the name says."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    if ".parquet" in name:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)
        return path
    if ".csv" in name:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        data = text.getvalue().encode()
    else:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else zstandard.ZstdCompressor().compress(data) if name.endswith(".zst") else data)
    return path


def read(path: str | Path) -> list[dict[str, Any]]:
    """Reads an output of any format, with other means than the package's."""
    path = Path(path)
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    if ".csv" in path.name:
        return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    return [json.loads(line) for line in data.decode().splitlines()]


@pytest.mark.parametrize("given", ["jsonl", "csv", "parquet", "jsonl.gz", "csv.zst"])
@pytest.mark.parametrize("wanted", ["jsonl", "csv", "parquet", "csv.gz", "jsonl.zst"])
def test_every_format_gives_the_figures_of_score_and_keeps_the_readers_columns(run, tiny: Scorer, given: str, wanted: str) -> None:
    code, out, err = run(write(f"in.{given}", ROWS), "-o", f"out.{wanted}")
    assert (code, out) == (0, b"")
    assert f"out.{wanted}: 5 articles, 5 rows written" in err
    assert "2 articles were not scored" in err
    records = read(f"out.{wanted}")
    assert all(list(record) == ["id", "text", "n", *COLUMNS["article"]] for record in records)
    for row, record, score in zip(ROWS, records, tiny.score_many(TEXTS), strict=True):
        assert (record["id"], record["text"], int(record["n"])) == (row["id"], row["text"], row["n"])
        assert [float(record[name]) for name in ("score", "low", "high", "escalation", "de_escalation")] == [
            score.score, *score.interval, score.probabilities["escalation"], score.probabilities["de-escalation"],
        ]  # fmt: skip
        assert (record["label"], record["model"], record["language"] or None) == (score.label, score.model, score.language)
        packed = {name: json.loads(record[name]) if "csv" in wanted else record[name] for name in ("highlights", "signals", "warnings")}
        assert packed == {name: score.to_dict()[name] for name in packed}
    assert sorted(path.name for path in Path().iterdir()) == [f"in.{given}", f"out.{wanted}"], "nothing is left beside the output"


@pytest.mark.parametrize("wanted", ["jsonl", "csv", "parquet"])
def test_a_row_for_each_sentence_or_highlight_points_into_its_article(run, tiny: Scorer, wanted: str) -> None:
    source = write("in.parquet" if wanted == "parquet" else "in.jsonl", ROWS)
    for level, of_score in (("sentence", "sentences"), ("highlight", "highlights")):
        assert run(source, "-o", f"{level}.{wanted}", "--level", level, "--id", "id")[0] == 0
        records = read(f"{level}.{wanted}")
        expected = [(number, part) for number, score in enumerate(tiny.score_many(TEXTS)) for part in getattr(score, of_score)]
        assert len(records) == len(expected) > 3
        for record, (number, part) in zip(records, expected, strict=True):
            assert (record["id"], int(record["n"]), int(record["article"])) == (f"r{number}", number, number + 1)
            assert record["text"] == part.text == TEXTS[number][int(record["start"]) : int(record["end"])]
            assert float(record["score"]) == part.score
            sentence = tiny.score(TEXTS[number]).sentences[int(record["sentence"])]
            assert sentence.start <= int(record["start"]) < int(record["end"]) <= sentence.end
    scores = [sum(record["score"] for record in read("highlight.jsonl") if record["article"] == 1)] if wanted == "jsonl" else []
    assert scores == pytest.approx([tiny.score(TEXTS[0]).score] if scores else [])


def test_parquet_keeps_the_types_of_the_readers_columns(run) -> None:
    table = pa.table({
        "text": pa.array(TEXTS, pa.large_string()), "when": pa.array(range(5), pa.timestamp("ns", "UTC")), "tags": [["a"], [], None, ["b", "c"], []],
        "price": pa.array([None, 1, 2, 3, 4], pa.decimal128(20, 3)), "kind": pa.array(["x", "y", "x", None, "x"]).dictionary_encode(),
        "raw": [b"\xff"] * 5, "small": pa.array([1, 2, 3, None, 5], pa.int8()), "big": pa.array([2**64 - 1] * 5, pa.uint64()),
    })  # fmt: skip
    pq.write_table(table, "in.parquet", row_group_size=2)
    assert run("in.parquet", "-o", "out.parquet")[0] == 0
    out = pq.read_table("out.parquet")
    assert out.select(table.column_names).cast(table.schema).equals(table)
    assert out.schema.names[:8] == table.schema.names
    assert [out.schema.field(name).type for name in ("when", "price", "small", "big", "raw")] == [
        table.schema.field(name).type for name in ("when", "price", "small", "big", "raw")
    ]
    assert run("in.parquet", "-o", "out.jsonl")[0] == 0
    record = read("out.jsonl")[1]
    assert (record["when"], record["price"], record["raw"], record["big"]) == ("1970-01-01 00:00:00.000000001Z", "1.000", "/w==", 2**64 - 1)


def test_json_lines_of_several_shapes_become_one_table(run) -> None:
    rows = [{"text": "it", "n": 1, "x": None}, {"text": "it", "more": {"a": [1]}, "x": 2, "n": 0.5}, {"text": "it", "x": "y", "n": 2}]
    write("in.jsonl", [*rows, {"text": "it", "y": float("nan")}])
    assert run("in.jsonl", "-o", "out.jsonl")[0] == 0
    assert [{name: record[name] for name in row} for row, record in zip(rows, read("out.jsonl"), strict=False)] == rows
    assert read("out.jsonl")[3]["y"] is None, "JSON has no not-a-number"
    for wanted in ("csv", "parquet"):
        assert run("in.jsonl", "-o", f"out.{wanted}")[0] == 0
        records = read(f"out.{wanted}")
        assert list(records[0])[:5] == ["text", "n", "x", "more", "y"]
        assert [record["x"] or None for record in records] == [None, "2", "y", None]
        assert json.loads(records[1]["more"]) == {"a": [1]}
        assert [float(record["n"] or -1) for record in records] == [1, 0.5, 2, -1]


def test_broken_rows_go_to_the_rejects_and_the_run_goes_on(run) -> None:
    good = json.dumps(ROWS[0])
    lines = [good, "{", '{"id": "a", "text": 5}', '{"id": "b", "text": null}', '{"id": "c"}', '{"text": "no id"}', '{"id": "d", "text": "x", "score": 1}', good]
    Path("in.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"id": "e", "text": "caf\xe9"}\n' + good.encode())
    Path("in.csv").write_text("id,text\n1,it\n2,it,3\n4,it\n")
    pq.write_table(pa.table({"id": [1, None, 3], "text": [None, "it", "it"]}), "in.parquet")
    lines_ok = Path("in.jsonl").read_bytes().replace(b', "score": 1', b"")
    Path("in.jsonl").write_bytes(lines_ok)
    code, _, err = run("in.jsonl", "in.csv", "in.parquet", "-o", "out.jsonl", "--id", "id")
    assert code == 0
    assert "9 broken rows were rejected: see out.jsonl.rejects.jsonl" in err
    assert [record["id"] for record in read("out.jsonl")] == ["r0", "d", "r0", "r0", "1", "4", 3]
    rejects = read("out.jsonl.rejects.jsonl")
    places = [(reject["file"], reject.get("line", reject.get("row"))) for reject in rejects]
    assert places == [*(("in.jsonl", line) for line in (2, 3, 4, 5, 6, 9)), ("in.csv", 3), ("in.parquet", 1), ("in.parquet", 2)]
    for reject, reason in zip(
        rejects,
        ["is not JSON", "no text but int", "'text' is null", "has no 'text'", "has no 'id'", "is not UTF-8", "has 3 fields", "'text' is null", "has no 'id'"],
        strict=True,
    ):
        assert reason in reject["reason"]
    assert rejects[1]["raw"].strip() == lines[2]
    assert "caf\\xe9" in rejects[5]["raw"]


def test_standard_input_and_output(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def standard_input(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))

    data = write("in.jsonl", ROWS).read_bytes()
    run("in.jsonl", "-o", "out.jsonl")
    run("in.jsonl", "-o", "out.csv")
    for packed in (data, gzip.compress(data)):
        standard_input(packed)
        code, out, err = run("-", "-o", "-", "--input-format", "jsonl", "--format", "jsonl")
        assert (code, out) == (0, Path("out.jsonl").read_bytes())
        assert "-: 5 articles" in err
    standard_input(data + b'{"id": 3, "text": "it", "n": 0, "later": 1}\n{\n')
    code, out, err = run("-", "-o", "-", "--input-format", "jsonl", "--format", "csv")
    assert (code, out) == (0, Path("out.csv").read_bytes())
    assert '"line": 6' in err
    assert "has a column 'later' that the first rows lack; write --format jsonl" in err
    assert "2 broken rows were rejected: see above" in err
    standard_input(data + b'{"id": 3, "text": "it", "score": 1}\n')
    code, out, err = run("-", "-o", "-", "--input-format", "jsonl", "--format", "jsonl")
    assert (code, out) == (0, Path("out.jsonl").read_bytes())
    assert "has a column 'score', as the output has of its own; give ours a prefix with --prefix" in err
    standard_input(b"id,n\n1,2\n")
    code, out, err = run("-", "-o", "-", "--input-format", "csv", "--format", "csv")
    assert (code, out) == (2, b"")
    assert "standard input has no column 'text'; it has 'id', 'n'" in err
    standard_input(data + b'{"id": "3", "text": "it", "n": 0.5}\n')
    run("-", "-o", "out.parquet", "--input-format", "jsonl")
    assert "'n' does not fit the int64 of the first rows" in read("out.parquet.rejects.jsonl")[0]["reason"]
    assert len(read("out.parquet")) == 5


def test_a_name_that_is_taken_needs_a_prefix(run) -> None:
    write("in.jsonl", [{"text": "it"}, {"text": "it", "score": 1, "model": 2}])
    code, _, err = run("in.jsonl", "-o", "out.jsonl")
    assert code == 2
    assert "columns 'score', 'model'" in err
    assert "--prefix" in err
    assert not Path("out.jsonl").exists()
    assert run("in.jsonl", "-o", "out.jsonl", "--prefix", "esc_")[0] == 0
    assert list(read("out.jsonl")[1])[:5] == ["text", "score", "model", "esc_label", "esc_score"]


def test_an_output_that_is_there_is_replaced_only_when_told_and_stays_until_then(run, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write("in.jsonl", ROWS)
    for name in ("out.jsonl", "out.jsonl.part", "out.jsonl.rejects.jsonl"):
        Path(name).write_text("old")
        code, _, err = run(source, "-o", "out.jsonl")
        assert code == 2
        assert f"{name} is there already" in err
        assert "--overwrite" in err
        assert Path(name).read_text() == "old"
        with monkeypatch.context() as patch:
            patch.setattr(Scorer, "score_many", lambda *_, **__: [][1])
            with pytest.raises(IndexError):
                run(source, "-o", "out.jsonl", "--overwrite")
        if name == "out.jsonl":
            assert Path(name).read_text() == "old"
        assert run(source, "-o", "out.jsonl", "--overwrite")[0] == 0
        assert len(read("out.jsonl")) == 5
        assert {path.name for path in Path().iterdir()} == {"in.jsonl", "out.jsonl"}
        Path("out.jsonl").unlink()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["in.jsonl", "-o", "in.jsonl", "--overwrite"], "would overwrite the input in.jsonl"),
        ([".", "-o", "./in.jsonl", "--overwrite"], "would overwrite the input"),
        (["in.jsonl.rejects.jsonl", "-o", "in.jsonl"], "would overwrite the input"),
        (["in.jsonl", "-o", "out.xml"], "out.xml stands for no known format; name the format with --format"),
        (["in.jsonl", "-o", "out.jsonl", "--format", "xml"], "must be one of jsonl, csv, parquet, got 'xml'"),
        (["none.jsonl", "-o", "out.jsonl"], "none.jsonl: no such file"),
        (["in.jsonl", "-o", "no/out.jsonl"], "the folder of the output, no, is not there"),
        (["in.jsonl", "-o", "pipe.csv", "--overwrite"], "no file but a folder or a device"),
        (["pipe.csv", "-o", "out.csv"], "can be read once only; give it as standard input (-)"),
        (["in.jsonl", "-o", "-", "--format", "parquet"], "Parquet can't be"),
        (["in.jsonl", "-o", "out.parquet.gz"], "compressed inside"),
        (["in.jsonl", "-", "-o", "out.jsonl", "--input-format", "jsonl"], "can't be read together with files"),
        (["in.jsonl", "-o", "out.jsonl", "--text", "body"], "in.jsonl has no column 'body'; it has 'id', 'text', 'n': name one with --text"),
        (["in.jsonl", "-o", "out.jsonl", "--id", "key"], "in.jsonl has no column 'key'; it has 'id', 'text', 'n': name one with --id"),
        (["in.parquet", "-o", "out.jsonl", "--text", "n"], "'n' of in.parquet is not text; name another with --text (text: 'id', 'text')"),
        (["in.jsonl", "-o", "out.jsonl", "--threads", "0"], "threads must be"),
        (["cut.jsonl.gz", "-o", "out.jsonl"], "cut.jsonl.gz can't be read"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_written(run, arguments: list[str], match: str) -> None:
    write("in.jsonl", ROWS)
    write("in.parquet", ROWS)
    write("in.jsonl.rejects.jsonl", ROWS)
    Path("cut.jsonl.gz").write_bytes(write("whole.jsonl.gz", ROWS).read_bytes()[:-9])
    os.mkfifo("pipe.csv")  # stands for a device, which a test must not put at risk

    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() if path.is_file() else b"" for path in Path().iterdir()}

    before = content()
    code, out, err = run(*arguments)
    assert code == (1 if "cut" in arguments[0] else 2)
    assert match in err
    assert len(err.splitlines()) == 1
    assert out == b""
    assert content() == before
    assert not Path("pipe.csv").is_file()


def test_a_file_that_can_not_be_read_is_named(run) -> None:
    missing = write("in/a.jsonl", ROWS).with_name("b.jsonl")
    missing.symlink_to("nowhere")
    code, _, err = run("in", "-o", "out.jsonl")
    assert code == 1
    assert "b.jsonl can't be read: No such file" in err


def test_empty_inputs_give_outputs_that_other_programs_read(run) -> None:
    Path("in.jsonl").touch()
    for wanted in ("jsonl", "csv", "parquet", "jsonl.gz", "csv.zst"):
        assert run("in.jsonl", "-o", f"out.{wanted}")[0] == 0
        assert read(f"out.{wanted}") == []
    assert Path("out.csv").read_text() == ",".join(COLUMNS["article"]) + "\n"


def test_long_articles_are_scored_and_written_by_themselves(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 100)
    monkeypatch.setattr(chunks, "CHUNK_CHARACTERS", 50)
    together: list[list[int]] = []
    real = Scorer.score_many
    monkeypatch.setattr(Scorer, "score_many", lambda self, texts, **options: together.append(list(map(len, texts))) or real(self, texts, **options))
    write("in.jsonl", [{"text": "a " * (size // 2)} for size in (48, 2, 10, 10, 60, 60, 4)])
    assert run("in.jsonl", "-o", "out.jsonl")[0] == 0
    assert together == [[48, 2], [10, 10, 60], [60], [4]]


def test_progress_is_shown_on_a_terminal_only(run, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write("in.jsonl", ROWS)
    assert "articles/s" not in run(source, "-o", "a.jsonl")[2]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    shown = run(source, "-o", "b.jsonl")[2]
    assert "5/5" in shown
    assert "articles/s" in shown


def test_the_next_texts_are_read_while_the_last_are_worked_out(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[str] = []
    read = Scorer._read_batch
    monkeypatch.setattr(Scorer, "_read_batch", lambda self, texts: readers.append(threading.current_thread().name) or read(self, texts))
    rows = [json.dumps({"text": f"the army attacked {number}"}) for number in range(100)]
    (tmp_path / "in.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert score_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", model=tiny_folder, threads=2).rows == 100
    assert len(readers) > 1
    assert all("ahead" in name for name in readers)


def test_the_summary_counts_one_and_many() -> None:
    one = BatchReport("out.jsonl", "out.rejects", rows=2, rejected=1, warned=2, written=1, screened=1, resumed=1, left_out=("a.exe",)).summary()
    assert one.splitlines() == [
        "out.jsonl: 1 article, 1 row written",
        "1 row had been done before",
        "1 article was passed over by the screen and not scored",
        "1 article was not scored: empty, without words or not English",
        "1 broken row was rejected: see out.rejects",
        "1 file of a folder was left out, as no known format has such a suffix: a.exe",
    ]
    many = BatchReport("out.jsonl", None, rows=8, rejected=2, warned=2, written=6, left_out=("a", "b", "c", "d")).summary()
    assert many.splitlines() == [
        "out.jsonl: 6 articles, 6 rows written",
        "2 articles were not scored: empty, without words or not English",
        "2 broken rows were rejected: see above",
        "4 files of folders were left out, as no known format has such a suffix: a, b, c, …",
    ]
