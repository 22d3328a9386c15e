"""A job: what was asked for, checked, before anything is scored or written."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from escalation import __version__
from escalation.batch import chunks as cut
from escalation.batch.chunks import Chunk, Options
from escalation.batch.files import STANDARD, Source, choose_format, find_sources, name_format, need
from escalation.batch.journal import Traces, state_of, sum_of
from escalation.batch.parquet import read_schema, unify
from escalation.batch.records import COLUMNS
from escalation.batch.survey import Survey, check_columns, merge, survey_rows, survey_source
from escalation.model import check_integrity, find_model
from escalation.screen import no_screen


@dataclass(frozen=True)
class Job:
    """A run that is settled.

    Attributes:
        sources: the inputs.
        options: what decides the output.
        command: what must be the same for a run to go on .
        left_out: see `BatchReport`.
        survey: of the inputs' columns, where it is known already.
        schema: Arrow schema of the reader's columns, where all inputs are Parquet and the output is, else None.
    """

    sources: Sequence[Source]
    options: Options
    command: Mapping[str, Any]
    left_out: tuple[str, ...] = ()
    survey: Survey | None = None
    schema: Any | None = None


def settle(inputs: Sequence[str], options: Options, model: str | os.PathLike[str], *, input_format: str | None, ignore: Iterable[Path]) -> Job:
    """Finds the inputs; nothing is read or written yet. Arguments and errors are those of `run.score_files`."""
    sources, left_out = find_sources(inputs, input_format=input_format, ignore=ignore)
    if len(sources) > 1 and any(source.name == STANDARD for source in sources):
        raise ValueError("standard input (-) can't be read together with files; give the files alone, or put all into standard input")
    arrow_only = options.format == "parquet" and all(source.format == "parquet" for source in sources)
    schema = unify([read_schema(source) for source in sources]) if arrow_only else None
    return Job(sources, options, {"inputs": sum_of(map(state_of, sources)), **describe(options, model)}, tuple(left_out), schema=schema)


def choose_options(
    output: str, *, text_column: str, id_column: str | None, level: str, prefix: str, output_format: str | None, screen: bool
) -> Options:  # fmt: skip
    """Checks the options of a run. Arguments are those of `run.score_files`.

    Raises:
        ValueError: an unknown level or format.
        ImportError: the output needs a package that is not installed.
    """
    if level not in COLUMNS:
        raise ValueError(f"level must be one of {', '.join(COLUMNS)}, got {level!r}")
    format_name = choose_format(output, output_format, "--format")
    compression = name_format(output)[1]
    if format_name == "parquet":
        need("pyarrow")
    if compression == "zstd":
        need("zstandard")
    return Options(text_column, id_column, level, prefix, format_name, compression, screen)


def describe(options: Options, model: str | os.PathLike[str]) -> dict[str, Any]:
    """Everything but the inputs that must be the same for a run to go on.

    Raises:
        FileNotFoundError: no such model.
        ValueError: the model is damaged, or has no screen where one is asked for.
    """
    config = check_integrity(find_model(model))
    if options.screen and not config.get("screen"):
        raise ValueError(no_screen(config["name"], config["version"]))
    chosen = {name: value for name, value in asdict(options).items() if name != "screen" or value}  # so that runs begun before there were screens go on
    return {**chosen, "model": config["sha256"], "version": __version__, "chunks": [cut.CHUNK_ROWS, cut.CHUNK_CHARACTERS]}


def check_output(sources: Sequence[Source], traces: Traces) -> None:
    """Refuses an output that would destroy an input, or that can't be a file.

    Raises:
        ValueError: one of the inputs would be overwritten, or the output is a folder or a device.
        FileNotFoundError: its folder is not there.
    """
    if not traces.output.parent.is_dir():
        raise FileNotFoundError(f"the folder of the output, {traces.output.parent}, is not there; make it first")
    if traces.output.exists() and not traces.output.is_file():
        raise ValueError(f"the output {traces.output} is no file but a folder or a device; name a file, or - for standard output")
    touched = {path.resolve() for path in [traces.output, *traces.all()]}
    for source in sources:
        path = Path(source.name).resolve()
        if source.name != STANDARD and touched & {path, *path.parents}:
            raise ValueError(f"the output {traces.output} would overwrite the input {source.name}; choose another output")


def survey_job(job: Job, chunks: Generator[Chunk]) -> tuple[Survey, Generator[Chunk]]:
    """Finds out the columns of the inputs and checks them; of standard input by its first chunk, which is put back.

    Raises:
        ValueError: a column is missing, or has the name of one of ours.
        OSError: an input can't be read.
    """
    options = job.options
    if job.survey is not None:
        return job.survey, chunks
    if all(source.name != STANDARD for source in job.sources):
        survey = merge(survey_source(source, options.needed) for source in job.sources)
    else:
        first = next(chunks, None)
        survey = Survey(None, survey_rows(row.values for _, row in first.rows).kinds if first else {})
        check_columns(survey, "standard input", options.needed)
        if first and not survey.kinds and options.format != "jsonl":
            raise ValueError(f"none of the first {len(first.rows)} rows of standard input can be read, so its columns are unknown; write --format jsonl")
        chunks = _put_back(first, chunks)
    check_clash(survey, options)
    return survey, chunks


def _put_back(first: Chunk | None, chunks: Generator[Chunk]) -> Generator[Chunk]:
    """The first chunk, then the others."""
    if first is not None:
        yield first
    yield from chunks


def check_clash(survey: Survey, options: Options) -> None:
    """Refuses columns that have the name of one of ours.

    Raises:
        ValueError: there are some.
    """
    clash = [name for name in options.own if name in survey.kinds]
    if clash:
        names = ", ".join(map(repr, clash))
        raise ValueError(f"the inputs have columns {names}, and so has the output of its own; name ours otherwise with --prefix, for example --prefix esc_")
