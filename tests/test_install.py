"""The shipped model is found from a clone, an editable install and a built wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow
CODE = "import escalation; r = escalation.score('The army shelled the town on Monday, killing nine.'); print(escalation.__file__); print(r.label, r.model)"


def shell(*command: str | Path, cwd: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env={**clean, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "escalation"
    for name in ("escalation", "models", "pyproject.toml", "README.md"):
        source = ROOT / name
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def python_with_dependencies(folder: Path) -> Path:
    """A fresh environment that sees this one's packages but not its editable install of the project."""
    venv.create(folder, with_pip=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    here = [path for path in sys.path if path.endswith("site-packages")]
    links = site / "linked"
    links.mkdir()
    for place in map(Path, here):
        for entry in place.iterdir():
            if "escalation" not in entry.name and entry.suffix != ".pth" and not (links / entry.name).exists():
                (links / entry.name).symlink_to(entry)
    (site / "linked.pth").write_text(f"{links}\n")
    return folder / "bin" / "python"


def test_from_a_clone(clone: Path) -> None:
    shown = shell(sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {[str(clone), *sys.path]!r}; {CODE}", cwd=clone)
    assert str(clone) in shown
    assert "escalation newswire-en" in shown


def test_from_an_editable_install(clone: Path, tmp_path: Path) -> None:
    python = python_with_dependencies(tmp_path / "env")
    shell(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", clone, cwd=tmp_path)
    shown = shell(python, "-c", CODE, cwd=tmp_path)
    assert str(clone) in shown
    assert "escalation newswire-en" in shown


def test_from_a_built_wheel(clone: Path, tmp_path: Path) -> None:
    shell(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", clone, cwd=clone)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    python = python_with_dependencies(tmp_path / "env")
    shell(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=tmp_path)
    shown = shell(python, "-c", CODE, cwd=tmp_path)
    assert str(tmp_path / "env") in shown
    assert "escalation newswire-en" in shown
    assert "newswire-en" in shell(tmp_path / "env" / "bin" / "escalation", "models", cwd=tmp_path)
