"""Reading tables: what is sound comes through as it was, what is broken is named and ends nothing."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from escalation.batch import tables
from escalation.batch.files import Source, find_sources
from escalation.batch.survey import column_type, fits, kind_of
from escalation.batch.tables import Row, read_rows


def rows(path: Path, content: bytes | str, *, skip: int = 0) -> list[Row]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(Source(str(path), path.suffixes[0][1:]), skip=skip))


def sound(found: list[Row]) -> list[dict[str, object]]:
    return [row.values for row in found if not row.problem]


def broken(found: list[Row]) -> list[tuple[int, str]]:
    return [(row.number, row.problem) for row in found if row.problem]


def test_json_lines_name_what_is_broken_and_go_on(tmp_path: Path) -> None:
    lines = [
        '{"text": "a"}', "", "{broken", '["a"]', '{"text": "\\ud800"}', '{"text": "\\ud83d\\ude00"}', "{}", "[" * 100_000, '{"n": ' + "9" * 5000 + "}",
    ]  # fmt: skip
    found = rows(tmp_path / "a.jsonl", "\n".join(lines).encode() + b'\n{"text": "caf\xe9"}\n\xef\xbb\xbf{"text": "z"}')
    assert sound(found) == [{"text": "a"}, {"text": "😀"}, {"text": "z"}]
    assert [number for number, _ in broken(found)] == [3, 4, 5, 7, 8, 9, 10]
    reasons = " ".join(reason for _, reason in broken(found))
    for expected in ("is not JSON", "no object", "lone surrogate", "without columns", "is not UTF-8 (byte 0xe9 at 13)"):
        assert expected in reasons


def test_csv_fields_come_through_as_they_are(tmp_path: Path) -> None:
    values = [["1", 'He said "no",\r\nand\nleft '], ["2", ""], ["3", "\x00\u2028x"], ["", "x"]]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", "text"], *values])
    found = rows(tmp_path / "a.csv", "\ufeff" + text.getvalue())
    assert [row.values for row in found] == [{"id": key, "text": text} for key, text in values]
    assert [row.number for row in found] == [2, 5, 6, 7]


def test_a_broken_csv_line_costs_itself_and_no_other(tmp_path: Path) -> None:
    content = b'id,text\n1,a\n2,"b\n3,"c"\n4,d,x\n5\n\n6,caf\xe9\n7,"g\xe9\nh"\n8,"say "no""\n9,"two\nlines"\n10,"open\n11,k\n'
    found = rows(tmp_path / "a.csv", content)
    assert [row["id"] for row in sound(found)] == ["1", "3", "9", "11"]
    assert [number for number, _ in broken(found)] == [3, 5, 6, 8, 9, 11, 14]
    assert b"".join(row.raw for row in found) == content.replace(b"id,text\n", b"").replace(b"\n\n", b"\n"), "every byte is in a row or a reject"


def test_skipping_gives_the_rows_that_reading_would(tmp_path: Path) -> None:
    texts = [f"t{index}" for index in range(200)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "b.parquet", row_group_size=30)
    content = (tmp_path / "b.parquet").read_bytes()
    lines = "".join(json.dumps({"text": text}) + "\n" if index % 7 else "broken\n\n" for index, text in enumerate(texts))
    for name, data in (("a.jsonl", lines), ("a.csv", "text\n" + "".join(f'"{text}\n"\n' if index % 5 else "x,y\n" for index, text in enumerate(texts)))):
        whole = rows(tmp_path / name, data)
        assert len(whole) == 200
        for skip in (0, 1, 7, 64, 199, 200):
            assert rows(tmp_path / name, data, skip=skip) == whole[skip:]
    for skip in (0, 1, 29, 30, 31, 64, 95, 199, 200):
        assert [row.values["text"] for row in rows(tmp_path / "a.parquet", content, skip=skip)] == texts[skip:]
        assert [row.number for row in rows(tmp_path / "a.parquet", content, skip=skip)] == list(range(skip + 1, 201))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_packed_files_of_several_members_are_read_to_the_end_and_cut_ones_refused(tmp_path: Path, pack) -> None:
    lines = [json.dumps({"text": f"t{index}" * 100}) + "\n" for index in range(1000)]
    packed = b"".join(pack("".join(lines[start : start + 100]).encode()) for start in range(0, 1000, 100))
    assert len(sound(rows(tmp_path / "a.jsonl", packed))) == 1000
    with pytest.raises(OSError, match=r"a\.jsonl can't be read after row \d+"):
        rows(tmp_path / "a.jsonl", packed[:-10])
    damaged = bytearray(packed)
    damaged[len(packed) // 2 : len(packed) // 2 + 40] = b"x" * 40
    with pytest.raises(OSError, match="can't be read"):
        rows(tmp_path / "a.jsonl", bytes(damaged))


def test_a_row_without_end_does_not_take_the_file_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROW", 1000)
    monkeypatch.setattr(csv, "field_size_limit", lambda *limit, real=csv.field_size_limit: real(1000) if limit else 1000)
    long = "x" * 5_000_000
    found = rows(tmp_path / "a.jsonl", f'{{"text": "{long}"}}\n{{"text": "b"}}\n')
    assert sound(found) == [{"text": "b"}]
    assert broken(found) == [(1, "is longer than 1000 bytes")]
    assert len(found[0].raw) == 1000
    quoted = "text\n" + '"never closed\n' + "line\n" * 1000
    found = rows(tmp_path / "a.csv", quoted)
    assert len(sound(found)) == 1000
    assert [number for number, _ in broken(found)] == [2]
    found = rows(tmp_path / "a.csv", f"text\n{long}\nb\n")
    assert sound(found) == [{"text": "b"}]


def test_parquet_text_that_is_not_utf8_is_a_broken_row(tmp_path: Path) -> None:
    bad = pa.array([b"a", b"caf\xe9", b"c"]).view(pa.string())
    pq.write_table(pa.table({"text": bad, "id": [1, 2, 3]}), tmp_path / "b.parquet")
    found = rows(tmp_path / "a.parquet", (tmp_path / "b.parquet").read_bytes())
    assert [row["text"] for row in sound(found)] == ["a", "c"]
    assert broken(found) == [(2, "holds text that is not UTF-8")]
    assert b"caf\\xe9" in found[1].raw


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.csv", b"a,b,a\n1,2,3\n", "several columns named 'a'"),
        ("a.csv", b"caf\xe9,b\n1,2\n", "header of"),
        ("a.jsonl", "{}".encode("utf-16"), "UTF-16.*iconv"),
        ("a.parquet", b"nothing", "can't be read as Parquet"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        rows(tmp_path / name, content)


def test_inputs_are_files_folders_and_patterns_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.csv.gz", "sub/c.parquet", "readme.txt", ".hidden.jsonl", "out.jsonl.rejects.jsonl", "out.jsonl.parts/0.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    own = [tmp_path / "out.jsonl.rejects.jsonl", tmp_path / "out.jsonl.parts"]
    found, left_out = find_sources([str(tmp_path)], ignore=own)
    assert [(Path(source.name).name, source.format) for source in found] == [("a.csv.gz", "csv"), ("b.jsonl", "jsonl"), ("c.parquet", "parquet")]
    assert [Path(name).name for name in left_out] == ["readme.txt"]
    found, _ = find_sources([str(tmp_path / "**/*.parquet"), str(tmp_path / "readme.txt")], input_format="csv", ignore=own)
    assert [(Path(source.name).name, source.format) for source in found] == [("c.parquet", "csv"), ("readme.txt", "csv")]
    for wrong, match in (
        ([str(tmp_path / "b.jsonl"), str(tmp_path / "*.jsonl")], "given twice"), ([str(tmp_path / "none*.csv")], "no such file"),
        ([str(tmp_path / "readme.txt")], "--input-format"), (["-"], "--input-format"),
    ):  # fmt: skip
        with pytest.raises((ValueError, FileNotFoundError), match=match):
            find_sources(wrong)


def test_column_types_hold_their_values_exactly() -> None:
    cases = {
        "string": [None, "a"], "bool": [True, None], "int64": [1, 2**62, -(2**63)], "double": [1, 0.5], "json": [1, "a"],
    }  # fmt: skip
    for expected, values in cases.items():
        assert column_type(map(kind_of, values)) == expected
        assert all(fits(value, expected) for value in values)
    assert column_type(map(kind_of, [2**62, 0.5])) == "json"
    assert column_type([kind_of(2**63)]) == column_type([kind_of([1])]) == "json"
    assert not fits(0.5, "int64")
    assert not fits(2**62, "double")
    assert not fits("a", "bool")
