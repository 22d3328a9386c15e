"""Files of articles to files of scores on a Ray cluster.

Each input file becomes one part of the output, scored by an actor that holds the model; Ray Data runs the actors as a pool that grows and shrinks with the
work, starts a killed one again and gives its part to the pool once more (measured: a killed actor's part was done again, none was lost, none done twice).
What makes that safe is not Ray but the parts: a part is written beside its place and gets its name when it is complete, so whoever writes it, and however
often, it is there once or not at all. A part that is there is skipped, which is also how a stopped run goes on.

Reading, scoring and writing are `escalation.batch`'s, so a part is byte for byte what `escalation batch` makes of its file, and on a file system that all
workers share a restarted part goes on where its journal says.
"""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path, PurePath
from typing import Any

from escalation.batch.chunks import Options
from escalation.batch.files import FORMATS, STANDARD, Source, need
from escalation.batch.jobs import Job, check_clash, choose_options, describe
from escalation.batch.journal import Traces, sum_of
from escalation.batch.parquet import read_schema, unify
from escalation.batch.places import WORK, Folder, find_everywhere, is_address, local_copy, state_everywhere
from escalation.batch.run import BatchReport, write_file
from escalation.batch.survey import Survey, merge, survey_source
from escalation.scorer import DEFAULT_MODEL, Scorer, load

RUN_FILE, REPORTS, REJECTS = "_run.json", "_reports", "_rejects"  # names with an underscore are passed over by Spark, Arrow and others that read folders


def score_files_on_ray(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    address: str | None = None,
    workers: int | None = None,
    text_column: str = "text",
    id_column: str | None = None,
    level: str = "article",
    prefix: str = "",
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    threads: int | None = None,
    screen: bool = False,
    input_format: str | None = None,
    output_format: str | None = None,
    overwrite: bool = False,
    show_progress_bar: bool = False,
) -> BatchReport:
    """Scores files of articles on a Ray cluster, a part for each; other arguments, columns and errors are those of `run.score_files`.

    Stopped at any moment and called again with the same arguments it does what is left; complete, it changes nothing.

    Args:
        inputs: files, folders, glob patterns that all workers see, or addresses of any file system that fsspec knows (`s3://bucket/news/*.jsonl.gz`).
        output: a folder, or the address of one: `part-00000.jsonl` … in the order of the inputs, broken rows in `_rejects`.
        address: of the cluster; None takes the one this machine is in, else starts Ray here.
        workers: at most so many at once; None takes as many as the cluster has room for.
        text_column: see `run.score_files`.
        id_column: see there.
        level: see there; its column `article` counts within the part.
        prefix: see there.
        model: its files must be on all machines.
        threads: of each worker; None takes 1: many workers do more than many threads.
        screen: see `run.score_files`.
        input_format: see there.
        output_format: see there; None writes JSON Lines.
        overwrite: replaces an output that is complete, or that another command began. A folder that no run made is left alone.
        show_progress_bar: on standard error.

    Raises:
        ImportError: Ray, or what a format or an address needs, is not installed.
        OSError: some parts could not be made; the message names them and the reasons. The others are there.
    """
    ray = need("ray", "ray")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be a whole number of at least 1 or None, got {workers!r}")
    given = [os.fspath(name) for name in ([inputs] if isinstance(inputs, (str, os.PathLike)) else inputs)]
    if STANDARD in (os.fspath(output), *given):
        raise ValueError("a cluster reads files and writes a folder, not standard input and output (-); use --engine local for these")
    output_format = output_format or "jsonl"
    options = choose_options("", text_column=text_column, id_column=id_column, level=level, prefix=prefix, output_format=output_format, screen=screen)
    sources, left_out = find_everywhere(given, input_format=input_format, ignore=[] if is_address(os.fspath(output)) else [Path(output)])
    command = {"inputs": sum_of(map(state_everywhere, sources)), **describe(options, model)}
    folder = Folder(os.fspath(output))
    names = [f"part-{number:05d}{FORMATS[options.format][0]}" for number in range(len(sources))]
    found = _find_earlier_run(folder, command, names, overwrite=overwrite)
    there = folder.names()
    failed: list[tuple[str, str]] = []
    tasks = [(name, source) for name, source in zip(names, sources, strict=True) if name not in there]
    if tasks:
        with _connected(ray, address):
            survey, schema = found or _survey(ray, sources, options)
            if not found:
                _begin(folder, command, survey, schema)
            job = Job(sources, options, command, survey=survey, schema=schema)
            failed = _run(ray, job, folder, tasks, model=model, threads=threads or 1, workers=workers, show_progress_bar=show_progress_bar)
    if failed:
        shown = "; ".join(f"{name}: {reason}" for name, reason in failed[:3])
        raise OSError(f"{len(failed)} of {len(names)} parts could not be made ({shown}); the others are there, and the same command does what is left")
    return _total(folder, names, there, tuple(left_out))


def _find_earlier_run(folder: Folder, command: Mapping[str, Any], names: Sequence[str], *, overwrite: bool) -> tuple[Survey, Any] | None:
    """The survey and schema that an earlier run of this command noted; clears the folder for a new one where that was asked for.

    Raises:
        ValueError: the folder holds another command's output.
        FileExistsError: it holds what no run made.
    """
    there, noted = folder.names(), folder.read(RUN_FILE)
    if noted is None:
        if there:
            raise FileExistsError(f"{folder.address} is not empty, and no run of escalation made what is in it; choose another folder")
        return None
    run = json.loads(noted)
    same = run["command"] == json.loads(json.dumps(command))
    if not same and not overwrite:
        raise ValueError(
            f"{folder.address} holds the output of another command, or the inputs have changed; choose another folder, or begin again with --overwrite"
        )
    if not same or (overwrite and there.issuperset(names)):
        for name in [*(name for name in there if name.startswith("part-")), REPORTS, REJECTS, WORK, RUN_FILE]:
            folder.remove(name)
        return None
    schema = run["schema"] and need("pyarrow").ipc.read_schema(need("pyarrow").py_buffer(base64.b64decode(run["schema"])))
    return Survey.from_dict(run["survey"]), schema


def _begin(folder: Folder, command: Mapping[str, Any], survey: Survey, schema: Any | None) -> None:
    """Notes in the folder what it will hold."""
    packed = base64.b64encode(schema.serialize().to_pybytes()).decode() if schema is not None else None
    folder.write(RUN_FILE, json.dumps({"command": command, "survey": survey.to_dict(), "schema": packed}).encode())


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Ray, started or joined for as long as it is needed; one that the caller has started stays."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # this package sends nothing to anyone
    ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def _survey(ray: Any, sources: Sequence[Source], options: Options) -> tuple[Survey, Any | None]:
    """Reads all inputs through on the cluster; all parts get the columns of all inputs."""
    look = ray.remote(survey_part)
    found = ray.get([look.remote(source, options) for source in sources])
    for result in found:
        if isinstance(result, Exception):
            raise result
    survey = merge(survey for survey, _ in found)
    check_clash(survey, options)
    schemas = [schema for _, schema in found]
    return survey, None if None in schemas else unify(schemas)


def survey_part(source: Source, options: Options) -> tuple[Survey, Any | None] | Exception:
    """What an input holds, and its Arrow schema where it is Parquet and the output is; an error comes back as it is, without the trace of a worker."""
    try:
        with local_copy(source) as here:
            schema = read_schema(here) if options.format == here.format == "parquet" else None
            return survey_source(here, options.needed), schema
    except (ValueError, OSError, ImportError) as error:
        return error


def _run(
    ray: Any, job: Job, folder: Folder, tasks: Sequence[tuple[str, Source]], *, model: str | os.PathLike[str], threads: int, workers: int | None,
    show_progress_bar: bool,
) -> list[tuple[str, str]]:  # fmt: skip
    """Makes parts; returns the names of those that could not be made, with reasons."""
    from tqdm import tqdm

    data = need("ray.data", "ray")
    data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    pool = data.ActorPoolStrategy(min_size=1, max_size=min(workers or len(tasks), len(tasks)), max_tasks_in_flight_per_actor=2)
    about = {"job": replace(job, sources=()), "output": folder.address, "model": os.fspath(model), "threads": threads}
    items = [{"part": name, **asdict(source)} for name, source in tasks]
    made = data.from_items(items, override_num_blocks=len(items)).map_batches(
        PartScorer, batch_size=1, compute=pool, num_cpus=threads, fn_constructor_kwargs=about
    )
    failed = []
    with tqdm(total=len(tasks), unit=" parts", disable=not show_progress_bar) as bar:
        for result in made.iter_rows():
            bar.update()
            if result["error"]:
                failed.append((str(result["part"]), str(result["error"])))
    return sorted(failed)


class PartScorer:
    """An actor: holds the model, makes part after part."""

    def __init__(self, job: Job, output: str, model: str, threads: int) -> None:
        self._job, self._folder, self._scorer = job, Folder(output), load(model, threads=threads, screen=job.options.screen)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """Makes the parts of a batch; an error of one is handed back and ends nothing."""
        errors = []
        for part, name, format_name, address in zip(*(map(str, batch[key]) for key in ("part", "name", "format", "address")), strict=True):
            try:
                score_part(self._job, self._scorer, self._folder, part, Source(name, format_name, address))
                errors.append("")
            except (ValueError, OSError, ImportError) as error:
                errors.append(str(error))
        return {"part": list(map(str, batch["part"])), "error": errors}


def score_part(job: Job, scorer: Scorer, folder: Folder, name: str, source: Source) -> None:
    """Makes one part. Its rejects and its report come before it, so that a part that is there has both.

    Args:
        job: what all parts have in common.
        scorer: scores.
        folder: the output.
        name: of the part.
        source: its input.
    """
    with local_copy(source) as here, folder.workplace() as work:
        part = replace(job, sources=[here], command={**job.command, "part": name})
        # What lies in the workplace without a journal of this part is a leftover: a worker died between completing a part and giving it its place.
        report = write_file(part, scorer, Traces(work / name), overwrite=True)
        if report.rejects:
            folder.publish(Path(report.rejects), f"{REJECTS}/{PurePath(name).stem}.jsonl")
        folder.write(f"{REPORTS}/{name}.json", json.dumps(asdict(report)).encode())
        folder.publish(work / name, name)


def _total(folder: Folder, names: Sequence[str], before: set[str], left_out: tuple[str, ...]) -> BatchReport:
    """The sum of the parts' reports."""
    counts = dict.fromkeys(("rows", "rejected", "warned", "written", "screened", "resumed"), 0)
    for name in names:
        report = json.loads(folder.read(f"{REPORTS}/{name}.json") or b"{}")
        for count in ("rows", "rejected", "warned", "written", "screened"):
            counts[count] += report.get(count, 0)
        counts["resumed"] += report.get("rows", 0) if name in before else 0
    rejects = f"{folder.address}/{REJECTS}" if counts["rejected"] else None
    return BatchReport(folder.address, rejects, **counts, left_out=left_out)
