"""The command line, as a user types it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from escalation import __version__
from escalation.cli import main


@pytest.fixture
def run(tiny_folder: Path, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["score", "--model", str(tiny_folder), *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def article(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text("The army attacked the border. A measured response.", encoding="utf-8")
    return path


def test_one_file(run, article: Path) -> None:
    code, out, err = run(article)
    assert (code, err) == (0, "")
    assert "[+attacked+](attack)" in out
    assert "[-measured response-](restrain)" in out
    assert "score " in out


def test_json_is_one_object_a_line(run, article: Path) -> None:
    code, out, _ = run("--json", article, article)
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [record["file"] for record in records] == [str(article)] * 2
    assert records[0]["highlights"][0]["text"] == "attacked"


def test_one_bad_file_loses_nothing(run, article: Path, tmp_path: Path) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes("Caf\xe9 attacked".encode("latin-1"))
    code, out, err = run("--json", article, latin, tmp_path / "none.txt", tmp_path, article)
    assert code == 1
    assert len(out.splitlines()) == 2
    assert "latin.txt: is not UTF-8 (byte 0xe9 at 3); convert it first" in err
    assert "none.txt: No such file" in err
    assert "3 of 5 files could not be scored" in err


def test_standard_input(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\ufeffThe army attacked.".encode())))
    code, out, _ = run("--json", "-")
    assert code == 0
    assert json.loads(out)["text"] == "The army attacked."
    code, _, err = run("-", "-")
    assert code == 2
    assert "once" in err


def test_html_and_svg_files(run, article: Path, tmp_path: Path) -> None:
    code, _, _ = run("--html", tmp_path / "out.html", "--svg", tmp_path / "out.svg", article, article)
    assert code == 0
    assert (tmp_path / "out.html").read_text(encoding="utf-8").count("<mark") == 4
    assert (tmp_path / "out.svg").read_text(encoding="utf-8").startswith("<svg")
    code, _, err = run("--html", tmp_path / "none" / "out.html", article)
    assert code == 1
    assert "can't be written" in err


def test_colour_only_when_asked_or_on_a_terminal(run, article: Path) -> None:
    assert "\x1b" not in run(article)[1]
    assert "\x1b[31m" in run("--color", "always", article)[1]


def test_no_model_is_a_clear_error(capsys: pytest.CaptureFixture[str], article: Path) -> None:
    assert main(["score", "--model", "nothing-here", str(article)]) == 2
    assert "neither a shipped model nor a folder" in capsys.readouterr().err


def test_version_and_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"escalation {__version__}\n"
    with pytest.raises(SystemExit) as done:
        main(["score"])
    assert done.value.code == 2
