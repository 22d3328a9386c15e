"""Labelled files to labelled texts: JSON Lines, CSV and Parquet; every fault is named with its line, value and rule."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from escalation.evaluation.labelled import LABEL_FIELDS, LabelledText, is_missing, read_record

FORMATS = {".jsonl": "JSON Lines", ".ndjson": "JSON Lines", ".csv": "CSV", ".tsv": "CSV", ".parquet": "Parquet"}
SHOWN = 5  # faults that an error lists


@dataclass(frozen=True)
class Mapped:
    """How a file's own names and values are to be read.

    Attributes:
        columns: the file's column to the name it stands for, such as `{"headline": "text"}`.
        labels: the file's value of `label` to the codebook's, such as `{"1": "escalation"}`.
        out_of_scope: a column and the values that mean out of scope, such as `("topic", ("sports", "business"))`; other rows' scope stays unknown.
    """

    columns: Mapping[str, str]
    labels: Mapping[str, str]
    out_of_scope: tuple[str, tuple[str, ...]] | None = None

    def apply(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row with the names and values that `labelled.read_record` knows."""
        result = {key: value for key, value in row.items() if key not in self.columns.values() or key in self.columns}
        result = {self.columns.get(key, key): value for key, value in result.items()}
        if not is_missing(result.get("label")) and str(result["label"]) in self.labels:
            result["label"] = self.labels[str(result["label"])]
        if self.out_of_scope and is_missing(result.get("in_scope")) and str(row.get(self.out_of_scope[0])) in self.out_of_scope[1]:
            result["in_scope"] = False
        return result


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """Lines of a JSON Lines file with their numbers; a line that is no JSON object comes back as its error."""
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                yield number, ValueError(f"is not UTF-8 (byte 0x{raw[error.start]:02x}); convert the file first")
                continue
            except ValueError as error:
                yield number, ValueError(f"is no JSON ({error})")
                continue
            yield number, row if isinstance(row, dict) else ValueError(f"must be a JSON object, got {row!r:.60}")


def read_csv(path: Path) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """Rows of a CSV file (comma, or tab for .tsv) with the line they end on; `phrases` and `sentences` may hold JSON."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 (byte 0x{error.object[error.start]:02x} at {error.start}); convert it first") from error
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter="\t" if path.suffix == ".tsv" else ",", restkey="", strict=True)
    try:
        for row in reader:
            if "" in row or None in row.values():
                fields = len([value for value in row.values() if value is not None]) + (len(row[""]) - 1 if "" in row else 0)
                yield reader.line_num, ValueError(f"has {fields} fields, the header has {len(reader.fieldnames or ())}; quote fields that hold the separator")
                continue
            for name in ("phrases", "sentences"):
                if row.get(name):
                    row[name] = json.loads(row[name])
            yield reader.line_num, dict(row)
    except (csv.Error, ValueError) as error:
        yield reader.line_num, ValueError(f"is no CSV row ({error})")


def read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """Rows of a Parquet file, counted from 1."""
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Parquet needs pyarrow; install it with: pip install "escalation[batch]"') from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no Parquet file ({error})") from error
    yield from enumerate(rows, 1)


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """Rows of a file by its suffix.

    Raises:
        ValueError: an unknown suffix.
        FileNotFoundError: no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file")
    readers = {"JSON Lines": read_json_lines, "CSV": read_csv, "Parquet": read_parquet}
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: the suffix must be one of {', '.join(FORMATS)}, got {path.suffix!r}")
    return readers[FORMATS[path.suffix.lower()]](path)


def check_columns(path: Path, rows: Sequence[Mapping[str, Any]], mapped: Mapped) -> None:
    """Raises a ValueError where nothing is labelled, or a column that the mapping names is not there."""
    names = sorted({name for row in rows for name in row})
    wanted = [*mapped.columns, *([mapped.out_of_scope[0]] if mapped.out_of_scope else [])]
    if absent := [name for name in wanted if name not in names]:
        raise ValueError(f"{path} has no column {absent[0]!r}; it has {', '.join(names)}")
    known = {mapped.columns.get(name, name) for name in names} | ({"in_scope"} if mapped.out_of_scope else set())
    remedy = "name yours with column_mapping (--column YOURS=NAME)"
    if not known & {"text", "sentences"}:
        raise ValueError(f"{path} has neither a column text nor sentences; it has {', '.join(names)}; {remedy}")
    if not known & {*LABEL_FIELDS, "sentences"}:
        raise ValueError(f"{path} has no labels: none of {', '.join(LABEL_FIELDS)} among its columns {', '.join(names)}; {remedy}")


def check_scales(texts: Sequence[LabelledText]) -> None:
    """Raises a ValueError where severities look like scores (−1 … 1) and not like the codebook's −10 … 10."""
    found = [labels.severity for text in texts for labels in (text.labels, *(s.labels for s in text.sentences)) if labels.severity is not None]
    if any(value != int(value) for value in found) and all(abs(value) <= 1 for value in found):
        raise ValueError(
            "all severities lie within -1 and 1 and are no whole numbers: they look like scores; the codebook's severity is -10 to 10, so multiply"
        )


def read_labelled(
    path: Path,
    *,
    column_mapping: Mapping[str, str] | None = None,
    label_mapping: Mapping[str, str] | None = None,
    out_of_scope: tuple[str, tuple[str, ...]] | None = None,
) -> list[LabelledText]:
    """Reads a labelled file; see `escalation.evaluation.labelled` for what a record holds.

    Args:
        path: `.jsonl`, `.csv`, `.tsv` or `.parquet`, UTF-8.
        column_mapping: the file's columns to the names that they stand for, such as `{"headline": "text"}`.
        label_mapping: the file's values of `label` to the codebook's, such as `{"1": "escalation", "0": "neutral"}`.
        out_of_scope: a column and its values that mean out of scope.

    Raises:
        ValueError: the file is empty, has no labels, or breaks a rule; the message gives lines, values and rules. Nothing is read halfway.
        FileNotFoundError: no such file.
        ModuleNotFoundError: Parquet without pyarrow.
    """
    mapped = Mapped(column_mapping or {}, label_mapping or {}, out_of_scope)
    numbered = list(read_rows(path))
    rows = [row for _, row in numbered if not isinstance(row, ValueError)]
    if not numbered:
        raise ValueError(f"{path} is empty: there is nothing to evaluate")
    if rows:
        check_columns(path, rows, mapped)
    texts: list[LabelledText] = []
    faults: list[str] = []
    first: dict[str, int] = {}
    for number, row in numbered:
        try:
            if isinstance(row, ValueError):
                raise row
            text = read_record(mapped.apply(row), f"line {number}")
            if text.id in first:
                raise ValueError(f"id {text.id!r} stands on line {first[text.id]} already; ids must differ")
        except ValueError as error:
            faults.append(f"{path.name}, line {number}: {error}")
            continue
        first[text.id] = number
        texts.append(text)
    if faults:
        more = f"\n… and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ValueError("\n".join(faults[:SHOWN]) + more + f"\n{len(faults)} of {len(numbered)} records are faulty; nothing was evaluated")
    check_scales(texts)
    return texts
