"""Records to Parquet: a part for each chunk, put together at the end, since a Parquet file is complete only with its last byte."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from escalation.batch.files import Source, need
from escalation.batch.records import COLUMNS, Record, to_cell
from escalation.batch.survey import column_type
from escalation.batch.tables import open_parquet
from escalation.signals import SIGNAL_NAMES

ROW_GROUP = 1 << 24  # bytes of a row group, about, of the file that is put together; a part that is larger is one by itself


class ParquetSink:
    """A folder of Parquet parts, and the file that they become."""

    def __init__(self, path: Path, folder: Path, table: TableMaker, parts: int = 0) -> None:
        """Opens or makes the folder.

        Args:
            path: of the file that `finish` puts together.
            folder: of the parts.
            table: makes a table of records.
            parts: parts that are kept; one behind them, which a run wrote and did not live to note, is written again.
        """
        self._path, self._folder, self._table, self._position = path, folder, table, parts
        folder.mkdir(exist_ok=True)

    @property
    def position(self) -> int:
        """Parts on disk."""
        return self._position

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:09d}.parquet"

    def append(self, records: Sequence[Record]) -> None:
        """Writes a part."""
        if records:
            write_parquet(self._part(self._position), self._table.schema, [self._table.make(records)])
            self._position += 1

    def finish(self) -> None:
        """Puts the parts together; one row group at a time is in memory."""
        parts = [self._part(number) for number in range(self._position)]
        missing = [part for part in parts if not part.exists()]
        if missing:
            raise OSError(f"{missing[0]} is not there any more; begin again with --overwrite")
        write_parquet(self._path, self._table.schema, _row_groups(parts))


def _row_groups(parts: Sequence[Path]) -> Iterator[Any]:
    """The tables of the parts, several together."""
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    held, size = [], 0
    for part in parts:
        held.append(parquet.read_table(part))
        size += held[-1].nbytes
        if size >= ROW_GROUP or part == parts[-1]:
            yield arrow.concat_tables(held)
            held, size = [], 0


def write_parquet(path: Path, schema: Any, tables: Iterable[Any]) -> None:
    """Writes tables as the row groups of a file; when it returns they are on disk."""
    with open(path, "wb") as file:
        with need("pyarrow.parquet").ParquetWriter(file, schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table)
        file.flush()
        os.fsync(file.fileno())


def read_schema(source: Source) -> Any:
    """The Arrow schema of a Parquet file, without what other programs noted in it."""
    with open_parquet(source) as file:
        return file.schema_arrow.remove_metadata()


def unify(schemas: Sequence[Any]) -> Any:
    """The Arrow schema that holds the columns of several.

    Raises:
        ValueError: a column has types that no one type holds.
    """
    arrow = need("pyarrow")
    try:
        return arrow.unify_schemas(schemas, promote_options="permissive")
    except arrow.ArrowException as error:
        raise ValueError(f"the inputs' columns can't be put into one Parquet file ({error}); write --format jsonl, or give the files one by one") from error


class TableMaker:
    """Records to an Arrow table of a schema that is known from the start, so that all parts have the same."""

    def __init__(self, kinds: Mapping[str, frozenset[str]], reader: Any | None, *, level: str, text_column: str, prefix: str) -> None:
        """Settles the schema.

        Args:
            kinds: of the reader's columns (`survey.Survey.kinds`).
            reader: their Arrow schema where all inputs are Parquet, which keeps types as they are; None settles them by `kinds`.
            level: of `records.COLUMNS`.
            text_column: holds the words of a sentence or highlight at those levels.
            prefix: of our columns.
        """
        arrow = need("pyarrow")
        self._text, self._prefix = text_column, prefix
        self._types = {name: column_type(found) for name, found in kinds.items()}
        fields = list(reader) if reader is not None else [arrow.field(name, arrow_type(found)) for name, found in self._types.items()]
        if level != "article":
            fields = [arrow.field(text_column, arrow.string()) if field.name == text_column else field for field in fields]
        self._kept = [] if reader is None else [field for field in fields if level == "article" or field.name != text_column]
        self.schema = arrow.schema([*fields, *(arrow.field(prefix + name, arrow_type(found)) for name, found in COLUMNS[level].items())])

    def make(self, records: Sequence[Record]) -> Any:
        """The table of some records."""
        arrow = need("pyarrow")
        columns = self._keep(records) if self._kept else {}
        made = [columns[field.name] if field.name in columns else arrow.array(self._values(field.name, records), field.type) for field in self.schema]
        return arrow.table(made, schema=self.schema)

    def _values(self, name: str, records: Sequence[Record]) -> list[Any]:
        """A column that is made of Python values."""
        if name not in self._types:
            return [record.figures[name.removeprefix(self._prefix)] for record in records]
        values = [record.words if name == self._text and record.words is not None else record.row.values.get(name) for record in records]
        return [None if value is None else to_cell(value) for value in values] if self._types[name] == "json" else values

    def _keep(self, records: Sequence[Record]) -> dict[str, Any]:
        """The reader's columns, taken from the record batches that they were read in, so that types and digits are as they were."""
        arrow = need("pyarrow")
        tables = []
        for _, group in groupby([record.row.arrow for record in records if record.row.arrow], key=lambda origin: id(origin[0])):
            origins = list(group)
            batch = origins[0][0]
            here = batch.select([field.name for field in self._kept if field.name in batch.schema.names])
            taken = here.take(arrow.array([place for _, place in origins], arrow.int64()))
            tables.append(arrow.table([_as_field(taken, field) for field in self._kept], schema=arrow.schema(self._kept)))
        whole = arrow.concat_tables(tables)
        return {name: whole.column(name) for name in whole.schema.names}


def _as_field(batch: Any, field: Any) -> Any:
    """A column of a batch in the type that it has in the output; nulls where this input lacks it."""
    arrow = need("pyarrow")
    if field.name not in batch.schema.names:
        return arrow.nulls(batch.num_rows, field.type)
    try:
        return batch.column(field.name).cast(field.type)
    except arrow.ArrowException as error:
        raise ValueError(f"column {field.name!r} has other types in other inputs, and {field.type} does not hold it ({error}); write --format jsonl") from error


def arrow_type(name: str) -> Any:
    """The Arrow type of a column (`survey.column_type`, `records.COLUMNS`)."""
    arrow = need("pyarrow")
    plain = {"string": arrow.string(), "json": arrow.string(), "int64": arrow.int64(), "double": arrow.float64(), "bool": arrow.bool_()}
    highlight = {"text": "string", "start": "int64", "end": "int64", "signal": "string", "direction": "string", "status": "string", "score": "double"}
    made = {
        "strings": arrow.list_(arrow.string()),
        "signals": arrow.struct([(signal, arrow.float64()) for signal in SIGNAL_NAMES]),
        "highlights": arrow.list_(arrow.struct([(part, plain[kind]) for part, kind in highlight.items()])),
    }
    return plain.get(name) or made[name]
