"""`escalation batch --engine ray`: parts that are there once or not at all, whoever is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from escalation.batch import chunks, score_files
from escalation.batch.chunks import Options
from escalation.batch.cluster import PartScorer, score_files_on_ray, score_part, survey_part
from escalation.batch.files import Source
from escalation.batch.jobs import Job
from escalation.batch.places import Folder, find_everywhere, local_copy, state_everywhere
from escalation.scorer import Scorer

TEXTS = [f"The army attacked the border of {number} and it was a truce." for number in range(120)]
has_ray = importlib.util.find_spec("ray") is not None
has_fsspec = importlib.util.find_spec("fsspec") is not None
needs_ray = [pytest.mark.slow, pytest.mark.skipif(not has_ray, reason="ray is not installed: pip install 'escalation[ray]'")]
needs_fsspec = pytest.mark.skipif(not has_fsspec, reason="fsspec is not installed: pip install 'escalation[ray]'")


def write_inputs(folder: Path) -> None:
    """Six files of twenty rows; the columns differ, and one row is broken."""
    folder.mkdir()
    for part in range(6):
        rows = [{"text": text, f"only{part % 2}": part, "part": part} for text in TEXTS[part * 20 : part * 20 + 20]]
        lines = [json.dumps(row) for row in rows]
        if part == 3:
            lines[7] = "{"
        (folder / f"{part}.jsonl").write_text("\n".join(lines))


COMMAND = """
import os, signal, time
from escalation.batch import chunks
from escalation.batch.cluster import PartScorer
chunks.CHUNK_ROWS = 5
class Dying(PartScorer):
    "Kills itself in the midst of a part, once for each mark that is there to take."
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        chunks.CHUNK_ROWS = 5
        os.makedirs(WORKERS, exist_ok=True)
        open(os.path.join(WORKERS, str(os.getpid())), "w").close()
        calls = [0]
        score_many = self._scorer.score_many
        def dying(texts, **options):
            calls[0] += 1
            deadline = time.monotonic() + 120
            while len(os.listdir(WORKERS)) < 2 and time.monotonic() < deadline:
                time.sleep(0.1)  # the pool grows while there is work to wait for
            if calls[0] == 6:
                try:
                    os.unlink(MARK)
                except FileNotFoundError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            with open(LOG, "a") as log:
                log.write(f"{os.getpid()} {texts[0].split()[6]}\\n")
            return score_many(texts, **options)
        self._scorer.score_many = dying
"""


@pytest.fixture
def on_ray(tmp_path: Path, tiny_folder: Path):
    """Runs the command on a Ray of its own, with two workers, in a process of its own."""

    def call(output: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        names = {"MARK": str(tmp_path / "mark"), "LOG": str(tmp_path / "log"), "WORKERS": str(tmp_path / f"workers-{output}")}
        (tmp_path / "dying_worker.py").write_text("\n".join(f"{name} = {value!r}" for name, value in names.items()) + COMMAND)
        code = (
            "import sys, dying_worker, ray\nfrom escalation import cli\nfrom escalation.batch import cluster\ncluster.PartScorer = dying_worker.Dying\n"
            "ray.init(num_cpus=2, logging_level='error', log_to_driver=False)\nsys.exit(cli.main(sys.argv[1:]))"
        )
        command = ["batch", "in", "-o", output, "--engine", "ray", "--workers", "2", "--model", str(tiny_folder), *arguments]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "RAY_USAGE_STATS_ENABLED": "0"}
        for _ in range(3):
            done = subprocess.run([sys.executable, "-c", code, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            if "timed out during startup" not in done.stderr:  # Ray gives itself 30 seconds to start, too few on a machine that is busy
                break
        return done

    return call


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "_run.json"}


class TestOnRay:
    pytestmark = needs_ray

    def test_a_worker_killed_in_mid_run_costs_nothing_and_doubles_nothing(self, on_ray, tmp_path: Path, tiny_folder: Path, monkeypatch) -> None:
        write_inputs(tmp_path / "in")
        (tmp_path / "mark").touch()
        done = on_ray("out")
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / "mark").exists(), "no worker was killed"
        assert "out: 119 articles, 119 rows written\n1 broken row was rejected: see out/_rejects\n" in done.stderr
        workers = {line.split()[0] for line in (tmp_path / "log").read_text().splitlines()}
        assert len(workers) == 3, "two workers, and one in place of the killed one"
        monkeypatch.setattr(chunks, "CHUNK_ROWS", 5)
        for part in range(6):  # byte for byte what the same file gives without a cluster
            score_files(tmp_path / f"in/{part}.jsonl", tmp_path / "one.jsonl", model=tiny_folder, threads=1, overwrite=True)
            assert (tmp_path / f"out/part-{part:05d}.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
        assert set(files(tmp_path / "out")) == {f"part-{part:05d}.jsonl" for part in range(6)}
        assert json.loads((tmp_path / "out/_rejects/part-00003.jsonl").read_text())["line"] == 8
        assert not list((tmp_path / "out/_work").iterdir())

        # A part that is there is not done again; one that is not, is.
        (tmp_path / "out/part-00002.jsonl").rename(tmp_path / "kept")
        (tmp_path / "log").unlink()
        before = files(tmp_path / "out")
        done = on_ray("out")
        assert done.returncode == 0, done.stderr
        assert "out: 119 articles, 119 rows written\n100 rows had been done before" in done.stderr
        assert files(tmp_path / "out") == {**before, "part-00002.jsonl": (tmp_path / "kept").read_bytes()}
        assert {line.split()[1] for line in (tmp_path / "log").read_text().splitlines()} == {"40", "45", "50", "55"}

    def test_parts_have_one_schema_and_a_bad_file_costs_its_own_part_only(self, on_ray, tmp_path: Path) -> None:
        write_inputs(tmp_path / "in")
        assert on_ray("out", "--format", "parquet").returncode == 0
        schemas = [pq.read_schema(path) for path in sorted((tmp_path / "out").glob("part-*"))]
        assert len(schemas) == 6
        assert all(schema == schemas[0] for schema in schemas)
        assert pa.types.is_int64(schemas[0].field("only1").type)
        assert pq.read_table(tmp_path / "out").num_rows == 119
        (tmp_path / "out/part-00001.parquet").unlink()
        (tmp_path / "out/_work/part-00001.parquet.lock").mkdir()  # stands for whatever makes a worker fail
        done = on_ray("out", "--format", "parquet")
        assert done.returncode == 1
        assert "1 of 6 parts could not be made (part-00001.parquet: " in done.stderr


def options(**changes: object) -> Options:
    return replace(Options("text", None, "article", "", "jsonl", None), **changes)


@needs_fsspec
def test_any_file_system_that_fsspec_knows(tmp_path: Path, tiny: Scorer, tiny_folder: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    write_inputs(tmp_path / "in")
    memory.put(str(tmp_path / "in"), "/news", recursive=True)
    memory.pipe_file("/news/readme.txt", b"")
    found, left_out = find_everywhere(["memory://news"], input_format=None, ignore=[])
    assert ([source.name for source in found], left_out) == ([f"memory:///news/{part}.jsonl" for part in range(6)], ["memory:///news/readme.txt"])
    assert find_everywhere(["memory://news/*.jsonl"], input_format=None, ignore=[])[0] == found
    assert len({str(state_everywhere(source)) for source in found}) == 6
    with pytest.raises(FileNotFoundError, match="no such file"):
        find_everywhere(["memory://news/*.csv"], input_format=None, ignore=[])
    survey, schema = survey_part(found[3], options())  # type: ignore[misc]
    assert (survey.rows, schema) == (20, None)
    folder = Folder("memory://out/2024")
    job = Job([], options(), {"inputs": "x"}, survey=survey)
    assert folder.names() == set()
    score_part(job, tiny, folder, "part-00003.jsonl", found[3])
    assert {"part-00003.jsonl", "_reports", "_rejects"} <= folder.names()
    score_files(tmp_path / "in/3.jsonl", tmp_path / "one.jsonl", model=tiny_folder, threads=1)
    assert folder.read("part-00003.jsonl") == (tmp_path / "one.jsonl").read_bytes()
    assert json.loads(folder.read("_rejects/part-00003.jsonl") or "")["file"] == "memory:///news/3.jsonl"
    assert json.loads(folder.read("_reports/part-00003.jsonl.json") or "")["written"] == 19
    folder.remove("part-00003.jsonl")
    assert "part-00003.jsonl" not in folder.names()
    with local_copy(found[3]) as here:
        copy = Path(here.name)
        assert copy.read_bytes() == (tmp_path / "in/3.jsonl").read_bytes()
    assert not copy.exists()


def test_a_part_begun_is_gone_on_with_and_a_leftover_is_not_taken_for_one(tmp_path: Path, tiny: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 5)
    write_inputs(tmp_path / "in")
    source = Source(str(tmp_path / "in/3.jsonl"), "jsonl")
    survey, _ = survey_part(source, options())  # type: ignore[misc]
    job, folder = Job([], options(), {"inputs": "x"}, survey=survey), Folder(str(tmp_path / "out"))
    scored: list[str] = []

    class Dying:
        def score_many(self, texts: list[str], **_: object) -> object:
            if len(scored) == dies_after:
                raise KeyboardInterrupt
            scored.extend(texts)
            return tiny.score_many(texts)

    dies_after = 9  # of 19 sound rows: two chunks are done
    with pytest.raises(KeyboardInterrupt):
        score_part(job, Dying(), folder, "part.jsonl", source)  # type: ignore[arg-type]
    assert "part.jsonl" not in folder.names()
    dies_after = -1
    score_part(job, Dying(), folder, "part.jsonl", source)  # type: ignore[arg-type]
    assert len(scored) == len(set(scored)) == 19, "each sound row is scored once"
    whole = folder.read("part.jsonl")
    for leftover in ("part.jsonl", "part.jsonl.rejects.jsonl", "part.jsonl.part"):
        (tmp_path / "out/_work" / leftover).write_text("left over")
    score_part(job, tiny, folder, "part.jsonl", source)
    assert folder.read("part.jsonl") == whole
    assert not list((tmp_path / "out/_work").iterdir())


def test_an_error_of_a_part_is_handed_back(tmp_path: Path, tiny_folder: Path) -> None:
    worker = PartScorer(Job([], options(), {}), str(tmp_path / "out"), str(tiny_folder), 1)
    assert worker({"part": ["p"], "name": [str(tmp_path / "none.jsonl")], "format": ["jsonl"], "address": [""]})["error"][0].startswith(
        f"{tmp_path}/none.jsonl can't"
    )
    result = survey_part(Source(str(tmp_path / "none.jsonl"), "jsonl"), options())
    assert isinstance(result, OSError)


@pytest.mark.skipif(not has_ray, reason="ray is not installed: pip install 'escalation[ray]'")
def test_what_is_wrong_is_refused_before_ray_starts(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_inputs(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/_run.json").write_text('{"command": {}}')
    (tmp_path / "other/part-00000.jsonl").touch()
    for arguments, changes, match in (
        (("in", "-"), {}, "--engine local"), (("-", "out"), {}, "--engine local"), (("in", "mine"), {"overwrite": True}, "is not empty, and no run"),
        (("in", "other"), {}, "output of another command.*--overwrite"), (("in", "out"), {"workers": 0}, "workers must be"),
        (("in", "out"), {"level": "word"}, "level must be"),
    ):  # fmt: skip
        with pytest.raises((ValueError, FileExistsError), match=match):
            score_files_on_ray(*arguments, model=tiny_folder, **changes)  # type: ignore[arg-type]
    assert (tmp_path / "mine/letter.txt").exists()
    assert asdict(options())["format"] == "jsonl"
