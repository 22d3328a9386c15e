"""Turns a trained run into a model folder: python -m training.export runs/newswire-en --corpora FOLDER --to models/newswire-en

Weights to one ONNX file (fp32, then int8 by dynamic quantisation), calibration on the dev split, figures on dev and test, the screen where there are texts
enough, the card. ONNX must agree with torch, and int8 with fp32, or nothing is written. Data of one's own is read again from where the run read it, and must
be what it was.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer

from escalation.calibration import Calibration
from escalation.model import CONFIG_FILE, FORMAT, MODEL_FILE, TOKENIZER_FILE, Model, available_cores, open_session, seal
from escalation.reading import Reading
from escalation.screen import SCREEN_FILE, Screen
from escalation.signals import SIGNAL_NAMES, STATUSES
from training.card import CARD, write_card
from training.checkpoint import BEST, CONFIG, DATA
from training.config import Config, build, to_toml
from training.cost import describe_cost, measure_cost
from training.data import Dataset, Item, describe
from training.dev import measure_dev
from training.fallback import choose_calibration
from training.measure import measurable, measure_articles, read_raw
from training.network import EvidenceNetwork, cut_layers, drop_untaught, load_encoder, load_tokenizer, pad_head
from training.own import open_dataset
from training.provenance import data_sums, describe_run, own_sums, read_run
from training.reader import NetworkReader, read_batched
from training.screen import fit_screen, measure_screen, write_screen
from training.smooth import smooth
from training.start import start_screen
from training.unlabelled import SOURCE as UNLABELLED
from training.vary import SOURCE as VARIED

FP32_TOLERANCE = 1e-3  # largest difference of a logit between torch and fp32 ONNX
INT8_TOLERANCE = 0.02  # largest loss of a dev figure in `COMPARED` through int8
COMPARED = ("corpus_direction_f1", "real_direction_f1", "corpus_span_f1", "real_span_f1", "own_direction_f1", "own_span_f1")
SAMPLE = 400  # sentences that show how large the inputs of the layers become
MIN_COMPARED = 200  # sentences below which one changed label moves a figure by more than the tolerance allows
SUMMED = (MODEL_FILE, TOKENIZER_FILE, SCREEN_FILE, "metrics.json", "train.toml")


class ExportError(RuntimeError):
    """The exported model would not give what the trained one gives."""


def load_network(run: Path, config: Config) -> EvidenceNetwork:
    """The best network of a run, ready to read with.

    Raises:
        FileNotFoundError: the run has not finished an epoch.
    """
    if not (run / BEST).is_file():
        raise FileNotFoundError(f"{run / BEST} is missing; train first: python -m training.train CONFIG --run {run}")
    encoder = load_encoder(config.encoder)
    cut_layers(encoder, config.layers)
    network = EvidenceNetwork(encoder, dropout=config.dropout)
    network.load_state_dict(pad_head(load_file(run / BEST)))
    drop_untaught(network)
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


def strip_traces(path: Path) -> None:
    """Takes the exporter's notes out of an ONNX file: stack traces with the paths of the machine that made it."""
    import onnx

    model = onnx.load(str(path))
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        value.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    onnx.save(model, str(path))


class OnnxReader(NetworkReader):
    """Reads through an ONNX file instead of the torch network, each window by itself, as the shipped model is read."""

    def __init__(self, path: Path, tokenizer: Any, special: dict[str, int], max_tokens: int) -> None:
        self._session = open_session(path, available_cores())
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
    """Losses of the compared dev figures through int8; figures of fewer than `MIN_COMPARED` sentences are left out.

    Raises:
        ExportError: one is above `INT8_TOLERANCE`.
    """
    compared = [name for name in COMPARED if name in before and before.get(f"{name.split('_')[0]}_sentences", MIN_COMPARED) >= MIN_COMPARED]
    losses = {name: before[name] - after[name] for name in compared}
    if worst := [name for name, loss in losses.items() if loss > INT8_TOLERANCE]:
        raise ExportError(
            f"int8 loses more than {INT8_TOLERANCE} in {', '.join(f'{n} ({losses[n]:.3f})' for n in worst)}; nothing was written; use --precision fp32"
        )
    return losses


def write_model(folder: Path, config: Config, special: dict[str, int], calibration: Calibration, logits: int, screen: Screen | None = None) -> None:
    """Writes the screen, if there is one, and config.json, sealed over the other files of the folder."""
    values: dict[str, Any] = {
        "format": FORMAT, "name": config.name, "version": config.version, "language": "en", "max_tokens": config.max_tokens, **special,
        "signals": SIGNAL_NAMES, "statuses": STATUSES, "logits": logits, "calibration": calibration.to_dict(),
    }  # fmt: skip
    if screen is not None:
        write_screen(screen, folder)
        values["screen"] = screen.settings.to_dict()
    (folder / CONFIG_FILE).write_text(seal(values, folder, [name for name in SUMMED if (folder / name).is_file()]), encoding="utf-8")


def sample_windows(dataset: Dataset, tokenizer: Tokenizer, special: dict[str, int], max_tokens: int) -> list[NDArray[np.int64]]:
    """Some labelled sentences of the train part as token ids, special ones included; evenly spread, always the same."""
    texts = [unit.text for item in dataset.of_split("train") if item.source not in (UNLABELLED, VARIED) for unit in item.units]
    chosen = texts[:: max(1, len(texts) // SAMPLE)][:SAMPLE]
    return [
        np.array([special["cls_id"], *encoding.ids[: max_tokens - 2], special["sep_id"]], dtype=np.int64)
        for encoding in tokenizer.encode_batch(chosen, add_special_tokens=False)
    ]


def export_network(
    network: EvidenceNetwork, reader: NetworkReader, open_onnx: Callable[[Path], OnnxReader], folder: Path, dev: list[Item], precision: str
) -> tuple[OnnxReader, list[Reading], dict[str, Any]]:
    """Writes model.onnx and reads it back.

    Returns:
        A reader of the file that is shipped, what it reads of dev, and how far it agrees with torch.

    Raises:
        ExportError: it does not agree.
    """
    full, shipped = folder / "fp32.onnx", folder / MODEL_FILE
    export_onnx(network, full)
    agreement: dict[str, Any] = {"fp32_largest_logit_difference": check_fp32(reader, open_onnx(full), dev[:64])}
    if precision == "int8":
        quantize(full, shipped)
        full.unlink()
    else:
        full.rename(shipped)
    strip_traces(shipped)
    written = open_onnx(shipped)
    raw = read_raw(written, dev)
    if precision == "int8":
        agreement["int8_loss"] = check_int8(measure_dev(dev, read_raw(reader, dev)), measure_dev(dev, raw))
    return written, raw, agreement


def export(run: Path, dataset: Dataset, target: Path, *, precision: str = "int8") -> dict[str, Any]:
    """Exports a run; see the module's text.

    Returns:
        What metrics.json holds.

    Raises:
        ExportError: the exported model differs from the trained one.
        FileNotFoundError: the run is not there.
    """
    config = read_run_config(run)
    network = load_network(run, config)
    tokenizer, special = load_tokenizer(config.encoder)
    if precision == "int8":
        smooth(network, sample_windows(dataset, tokenizer, special, config.max_tokens))
    dev, test = (measurable(dataset.of_split(name)) for name in ("dev", "test"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        folder.mkdir()
        open_onnx = partial(OnnxReader, tokenizer=tokenizer, special=special, max_tokens=config.max_tokens)
        reader, raw_dev, agreement = export_network(network, NetworkReader(network, tokenizer, special, config.max_tokens), open_onnx, folder, dev, precision)
        calibration, note = choose_calibration(dev, raw_dev, config.start)
        data = json.loads((run / DATA).read_text(encoding="utf-8")) if (run / DATA).is_file() else describe(dataset)
        figures: dict[str, Any] = {"data": data, "agreement": agreement, "notes": [*dataset.notes, *([note] if note else [])]}
        if before := read_run(run).get("before"):
            figures["before"] = before
        for split, items, raw in (("dev", dev, raw_dev), ("test", test, read_raw(reader, test))):
            figures[split] = measure_dev(items, raw, calibration) | measure_articles(items, raw, calibration)
        tokenizer.save(str(folder / TOKENIZER_FILE))
        screen = fit_screen(dataset, tokenizer)
        if screen is not None:
            figures["screen"] = {split: measure_screen(screen, tokenizer, dataset.of_split(split)) for split in ("dev", "test")}
        (folder / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        (folder / "train.toml").write_text(to_toml(config, describe_run(read_run(run))), encoding="utf-8")
        cost = describe_cost(measure_cost(run, read_run(run)))
        (folder / CARD).write_text(write_card(config, figures, (folder / MODEL_FILE).stat().st_size, cost), encoding="utf-8")
        # Too few texts to fit one: that of the start, whose word pieces are the same, still knows sport from conflict.
        write_model(folder, config, special, calibration, network.head.out_features, screen or start_screen(config.start))
        Model(folder)  # must load before it replaces what is there
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)
    return figures


def read_run_config(run: Path) -> Config:
    """The configuration of a run.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    if not (run / CONFIG).is_file():
        raise FileNotFoundError(f"{run} is no folder of a training run (it holds no {CONFIG}); train first: python -m training.train CONFIG --run {run}")
    config: Config = build(Config, json.loads((run / CONFIG).read_text(encoding="utf-8")), str(run / CONFIG))
    return config


def reopen_data(run: Path, corpora: Path | None, data: Sequence[str]) -> tuple[Dataset, list[str]]:
    """What a run trained and measured on, in the same splits.

    Args:
        run: its folder.
        corpora: folder with the public corpora.
        data: where files of one's own lie now; empty where they lie as configured, from here or from where the run was started.

    Returns:
        The dataset, and the names of the project's own files that have changed since.

    Raises:
        ValueError: a file of one's own changed, so that its splits may be others.
    """
    config, recorded = read_run_config(run), read_run(run)
    places = recorded.get("places", {})
    given = tuple(data) or tuple(name if Path(name).is_file() else places.get(name, name) for name in config.data)
    if len(given) != len(config.data):
        raise ValueError(f"the run was trained on {len(config.data)} files of your own ({', '.join(config.data)}), got {len(given)}")
    found, before = replace(config, data=given), recorded.get("data", {})
    dataset = open_dataset(found, corpora)
    for name, (place, value) in zip(config.data, own_sums(found).items(), strict=True):
        if name in before and before[name] != value:
            raise ValueError(f"{place} was changed since training: SHA-256 {value[:12]}…, then {before[name][:12]}…; restore it, or train again")
    now = data_sums(replace(config, data=()), corpora)
    return dataset, sorted(name for name in now if name in before and before[name] != now[name])


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--corpora", type=Path, help="folder with the public corpora, as given to training")
    parser.add_argument("--data", nargs="+", default=[], metavar="FILE", help="where the files of your own lie now, in the order of the training")
    parser.add_argument("--to", type=Path, required=True, help="model folder to write")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    args = parser.parse_args(argv)
    try:
        dataset, changed = reopen_data(args.run, args.corpora, args.data)
        figures = export(args.run, dataset, args.to, precision=args.precision)
    except (ExportError, ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if changed:
        print(f"warning: {', '.join(changed)} changed since training; dev and test are as they are now", file=sys.stderr)
    for note in figures["notes"]:
        print(f"warning: {note}", file=sys.stderr)
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
