"""What importing costs, and that scoring needs no torch: checked in fresh processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import ROOT

BLOCKED = "class No:\n    def find_spec(self, name, path=None, target=None):\n        if name.split('.')[0] in {names!r}: raise ImportError(name)\n"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_no_runtime() -> None:
    loaded = run("import sys, escalation; print([m for m in ('torch', 'transformers', 'onnxruntime', 'tokenizers', 'numpy') if m in sys.modules])")
    assert loaded == "[]"


def test_scoring_needs_no_torch_and_none_of_the_training_packages(tiny_folder: Path) -> None:
    names = ["torch", "transformers", "datasets", "sklearn", "scipy", "onnx", "training", "safetensors"]
    code = BLOCKED.format(names=names) + (
        "import sys; sys.meta_path.insert(0, No())\n"
        f"from escalation import load\nprint(load({str(tiny_folder)!r}).score('The army attacked.').label)\n"
        "try:\n    import torch\nexcept ImportError: print('no torch')"
    )
    assert run(code).splitlines() == ["escalation", "no torch"]


def test_scoring_touches_no_network(tiny_folder: Path) -> None:
    code = (
        "import socket\ndef no(*a, **k): raise AssertionError('network')\nsocket.socket.connect = no\nsocket.getaddrinfo = no\n"
        f"from escalation import load\ns = load({str(tiny_folder)!r})\nprint(s.score('The army attacked.').label, s.score('Война идёт.').language)"
    )
    assert run(code) == "escalation ru"


def test_the_package_never_imports_training() -> None:
    for path in (ROOT / "escalation").glob("*.py"):
        assert "training" not in {word for line in path.read_text().splitlines() if line.lstrip().startswith(("import ", "from ")) for word in line.split()}
