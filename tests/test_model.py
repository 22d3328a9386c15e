"""Model folders: found, checked, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from escalation import load
from escalation.model import CONFIG_FILE, MODEL_FILE, TOKENIZER_FILE, Model, gather, open_session


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.mark.parametrize("name", [MODEL_FILE, TOKENIZER_FILE, CONFIG_FILE])
def test_a_changed_byte_is_an_error_that_names_the_file(copy: Path, name: str) -> None:
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(bytes(raw))
    with pytest.raises(ValueError, match=rf"{name}.*(was changed|damaged).*install the package again"):
        load(copy)


@pytest.mark.parametrize("name", [MODEL_FILE, TOKENIZER_FILE, CONFIG_FILE])
def test_a_cut_file_is_an_error(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    with pytest.raises(ValueError, match=name):
        load(copy)


@pytest.mark.parametrize("name", [MODEL_FILE, TOKENIZER_FILE])
def test_a_missing_file_is_an_error(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} is missing"):
        load(copy)


def test_an_unknown_model_is_an_error_that_names_the_shipped_ones() -> None:
    with pytest.raises(FileNotFoundError, match=r"'newswire-xx' is neither a shipped model nor a folder; shipped models: "):
        load("newswire-xx")


def test_a_foreign_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no config.json, so it is no model of escalation"):
        load(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match=r"no model configuration of escalation"):
        load(tmp_path)


def test_a_model_for_other_signals_is_refused(copy: Path, reseal) -> None:
    reseal(copy, signals=["attack"])
    with pytest.raises(ValueError, match=r"signals or statuses differ"):
        load(copy)


def test_a_later_format_is_refused(copy: Path, reseal) -> None:
    reseal(copy, format=99)
    with pytest.raises(ValueError, match=r"format 99, this version of escalation reads 1"):
        load(copy)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_are_checked(tiny_folder: Path, threads: object) -> None:
    with pytest.raises(ValueError, match="threads must be a whole number of at least 1"):
        load(tiny_folder, threads=threads)  # type: ignore[arg-type]


def test_windows_come_back_in_the_order_given(tiny_folder: Path) -> None:
    model = Model(tiny_folder, threads=1)
    windows = [np.arange(4, 4 + n) for n in (3, 0, 20, 1, 7)]
    together = model.read_windows(windows)
    assert [len(logits) for logits in together] == [3, 0, 20, 1, 7]
    for window, logits in zip(windows, together, strict=True):
        np.testing.assert_array_equal(logits, model.read_windows([window])[0])


def test_a_device_that_is_not_there_is_named_with_the_remedy(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ValueError, match="pip install onnxruntime-gpu"):
        load(tiny_folder, device="cuda")
    with pytest.raises(ValueError, match="must be 'cpu' or 'cuda', got 'tpu'"):
        load(tiny_folder, device="tpu")


def test_windows_read_side_by_side_give_the_numbers_of_one_after_the_other(tiny_folder: Path) -> None:
    windows = [np.array([4 + n % 9] * (n % 7 + 1)) for n in range(40)]
    alone, together = Model(tiny_folder, threads=1).read_windows(windows), Model(tiny_folder, threads=3).read_windows(windows)
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_window_that_occurs_twice_is_read_once(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(tiny_folder, threads=1)
    read: list[int] = []
    run = model._run
    monkeypatch.setattr(model, "_run", lambda session, window: read.append(len(window)) or run(session, window))
    found = model.read_windows([np.array([4, 5]), np.array([6]), np.array([4, 5])])
    assert sorted(read) == [1, 2]
    assert np.array_equal(found[0], found[2])


def test_a_model_with_another_number_of_logits_is_refused(tiny_folder: Path, tmp_path: Path, reseal) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(tiny_folder, folder)
    reseal(folder, logits=30)
    with pytest.raises(ValueError, match="gives 30 logits a token, not 26 or 41"):
        load(folder)


def test_no_windows_gather_to_nothing() -> None:
    assert gather([], [], []).shape[0] == 0


def test_int8_sums_are_not_cut_on_any_processor(tmp_path: Path) -> None:
    """Without VNNI instructions, onnxruntime by default cuts sums of two products at 16 bits: 32 instead of 64 here, on such a machine."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    from training.export import quantize

    given, sums = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in (("x", 64), ("y", 8)))
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([product], "sums", [given], [sums], [numpy_helper.from_array(np.ones((64, 8), np.float32), "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "sums.onnx")
    quantize(tmp_path / "sums.onnx", tmp_path / "int8.onnx")
    (found,) = open_session(tmp_path / "int8.onnx", 1).run(None, {"x": np.ones((1, 64), np.float32)})
    np.testing.assert_allclose(found, 64, rtol=0.001)
