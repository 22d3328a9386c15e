"""What made a run: configuration, seed, SHA-256 sum of every data file, versions and commit; written to the run folder as run.json."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from escalation.model import available_cores
from training.checkpoint import CHECKPOINT, RUN
from training.config import Config
from training.corpus.schema import ARTICLES, STANDOFF
from training.data import Dataset
from training.distributed import Processes
from training.sources import SOURCES, file_sum
from training.start import trace_start, weights_file

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "onnx", "onnxruntime")


def find_versions() -> dict[str, str]:
    """Versions of the packages that weights depend on, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def find_commit() -> str:
    """The commit of the project's clone, `-dirty` behind it where files were changed since; `unknown` without git or outside of a clone."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    except OSError:
        return "unknown"


def own_sums(config: Config) -> dict[str, str]:
    """SHA-256 sums of the files of `config.data`, by their paths as configured."""
    return {name: file_sum(Path(name)) for name in config.data}


def data_sums(config: Config, corpora: Path | None) -> dict[str, str]:
    """SHA-256 sums of every file that a run learns from."""
    sums = (
        {} if config.only_own else {f"{folder.name}/{path.name}": file_sum(path) for folder in (ARTICLES, STANDOFF) for path in sorted(folder.glob("*.jsonl"))}
    )
    if corpora is not None:
        sums |= {source.file: file_sum(corpora / source.file) for source in SOURCES.values()}
    for lessons in (config.lessons, config.event_lessons):
        if lessons:
            sums[lessons] = file_sum(Path(lessons))
    return sums | own_sums(config)


def write_run(folder: Path, config: Config, dataset: Dataset, corpora: Path | None, processes: Processes) -> None:
    """Writes run.json.

    Raises:
        ValueError: the folder holds a checkpoint of a run on other data.
    """
    sums = data_sums(config, corpora)
    before = read_run(folder) if (folder / CHECKPOINT).is_file() else {}
    if before and (changed := sorted(name for name in before["data"].keys() | sums.keys() if before["data"].get(name) != sums.get(name))):
        remedy = "choose another --run folder, or restore the files to go on"
        raise ValueError(f"{folder} holds a run on other data: {', '.join(changed)} changed since it began; {remedy}")
    start = before.get("start", {}) if before or not config.start else {config.start: file_sum(weights_file(config.start))}
    models = before.get("before", []) if before else trace_start(config.start)
    values: dict[str, Any] = {
        "config": config.to_dict(), "seed": config.seed, "data": sums,
        "places": {name: str(Path(name).resolve()) for name in config.data},
        "start": start, "before": models, "notes": list(dataset.notes), "commit": find_commit(),
        "versions": find_versions(), "processes": processes.world, "device": processes.device().type, "cores": available_cores(),
    }  # fmt: skip
    (folder / RUN).write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_run(run: Path) -> dict[str, Any]:
    """What run.json says; empty for a run from before there was one."""
    path = run / RUN
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def describe_run(run: dict[str, Any]) -> dict[str, str]:
    """The comments in front of an exported train.toml: commit and versions that trained and that export, and the data files' sums."""
    lines = {"commit": run.get("commit", find_commit()), **run.get("versions", find_versions())}
    if run and (find_commit(), find_versions()) != (run["commit"], run["versions"]):
        lines["exported by"] = " ".join([find_commit(), *(f"{name} {number}" for name, number in find_versions().items())])
    if models := run.get("before", []):
        lines["goes back to"] = ", ".join(f"{model['name']} {model['version']}" for model in models)
    sums = {**run.get("start", {}), **run.get("data", {})}
    return lines | {f"SHA-256 of {name}": value for name, value in sums.items()}
