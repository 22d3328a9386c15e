"""What columns the inputs hold, found out before the first text is scored.

Reading is a hundredth of the work of scoring, so every input is read through once at the start: a column that is missing, or one that has the name of one of
ours, is an error in the first minute and not in the tenth hour; CSV and Parquet get all their columns; and the progress bar knows how many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from escalation.batch.files import Source, need
from escalation.batch.tables import open_parquet, read_rows

EXACT = 1 << 53  # whole numbers up to here are exact as floating-point numbers
LONGEST = 1 << 63  # and up to here fit into 64 bits


@dataclass(frozen=True)
class Survey:
    """What the inputs hold.

    Attributes:
        rows: number of rows, broken ones included; None where it can't be known (standard input).
        kinds: for each column, in order of first appearance, the kinds of its values (`kind_of`).
    """

    rows: int | None
    kinds: Mapping[str, frozenset[str]]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"rows": self.rows, "kinds": {name: sorted(kinds) for name, kinds in self.kinds.items()}}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Survey:
        """What `to_dict` gave."""
        return cls(plain["rows"], {name: frozenset(kinds) for name, kinds in plain["kinds"].items()})


def kind_of(value: object) -> str:
    """What a value is: null, text, flag, whole (a number exact in any type), long (in 64 bits only), number, other."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int):
        return "whole" if abs(value) <= EXACT else "long" if -LONGEST <= value < LONGEST else "other"
    return "number" if isinstance(value, float) else "other"


def column_type(kinds: Iterable[str]) -> str:
    """The Parquet type that holds values of these kinds exactly; `json` is text that holds JSON, for what fits no other."""
    found = set(kinds) - {"null"}
    if found <= {"text"}:
        return "string"
    if found == {"flag"}:
        return "bool"
    if found <= {"whole", "long"}:
        return "int64"
    return "double" if found <= {"whole", "number"} else "json"


def fits(value: object, type_name: str) -> bool:
    """Whether a column of a type from `column_type` holds the value exactly."""
    return type_name == "json" or value is None or column_type([kind_of(value)]) == type_name or (type_name == "double" and kind_of(value) == "whole")


def survey_rows(rows: Iterable[Mapping[str, Any]]) -> Survey:
    """The number of rows, their columns and the kinds of their values."""
    kinds: dict[str, set[str]] = {}
    count = 0
    for values in rows:
        count += 1
        for name, value in values.items():
            kinds.setdefault(name, set()).add(kind_of(value))
    return Survey(count, {name: frozenset(found) for name, found in kinds.items()})


def survey_source(source: Source, needed: Sequence[str]) -> Survey:
    """Reads a source through.

    Args:
        source: a file.
        needed: columns that it must have.

    Raises:
        ValueError: it lacks one of them; the message names the columns that it has. Or it can't be read as its format.
        OSError: can't be read.
    """
    if source.format == "parquet":
        with open_parquet(source) as file:
            survey = Survey(file.metadata.num_rows, {column.name: frozenset([_arrow_kind(column.type)]) for column in file.schema_arrow})
        check_text_type(survey, source.shown, needed[0])
    else:
        survey = survey_rows(row.values for row in read_rows(source))
    if survey.rows:
        check_columns(survey, source.shown, needed)
    return survey


def check_columns(survey: Survey, name: str, needed: Sequence[str]) -> None:
    """Refuses a source that lacks a column; one whose rows are all broken has none to lack."""
    for column in needed:
        if survey.kinds and column not in survey.kinds:
            option = "--text" if column == needed[0] else "--id"
            raise ValueError(f"{name} has no column {column!r}; it has {', '.join(map(repr, survey.kinds))}: name one with {option}")


def check_text_type(survey: Survey, name: str, column: str) -> None:
    """Refuses a Parquet column that is not text: it is so in every row, and a file of rejects would help nobody."""
    if survey.rows and not survey.kinds.get(column, frozenset()) <= {"text", "null"}:
        texts = [other for other, kinds in survey.kinds.items() if kinds == {"text"}]
        raise ValueError(f"column {column!r} of {name} is not text; name another with --text (text: {', '.join(map(repr, texts)) or 'none'})")


def merge(surveys: Iterable[Survey]) -> Survey:
    """What several sources hold together."""
    rows = 0
    kinds: dict[str, frozenset[str]] = {}
    for survey in surveys:
        rows += survey.rows or 0
        for name, found in survey.kinds.items():
            kinds[name] = kinds.get(name, frozenset()) | found
    return Survey(rows, kinds)


def _arrow_kind(kind: Any) -> str:
    """The kind of value that `tables.plain_values` makes of an Arrow type."""
    types = need("pyarrow.types")
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_integer(kind):
        return "other" if types.is_uint64(kind) else "long" if kind.bit_width > 32 else "whole"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_temporal(kind) or types.is_decimal(kind):
        return "text"
    names = {"null": types.is_null, "flag": types.is_boolean, "number": types.is_floating}
    return next((name for name, is_kind in names.items() if is_kind(kind)), "other")
