"""`escalation batch` on large inputs, and without the packages that it can do without."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from escalation.batch import score_files
from escalation.scorer import Scorer

MEASURE = """
import sys
from escalation.batch import parquet
from escalation.batch import score_files
parquet.ROW_GROUP = 1 << 20  # small enough for both inputs to fill several
score_files(sys.argv[1], sys.argv[2], model=sys.argv[3], threads=1, level="sentence")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not say how much memory a process has had at most")
@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jsonl", "csv.gz", "parquet"])
def test_memory_does_not_grow_with_the_input(tmp_path: Path, tiny_folder: Path, suffix: str) -> None:
    peaks = []
    for rows in (2_000, 20_000):
        table = pa.table({"text": [f"The army attacked the border. It said {number}." for number in range(rows)], "more": ["x" * 1000] * rows})
        source = tmp_path / f"{rows}.{suffix}"
        if suffix == "parquet":
            pq.write_table(table, source, row_group_size=1000)
        elif suffix == "jsonl":
            source.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
        else:
            source.write_bytes(gzip.compress(("text,more\n" + "".join(f"{row['text']},{row['more']}\n" for row in table.to_pylist())).encode()))
        output = tmp_path / f"{rows}.out.{suffix}"
        command = [sys.executable, "-c", MEASURE, source, output, tiny_folder]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 12_000, f"peaks in kB: {peaks}"


@pytest.mark.parametrize(("package", "output"), [("pyarrow", "out.parquet"), ("zstandard", "out.csv.zst"), ("ray", "out")])
def test_a_missing_package_is_named_with_its_extra(tiny_folder: Path, tmp_path: Path, package: str, output: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "it"}\n')
    code = f"import sys; sys.modules[{package!r}] = None\nfrom escalation.cli import main\nsys.exit(main(sys.argv[1:]))"

    def call(output: str, *more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "batch", "in.jsonl", "-o", output, "--model", str(tiny_folder), *more]
        return subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)

    done = call(output, *(["--engine", "ray"] if package == "ray" else []))
    extra = "ray" if package == "ray" else "batch"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f'error: {package} is not installed, and this needs it: pip install "escalation[{extra}]"\n'
    assert call("out.csv.gz").returncode == 0, "what needs none of them works without"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_an_article_of_50_mb_is_read_and_written(tmp_path: Path, tiny: Scorer, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    texts = ["a", 'The army "attacked", it said. \n' * 1_750_000, "b"]
    assert len(texts[1]) > 50e6
    source, output = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"text": texts}), source)
    elif suffix == "csv":
        with open(source, "w", newline="") as file:
            csv.writer(file).writerows([["text"], *([text] for text in texts)])
    else:
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    neutral, seen = tiny.score(""), []
    monkeypatch.setattr(
        Scorer, "score_many", lambda _, texts, **__: [seen.append(text) or neutral for text in texts]
    )  # scoring takes minutes, and is not what this is about
    report = score_files(source, output, model=tiny_folder)
    assert (report.rows, report.rejected, seen == texts) == (3, 0, True)
    monkeypatch.undo()
    if suffix == "parquet":
        assert pq.read_table(output).column("text").to_pylist() == texts
    elif suffix == "jsonl":
        assert [json.loads(line)["text"] for line in output.read_text().splitlines()] == texts
    else:
        before = csv.field_size_limit(1 << 28)
        with open(output, newline="") as file:
            assert [row["text"] for row in csv.DictReader(file)] == texts
        csv.field_size_limit(before)
