"""A contender in a process of its own, with its own threads and memory: what `training.benchmark` asks, and the process that answers.

The process reads a JSON object a line from standard input and answers each with one on standard output; what the contender's libraries print goes to the log.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

from training.benchmark_rivals import BLOCK, REMEDY, Read, missing_packages, open_contender
from training.benchmark_texts import read_texts

ROOT = Path(__file__).resolve().parent.parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")  # of torch, NumPy, NumPy, tokenizers


def environment(threads: int) -> dict[str, str]:
    """The environment of a measured process: so many threads, no network, no chatter."""
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return {**os.environ, **dict.fromkeys(THREADS, str(threads)), **quiet, "PYTHONPATH": str(ROOT)}


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes.

    On Linux from the kernel's record of this program: getrusage also counts what the process held before it became this program, a copy of its parent.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def answer(read: Read, folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Does what is asked.

    Returns:
        For `batch` the seconds that all texts took together and the tokens read; for `calls` the seconds of each text given by itself; for `memory` bytes.

    Raises:
        ValueError: something else was asked.
    """
    task = request["task"]
    if task == "memory":
        return {"bytes": peak_memory()}
    texts = read_texts(folder, request["texts"])
    if task == "batch":
        start = perf_counter()
        tokens = sum(read(texts[first : first + BLOCK]) for first in range(0, len(texts), BLOCK))
        return {"seconds": perf_counter() - start, "tokens": tokens}
    if task == "calls":
        seconds = []
        for text in texts:
            start = perf_counter()
            read([text])
            seconds.append(perf_counter() - start)
        return {"seconds": seconds}
    raise ValueError(f"no task {task!r}; there are batch, calls and memory")


def serve(contender: str, folder: Path, model: str, threads: int) -> None:
    """Loads a contender, lets it read a little, and answers until standard input ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as channel:
        os.dup2(2, 1)
        read = open_contender(contender, folder, model, threads)
        for text in read_texts(folder, "warm up"):
            read([text])
        print("{}", file=channel, flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(read, folder, json.loads(line))), file=channel, flush=True)


class Worker:
    """The other end: starts the process and asks it; to be used in a `with`."""

    def __init__(self, contender: str, folder: Path, model: str, threads: int) -> None:
        self._name, self._log = contender, folder / f"{contender}.log"
        command = [sys.executable, "-m", "training.benchmark_worker", contender, "--folder", str(folder), "--model", model, "--threads", str(threads)]
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8", cwd=ROOT, env=environment(threads)
            )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._process.kill()
        self._process.communicate()

    def wait_until_loaded(self) -> None:
        """Waits; see `_receive`."""
        self._receive()

    def ask(self, task: str, texts: str = "") -> dict[str, Any]:
        """Asks and waits for the answer; see `answer` and `_receive`."""
        if self._process.stdin is None:
            raise RuntimeError(f"the process of {self._name} takes no questions")
        with contextlib.suppress(BrokenPipeError):  # the process has ended: `_receive` says why
            self._process.stdin.write(json.dumps({"task": task, "texts": texts}) + "\n")
            self._process.stdin.flush()
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            RuntimeError: the process has ended; the message holds the last lines of its log.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._process.wait()  # until all of its last words are in the log
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            raise RuntimeError(f"the process of {self._name} ended before it answered: {' / '.join(lines) or 'it wrote nothing'}")
        result: dict[str, Any] = json.loads(line)
        return result


def why_missing(contender: str) -> str:
    """Empty, or why a contender can't be measured and what to do."""
    return f"{', '.join(missing)} {REMEDY}" if (missing := missing_packages(contender)) else ""


def main(argv: list[str] | None = None) -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="python -m training.benchmark_worker", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contender")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args(argv)
    serve(args.contender, args.folder, args.model, args.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
