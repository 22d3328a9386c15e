"""Files of articles to a file of scores, as a stream: memory does not grow with the input, and a run that is stopped goes on where it was.

Rows are taken in chunks. When a chunk's records and rejects are on disk, a journal beside the output notes how far the run has come. A run that finds the
journal of the same command cuts the output back to what the journal knows of and goes on from there, so the result is byte for byte that of an unbroken run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from escalation.batch.chunks import Checker, Chunk, read_chunks, score_chunk
from escalation.batch.files import STANDARD
from escalation.batch.jobs import Job, check_output, choose_options, settle, survey_job
from escalation.batch.journal import Journal, Progress, Traces, locked, sync_folder
from escalation.batch.parquet import ParquetSink, TableMaker
from escalation.batch.records import Record
from escalation.batch.sinks import Encoder, GrowingFile, LinesSink, Sink, StreamSink, discard, lines_encoder
from escalation.batch.survey import Survey
from escalation.scorer import DEFAULT_MODEL, Scorer, load


def plural(number: int, one: str, many: str = "") -> str:
    """A number and what it counts, in the singular or the plural: `many`, or `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


@dataclass(frozen=True)
class BatchReport:
    """What a run did, over all its beginnings.

    Attributes:
        output: where the records are.
        rejects: where the broken rows are; None where there are none, or where they went to standard error.
        rows: rows read.
        rejected: of these, broken ones.
        warned: articles with a warning: they are not scored (empty, no words, not English, passed over by the screen).
        written: records in the output.
        screened: of the articles with a warning, those that the screen passed over.
        resumed: rows that earlier runs of the command had done.
        left_out: files of input folders whose suffix stands for no format.
    """

    output: str
    rejects: str | None
    rows: int
    rejected: int
    warned: int
    written: int
    screened: int = 0
    resumed: int = 0
    left_out: tuple[str, ...] = ()

    def summary(self) -> str:
        """What a reader must know, a line each."""
        lines = [f"{self.output}: {plural(self.rows - self.rejected, 'article')}, {plural(self.written, 'row')} written"]
        if self.resumed:
            lines.append(f"{plural(self.resumed, 'row')} had been done before")
        if self.screened:
            lines.append(f"{plural(self.screened, 'article was', 'articles were')} passed over by the screen and not scored")
        if self.warned > self.screened:
            lines.append(f"{plural(self.warned - self.screened, 'article was', 'articles were')} not scored: empty, without words or not English")
        if self.rejected:
            lines.append(f"{plural(self.rejected, 'broken row was', 'broken rows were')} rejected: see {self.rejects or 'above'}")
        if self.left_out:
            some = ", ".join([*self.left_out[:3], *(["…"] if len(self.left_out) > 3 else [])])
            files = plural(len(self.left_out), "file of a folder was", "files of folders were")
            lines.append(f"{files} left out, as no known format has such a suffix: {some}")
        return "\n".join(lines)


def score_files(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
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
    """Scores files of articles, a row each, and writes a file of rows with the figures beside the reader's own columns.

    Stopped at any moment (a kill, a full disk) and called again with the same arguments it goes on where it was; the output is byte for byte that of an
    unbroken run. A broken row does not end the run: it goes to `OUTPUT.rejects.jsonl` with its place and the reason.

    Args:
        inputs: JSON Lines, CSV (with a header) or Parquet, plain or packed with gzip or zstd: files, folders, glob patterns; or `"-"`, standard input.
        output: a file that is not there yet, its format and compression by suffix; or `"-"`, standard output, which can't be resumed.
        text_column: holds the article.
        id_column: a column that each row must have.
        level: one row for each `"article"`, `"sentence"` or `"highlight"`; at the latter two the text column holds the words that the row is about.
        prefix: put before the names of our columns, where the inputs have columns of the same name.
        model: name of a shipped model, or path to a model folder.
        threads: for the network; None takes every core this process may use.
        screen: whether a cheap screen first passes over texts without political or armed actors; see `escalation.load`.
        input_format: `"jsonl"`, `"csv"` or `"parquet"`; None goes by suffix.
        output_format: the same for the output.
        overwrite: replaces an output that is there, and forgets a journal that is another command's. The old output stays until the new one is complete.
        show_progress_bar: on standard error.

    Raises:
        ValueError: an option, a column or a format is wrong; the message names the remedy. Nothing has been written then.
        FileNotFoundError: no such input or model, or no folder for the output.
        FileExistsError: the output is there.
        ImportError: Parquet or zstd without the package it needs.
        OSError: a file can't be read or written on. What is done is kept.
    """
    given = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    traces = Traces(Path(output)) if os.fspath(output) != STANDARD else None
    options = choose_options(
        os.fspath(output), text_column=text_column, id_column=id_column, level=level, prefix=prefix, output_format=output_format, screen=screen
    )
    job = settle([os.fspath(name) for name in given], options, model, input_format=input_format, ignore=traces.all() if traces else [])
    scorer = load(model, threads=threads, screen=screen)
    if traces is None:
        return _write_stream(job, scorer, show_progress_bar=show_progress_bar)
    return write_file(job, scorer, traces, overwrite=overwrite, show_progress_bar=show_progress_bar)


def write_file(job: Job, scorer: Scorer, traces: Traces, *, overwrite: bool = False, show_progress_bar: bool = False) -> BatchReport:
    """Writes the output of a job to a file, or goes on with it; see `score_files`."""
    check_output(job.sources, traces)
    with locked(traces.lock):
        journal = Journal(traces.journal, job.command)
        found = _find_earlier_run(journal, traces, overwrite=overwrite)
        progress = found[1] if found else Progress()
        resumed = progress.rows
        if not progress.done:
            with closing(read_chunks(job.sources, progress, job.options.text_column)) as chunks:
                survey, chunks = (found[0], chunks) if found else survey_job(job, chunks)
                with _kept(journal):
                    Run(job, scorer, survey, progress, show_progress_bar).write_file(chunks, traces, journal)
        with _kept(journal), _named(traces.output):
            _complete(traces, progress)
    discard(traces.journal)  # last of all: while it is there, the same command would do the rest
    return _report(job, progress, str(traces.output), str(traces.rejects), resumed)


def _write_stream(job: Job, scorer: Scorer, *, show_progress_bar: bool) -> BatchReport:
    """Writes the output of a job to standard output: no journal, no resuming."""
    progress = Progress()
    with closing(read_chunks(job.sources, progress, job.options.text_column)) as chunks:
        survey, chunks = survey_job(job, chunks)
        Run(job, scorer, survey, progress, show_progress_bar).write_stream(chunks, sys.stdout.buffer)
    return _report(job, progress, STANDARD, None, 0)


def _report(job: Job, progress: Progress, output: str, rejects: str | None, resumed: int) -> BatchReport:
    """What the run did."""
    counts = (progress.rows, progress.rejected, progress.warned, progress.written, progress.screened)
    return BatchReport(output, rejects if progress.rejected else None, *counts, resumed, job.left_out)


def _find_earlier_run(journal: Journal, traces: Traces, *, overwrite: bool) -> tuple[Survey, Progress] | None:
    """What an earlier run of this command has noted, if it left something to do.

    Raises:
        ValueError: the journal is another command's.
        FileExistsError: a file is there that no run of this command has begun.
    """
    try:
        found = journal.read()
    except ValueError:
        if not overwrite:
            raise
        found = None
    begun = found is not None and (not found[1].done or traces.part.exists())
    named = found is not None and not begun and traces.output.exists()  # a run died between naming the output and removing its journal
    there = [path for path in ([traces.output] if begun else [traces.output, traces.part, traces.parts, traces.rejects]) if os.path.lexists(path)]
    if there and not (overwrite or named):
        raise FileExistsError(
            f"{there[0]} is there already, and no stopped run of this command wrote it; choose another output, or replace it with --overwrite"
        )
    return found if begun or named else None


def _complete(traces: Traces, progress: Progress) -> None:
    """Gives the output its name and removes what was beside it; may be done again from any step."""
    if traces.part.exists():
        os.replace(traces.part, traces.output)
        sync_folder(traces.output.parent)
    for path in [traces.parts, *([] if progress.rejected else [traces.rejects])]:
        discard(path)


@dataclass
class Run:
    """The loop: chunks are scored and written, one after the other.

    Attributes:
        job: what is to be done.
        scorer: scores.
        survey: the columns of the inputs.
        progress: how far it has come; changed as it goes.
        show_progress_bar: on standard error.
    """

    job: Job
    scorer: Scorer
    survey: Survey
    progress: Progress
    show_progress_bar: bool

    def write_file(self, chunks: Iterator[Chunk], traces: Traces, journal: Journal) -> None:
        """Does what is left but for naming the output. Each chunk's records are on disk before its rejects, and both before the journal knows of them."""
        with _named(traces.output):
            journal.write(self.survey, self.progress)
            sink, rejects = self._file_sink(traces), GrowingFile(traces.rejects, self.progress.rejects)
        for records, broken in self._score(chunks):
            with _named(traces.output):
                sink.append(records)
                rejects.write(broken)
                self.progress.output, self.progress.rejects = sink.position, rejects.size
                journal.write(self.survey, self.progress)
        with _named(traces.output):
            sink.finish()
            self.progress.output, self.progress.done = sink.position, True
            journal.write(self.survey, self.progress)

    def write_stream(self, chunks: Iterator[Chunk], stream: BinaryIO) -> None:
        """Writes the records of a chunk as soon as they are there; broken rows go to standard error."""
        from tqdm import tqdm

        sink = StreamSink(stream, *self._encoder())
        for records, broken in self._score(chunks):
            tqdm.write(broken.decode(), file=sys.stderr, end="")  # above the progress bar, where there is one
            sink.append(records)
        sink.finish()

    def _score(self, chunks: Iterator[Chunk]) -> Iterator[tuple[list[Record], bytes]]:
        """The records and the lines of rejects of each chunk; `progress` counts its rows when they are handed out."""
        from tqdm import tqdm  # here: a single text never needs it

        checker = Checker(self.job.options, self.survey, arrow_types=self.job.schema is not None)
        progress = self.progress
        with tqdm(total=self.survey.rows, initial=progress.rows, unit=" articles", disable=not self.show_progress_bar) as bar:
            for chunk in chunks:
                records, broken, warned, screened = score_chunk(chunk, progress.rows, self.scorer, checker, self.job.options, bar.update)
                progress.source, progress.row, progress.digest = chunk.source, chunk.row, chunk.digest
                progress.rows += len(chunk.rows)
                progress.rejected += len(broken)
                progress.warned += warned
                progress.screened += screened
                progress.written += len(records)
                yield records, "".join(broken).encode()

    def _encoder(self) -> tuple[Encoder, bytes]:
        """What makes lines of records, and the header."""
        options = self.job.options
        return lines_encoder(options.format, [*self.survey.kinds, *options.own], options.text_column, options.prefix)

    def _file_sink(self, traces: Traces) -> Sink:
        """The sink of a file, cut back to what is done."""
        options = self.job.options
        if options.format == "parquet":
            table = TableMaker(self.survey.kinds, self.job.schema, level=options.level, text_column=options.text_column, prefix=options.prefix)
            return ParquetSink(traces.part, traces.parts, table, self.progress.output)
        return LinesSink(GrowingFile(traces.part, self.progress.output), *self._encoder(), options.compression)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Says of an error in writing what could not be written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"{path} can't be written: {error.strerror or error}") from error


@contextmanager
def _kept(journal: Journal) -> Iterator[None]:
    """Says of an error that what is done is kept."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{error.strerror or error}; {journal.rows} rows are done and kept: mend this, and the same command goes on from there") from error
