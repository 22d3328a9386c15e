"""Turns a trained run into a model folder: python -m training.export runs/newswire-en --corpora FOLDER --to models/newswire-en

Weights to one ONNX file (fp32, then int8 by dynamic quantisation), calibration on the dev split, figures on dev and test, the card. ONNX must agree with torch,
and int8 with fp32, or nothing is written.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from escalation.calibration import Calibration
from escalation.evidence import N_LOGITS
from escalation.model import CONFIG_FILE, FORMAT, MODEL_FILE, TOKENIZER_FILE, Model, read_batched, seal
from escalation.signals import SIGNAL_NAMES, STATUSES
from training.calibrate import fit_calibration
from training.card import write_card
from training.config import Config, build
from training.data import Dataset, Item, describe, load_dataset
from training.measure import measurable, measure, measure_articles, read_raw
from training.network import EvidenceNetwork, load_encoder
from training.reader import NetworkReader
from training.train import BEST, DATA, load_tokenizer

FP32_TOLERANCE = 1e-3  # largest difference of a logit between torch and fp32 ONNX
INT8_TOLERANCE = 0.02  # largest loss of a dev figure in `COMPARED` through int8
COMPARED = ("corpus_direction_f1", "real_direction_f1", "corpus_span_f1", "real_span_f1")
SUMMED = (MODEL_FILE, TOKENIZER_FILE, "metrics.json", "train.toml")


class ExportError(RuntimeError):
    """The exported model would not give what the trained one gives."""


def load_network(run: Path, config: Config) -> EvidenceNetwork:
    """The best network of a run, ready to read with.

    Raises:
        FileNotFoundError: the run has not finished an epoch.
    """
    if not (run / BEST).is_file():
        raise FileNotFoundError(f"{run / BEST} is missing; train first: python -m training.train CONFIG --run {run}")
    network = EvidenceNetwork(load_encoder(config.encoder), dropout=config.dropout)
    network.load_state_dict(load_file(run / BEST))
    return network.eval()


def export_onnx(network: EvidenceNetwork, path: Path) -> None:
    """Writes the network as one fp32 ONNX file with free batch and window sizes."""
    ids = torch.randint(5, 500, (2, 16))
    sizes = {0: torch.export.Dim("windows"), 1: torch.export.Dim("tokens", max=int(network.encoder.config.max_position_embeddings))}  # type: ignore[union-attr, arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            network, (ids, torch.ones_like(ids)), str(path), input_names=["input_ids", "attention_mask"], output_names=["logits"],
            dynamic_shapes=(sizes, sizes), dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip


def quantize(source: Path, target: Path) -> None:
    """Writes the int8 version: weights per channel, activations at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(str(source), str(target), per_channel=True, weight_type=QuantType.QInt8)


class OnnxReader(NetworkReader):
    """Reads through an ONNX file instead of the torch network."""

    def __init__(self, path: Path, tokenizer: Any, special: dict[str, int], max_tokens: int) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._tokenizer, self._special = tokenizer, special
        self.budget = max_tokens - 2

    def read_windows(self, windows: Any) -> list[Any]:
        """See `escalation.model.Model.read_windows`."""

        def run(ids: Any, mask: Any) -> Any:
            return self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]

        return read_batched(windows, run, **self._special, batch_tokens=1)  # as the shipped model is read


def check_fp32(network: NetworkReader, onnx: OnnxReader, items: list[Item]) -> float:
    """Largest difference of a logit between torch and ONNX over some items.

    Raises:
        ExportError: above `FP32_TOLERANCE`.
    """
    pairs = zip(read_raw(network, items), read_raw(onnx, items), strict=True)
    largest = max(float(np.abs(a.logits - b.logits).max()) for a, b in pairs)
    if not largest <= FP32_TOLERANCE:
        raise ExportError(f"ONNX and torch differ by {largest:.2g} in a logit (allowed: {FP32_TOLERANCE}); nothing was written; check torch and onnx versions")
    return largest


def check_int8(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Losses of the compared dev figures through int8.

    Raises:
        ExportError: one is above `INT8_TOLERANCE`.
    """
    losses = {name: before[name] - after[name] for name in COMPARED if name in before}
    if worst := [name for name, loss in losses.items() if loss > INT8_TOLERANCE]:
        raise ExportError(
            f"int8 loses more than {INT8_TOLERANCE} in {', '.join(f'{n} ({losses[n]:.3f})' for n in worst)}; nothing was written; use --precision fp32"
        )
    return losses


def config_toml(config: Config, provenance: dict[str, str]) -> str:
    """The training configuration as TOML, with where the weights come from as comments."""
    values = config.to_dict()
    tables = {name: values.pop(name) for name in ("sources", "losses")}
    lines = [f"# {key}: {value}" for key, value in provenance.items()]
    lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def provenance() -> dict[str, str]:
    """Commit and versions that made the weights."""
    found = {name: version(name) for name in ("torch", "transformers", "onnx", "onnxruntime", "tokenizers", "numpy")}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {"commit": commit.stdout.strip() or "unknown", **found}


def write_model(folder: Path, config: Config, special: dict[str, int], calibration: Calibration) -> None:
    """Writes config.json, sealed over the other files of the folder."""
    values: dict[str, Any] = {
        "format": FORMAT, "name": config.name, "version": config.version, "language": "en", "max_tokens": config.max_tokens, **special,
        "signals": SIGNAL_NAMES, "statuses": STATUSES, "logits": N_LOGITS, "calibration": calibration.to_dict(),
    }  # fmt: skip
    (folder / CONFIG_FILE).write_text(seal(values, folder, [name for name in SUMMED if (folder / name).is_file()]), encoding="utf-8")


def export(run: Path, dataset: Dataset, target: Path, *, precision: str = "int8") -> dict[str, Any]:
    """Exports a run; see the module's text.

    Returns:
        What metrics.json holds.

    Raises:
        ExportError: the exported model differs from the trained one.
        FileNotFoundError: the run is not there.
    """
    config: Config = build(Config, json.loads((run / "config.json").read_text(encoding="utf-8")), str(run / "config.json"))
    network = load_network(run, config)
    tokenizer, special = load_tokenizer(config.encoder)
    dev, test = (measurable(dataset.of_split(name)) for name in ("dev", "test"))
    torch_reader = NetworkReader(network, tokenizer, special, config.max_tokens)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        folder.mkdir()
        export_onnx(network, folder / "fp32.onnx")
        onnx_reader = OnnxReader(folder / "fp32.onnx", tokenizer, special, config.max_tokens)
        data = json.loads((run / DATA).read_text(encoding="utf-8")) if (run / DATA).is_file() else describe(dataset)
        figures: dict[str, Any] = {"data": data, "agreement": {"fp32_largest_logit_difference": check_fp32(torch_reader, onnx_reader, dev[:64])}}
        if precision == "int8":
            quantize(folder / "fp32.onnx", folder / MODEL_FILE)
            reader = OnnxReader(folder / MODEL_FILE, tokenizer, special, config.max_tokens)
            raw_dev = read_raw(reader, dev)
            figures["agreement"]["int8_loss"] = check_int8(measure(dev, read_raw(torch_reader, dev)), measure(dev, raw_dev))
        else:
            shutil.copy(folder / "fp32.onnx", folder / MODEL_FILE)
            reader = onnx_reader
            raw_dev = read_raw(reader, dev)
        (folder / "fp32.onnx").unlink()
        calibration = fit_calibration(dev, raw_dev)
        for split, items, raw in (("dev", dev, raw_dev), ("test", test, read_raw(reader, test))):
            figures[split] = measure(items, raw, calibration) | measure_articles(items, raw, calibration)
        tokenizer.save(str(folder / TOKENIZER_FILE))
        (folder / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        (folder / "train.toml").write_text(config_toml(config, provenance()), encoding="utf-8")
        (folder / "README.md").write_text(write_card(config, figures, (folder / MODEL_FILE).stat().st_size), encoding="utf-8")
        write_model(folder, config, special, calibration)
        Model(folder)  # must load before it replaces what is there
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)
    return figures


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--corpora", type=Path, help="folder with the public corpora, as given to training")
    parser.add_argument("--to", type=Path, required=True, help="model folder to write")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    args = parser.parse_args(argv)
    try:
        figures = export(args.run, load_dataset(args.corpora), args.to, precision=args.precision)
    except (ExportError, ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
