"""A run that is stopped, however and wherever, goes on and gives byte for byte what an unbroken one gives."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from escalation.batch import BatchReport, chunks, score_files
from escalation.batch.journal import Journal, Progress
from escalation.batch.survey import Survey
from escalation.scorer import Scorer

WORDS = "army attacked border truce measured response feared minister said football striker recalled envoy withdrew and it the the the of".split()
FORMATS = ["out.jsonl", "out.csv", "out.jsonl.gz", "out.csv.zst", "out.parquet"]
STEPS = ("fsync", "replace", "truncate", "unlink", "mkdir", "rmdir")  # all that a run does to the disk but for writing, which is no step before fsync
N_ROWS, CHUNK = 32, 5


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three inputs, one of them Parquet in row groups, with broken rows here and there."""
    monkeypatch.setattr(chunks, "CHUNK_ROWS", CHUNK)
    monkeypatch.chdir(tmp_path)
    rng = random.Random(7)
    texts = ["The " + " ".join(rng.choices(WORDS, k=rng.randrange(3, 30))) + "." for _ in range(30)]
    Path("in").mkdir()
    lines = [json.dumps({"text": text, "id": str(number)}) for number, text in enumerate(texts[:11])]
    lines[3:3] = ["{", "", '{"text": null}']
    Path("in/a.jsonl").write_text("\n".join(lines))
    Path("in/b.csv").write_text("id,text\n" + "".join(f'{number},"{text}\n"\n' if number % 6 else "x\n" for number, text in enumerate(texts[11:20])))
    pq.write_table(pa.table({"id": [str(number) for number in range(10)], "text": [*texts[20:29], None]}), "in/c.parquet", row_group_size=3)
    return tmp_path


@pytest.fixture
def score(folder: Path, tiny_folder: Path) -> Callable[..., BatchReport]:
    def call(output: str, inputs: object = "in", **options: object) -> BatchReport:
        return score_files(inputs, output, model=tiny_folder, threads=1, **options)  # type: ignore[arg-type]

    return call


def contents() -> dict[str, bytes]:
    """What a run has written."""
    return {path.name: path.read_bytes() for path in Path().glob("out*")}


def unbroken(score: Callable[..., BatchReport], output: str, **options: object) -> dict[str, bytes]:
    """What an unbroken run gives; leaves the folder as it was."""
    report = score(output, **options)
    assert (report.rows, report.rejected, report.resumed) == (N_ROWS, 5, 0)
    expected = contents()
    assert set(expected) == {output, f"{output}.rejects.jsonl"}
    for name in expected:
        Path(name).unlink()
    return expected


class Stopped(BaseException):
    """What a kill is to code: it ends here."""


def stop_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Ends the run at its n-th step on disk."""
    left = [step]

    def stopping(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise Stopped
            return real(*arguments, **options)

        return call

    for name in STEPS:
        patch.setattr(os, name, stopping(getattr(os, name)))


@pytest.mark.parametrize("output", ["out.jsonl.gz", "out.parquet", *(pytest.param(name, marks=pytest.mark.slow) for name in FORMATS[:2] + FORMATS[3:4])])
def test_stopped_at_any_step_on_disk(score, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    expected = unbroken(score, output)
    resumed = set()
    for step in range(1, 1000):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            try:
                score(output)
                break
            except Stopped:
                pass
        for name in (f"{output}.part", f"{output}.rejects.jsonl"):
            if Path(name).exists() and Path(f"{output}.journal").exists() and not noted(output)["done"]:
                with open(name, "ab") as file:
                    file.write(b"torn")  # bytes that were on their way
        report = score(output)
        assert report.rows == N_ROWS
        resumed.add(report.resumed)
        assert contents() == expected, f"stopped at step {step}"
        for name in contents():
            Path(name).unlink()
    assert step > 40
    assert resumed == {*range(0, N_ROWS, CHUNK), N_ROWS}


def noted(output: str) -> dict[str, int]:
    """What the journal knows."""
    return json.loads(Path(f"{output}.journal").read_bytes())["progress"]


COMMAND = """
import os, random, signal, sys
from escalation.batch import chunks
from escalation.cli import main
chunks.CHUNK_ROWS = {chunk}
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in a shell's background inherits that it is ignored
fsync, left = os.fsync, [{kill_at}]
def counting(handle):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)
os.fsync = counting
if {slow}:
    import time
    from escalation.scorer import Scorer
    score_many = Scorer.score_many
    Scorer.score_many = lambda *arguments, **options: (time.sleep(0.05), score_many(*arguments, **options))[1]
if {limit}:
    import resource
    from escalation import language
    language._identifier()  # unpacks its model into a file
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
sys.exit(main(sys.argv[1:]))
"""


def start(tiny_folder: Path, *arguments: str, kill_at: int = 0, slow: bool = False, limit: int = 0) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    code = COMMAND.format(chunk=CHUNK, kill_at=kill_at, slow=slow, limit=limit)
    return subprocess.Popen(
        [sys.executable, "-c", code, "batch", "in", "--model", str(tiny_folder), "--threads", "1", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_rows(output: str, rows: int) -> None:
    """Waits until the run has noted that so many rows are done."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if noted(output)["rows"] >= rows:
                return
        except FileNotFoundError:
            pass
        time.sleep(0.005)
    raise AssertionError(f"{rows} rows were not done in time")


@pytest.mark.parametrize("output", FORMATS)
def test_killed(score, tiny_folder: Path, output: str) -> None:
    expected = unbroken(score, output)
    kill_at = random.Random().randrange(7, 20)
    process = start(tiny_folder, "-o", output, kill_at=kill_at)
    assert process.wait(60) == -signal.SIGKILL, process.communicate()
    process.communicate()
    assert not Path(output).exists()
    report = score(output)
    assert 0 < report.resumed < N_ROWS, kill_at
    assert contents() == expected, kill_at


def test_killed_again_and_again(score, tiny_folder: Path) -> None:
    expected = unbroken(score, "out.jsonl.gz", level="highlight")
    for _ in range(20):
        process = start(tiny_folder, "-o", "out.jsonl.gz", "--level", "highlight", kill_at=8)
        process.communicate()
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert contents() == expected


def test_ctrl_c(score, tiny_folder: Path) -> None:
    expected = unbroken(score, "out.csv")
    process = start(tiny_folder, "-o", "out.csv", slow=True)
    wait_for_rows("out.csv", 2 * CHUNK)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "stopped; what is done is kept, and the same command goes on from there\n"
    assert 0 < score("out.csv").resumed < N_ROWS
    assert contents() == expected


@pytest.mark.parametrize("output", FORMATS)
def test_a_full_disk(score, tiny_folder: Path, output: str) -> None:
    expected = unbroken(score, output)
    # The system refuses to let a file grow over the limit, in the midst of a write, as it does when the disk is full.
    limit = len(expected[output]) // 2 if "parquet" not in output else 18_500
    process = start(tiny_folder, "-o", output, limit=limit)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, ""), err
    assert err.startswith(f"error: {output} can't be written: File too large; ")
    assert "rows are done and kept: mend this, and the same command goes on from there" in err
    assert len(err.splitlines()) == 1
    done = int(err.split("; ")[1].split()[0])
    report = score(output)
    assert report.resumed == done
    assert "parquet" in output or 0 < done < N_ROWS
    assert contents() == expected


def test_a_second_run_of_the_same_output_is_refused_while_the_first_writes(score, tiny_folder: Path) -> None:
    expected = unbroken(score, "out.jsonl")
    process = start(tiny_folder, "-o", "out.jsonl", slow=True)
    wait_for_rows("out.jsonl", CHUNK)
    with pytest.raises(ValueError, match=r"another run is writing out\.jsonl"):
        score("out.jsonl", overwrite=True)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert contents() == expected


def stop_in_the_middle(score: Callable[..., BatchReport], monkeypatch: pytest.MonkeyPatch, output: str = "out.jsonl", **options: object) -> None:
    """Ends a run when two chunks are done and noted."""
    real = Journal.write

    def write(journal: Journal, survey: Survey, progress: Progress) -> None:
        real(journal, survey, progress)
        if progress.rows == 2 * CHUNK:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", write)
        with pytest.raises(Stopped):
            score(output, **options)


def test_another_command_does_not_go_on_with_it(score, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_in_the_middle(score, monkeypatch)
    before = contents()
    with pytest.raises(ValueError, match=r"another command \(level was 'article', is 'sentence'\).*--overwrite"):
        score("out.jsonl", level="sentence")
    Path("in/d.jsonl").write_text('{"text": "it"}')
    with pytest.raises(ValueError, match=r"another command \(the inputs have changed\).*--overwrite"):
        score("out.jsonl")
    assert contents() == before
    Path("in/d.jsonl").unlink()
    os.utime("in/a.jsonl")
    with pytest.raises(ValueError, match="the inputs have changed"):
        score("out.jsonl")
    report = score("out.jsonl", overwrite=True)
    assert (report.rows, report.resumed) == (N_ROWS, 0)


def test_overwrite_goes_on_with_a_run_that_was_begun_with_it(score, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = unbroken(score, "out.jsonl")
    Path("out.jsonl").write_text("old")
    stop_in_the_middle(score, monkeypatch, overwrite=True)
    assert Path("out.jsonl").read_text() == "old"
    with pytest.raises(FileExistsError, match="--overwrite"):
        score("out.jsonl")
    assert score("out.jsonl", overwrite=True).resumed > 0
    assert contents() == expected


def test_an_output_that_someone_else_changed_is_not_gone_on_with(score, monkeypatch: pytest.MonkeyPatch) -> None:
    for output, spoil in (("out.jsonl", lambda: os.truncate("out.jsonl.part", 5)), ("out.parquet", lambda: next(Path("out.parquet.parts").iterdir()).unlink())):
        stop_in_the_middle(score, monkeypatch, output)
        spoil()
        with pytest.raises(OSError, match="begin again with --overwrite"):
            score(output)


def test_an_output_that_changes_under_the_run_is_noticed(score, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Scorer.score_many

    def meddling(*arguments: object, **options: object) -> object:
        with open("out.jsonl.part", "ab") as file:
            file.write(b"mine")
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Scorer, "score_many", meddling)
    with pytest.raises(OSError, match=r"does not have the \d+ bytes that this run left in it; begin again with --overwrite"):
        score("out.jsonl")


def test_standard_input_goes_on_if_it_is_the_same(score, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    def call(data: bytes) -> BatchReport:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
        return score("out.csv", "-", input_format="jsonl")

    data = Path("in/a.jsonl").read_bytes()
    call(data)
    expected = contents()
    for name in expected:
        Path(name).unlink()
    stop_in_the_middle(lambda *_: call(data), monkeypatch, "out.csv")
    for other in (data.replace(b"army", b"navy"), data[:100]):
        with pytest.raises(ValueError, match="standard input does not begin with the 10 rows that are done"):
            call(other)
    assert call(data).resumed == 10
    assert contents() == expected


def test_an_error_in_reading_keeps_what_is_done(score, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = unbroken(score, "out.jsonl")
    from escalation.batch import tables

    real, calls = tables._read_csv, [0]

    def failing(*arguments: object) -> object:
        calls[0] += 1
        if calls[0] == 2:  # the first time is the survey
            raise OSError(errno.EIO, "Input/output error")
        yield from real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(tables, "_read_csv", failing)
        with pytest.raises(OSError, match=r"in/b\.csv can't be read: Input/output error; 10 rows are done and kept"):
            score("out.jsonl")
    assert score("out.jsonl").resumed == 10
    assert contents() == expected
