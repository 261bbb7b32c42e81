"""Rows of every format, compressed or not, by ranges; and what is said of rows and files that can't be read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from normlens.corpus.corpus_row import Columns, TextRow
from normlens.corpus.opened_files import fingerprint_of
from normlens.corpus.text_rows import RowFile
from normlens.errors import InvalidInput

ROWS = [{"body": f"text {k} ünd 文", "second": f"target {k}", "doc": k // 3} for k in range(11)]
COLUMNS = Columns("body", "second", "doc")
EXPECTED = [TextRow(k, row["body"], row["second"], str(row["doc"])) for k, row in enumerate(ROWS)]  # type: ignore[arg-type]


def json_lines(path: Path) -> Path:
    return _text(path / "rows.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))


def comma_separated(path: Path) -> Path:
    rows = "".join(f'"{row["body"]}",{row["second"]},{row["doc"]}\r\n' for row in ROWS)
    return _text(path / "rows.csv", "﻿body,second,doc\r\n" + rows)


def parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(ROWS), path / "rows.parquet", row_group_size=4)
    return path / "rows.parquet"


def dataset(path: Path) -> Path:
    folder = path / "saved"
    folder.mkdir()
    table = pa.Table.from_pylist(ROWS)
    for name, start, stop in (("data-b.arrow", 0, 7), ("data-a.arrow", 7, 11)):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table.slice(start, stop - start), max_chunksize=3)
    state = {"_data_files": [{"filename": "data-b.arrow"}, {"filename": "data-a.arrow"}]}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


def gzipped(path: Path) -> Path:
    plain = json_lines(path)
    packed = plain.with_name("rows.jsonl.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    return packed


def zstandard(path: Path) -> Path:
    plain = comma_separated(path)
    packed = plain.with_name("rows.csv.zst")
    with pa.CompressedOutputStream(str(packed), "zstd") as file:
        file.write(plain.read_bytes())
    return packed


def _text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("written", [json_lines, comma_separated, parquet, dataset, gzipped, zstandard])
def test_every_format_gives_the_same_rows_by_ranges(written: Callable[[Path], Path], tmp_path: Path) -> None:
    file = RowFile(written(tmp_path), COLUMNS)
    assert list(file.rows()) == EXPECTED
    assert file.count() == 11
    for start in range(12):
        for stop in (start, start + 2, 5, 11, 40):
            assert list(file.rows(start, stop)) == EXPECTED[start:stop], (start, stop)


def test_plain_text_keeps_blank_lines_and_says_what_is_wrong_with_others(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("﻿one\r\n\n two \nthr\tee\n".encode() + b"f\xffour\n\xe2\x80\xa8 five")
    rows = list(RowFile(path, Columns()).rows())
    assert [row.text for row in rows] == ["one", "", "two", "thr\tee", "", "five"]
    assert [row.error for row in rows] == [None, None, None, None, "the line isn't UTF-8 (byte 2)", None]
    pairs = list(RowFile(path, Columns(pairs=True)).rows())
    assert (pairs[3].text, pairs[3].target_text, pairs[1].error) == ("thr", "ee", None)
    assert "has 1 column; expected two texts" in (pairs[0].error or "")


def test_two_files_side_by_side(tmp_path: Path) -> None:
    one, other = _text(tmp_path / "a.de", "eins\nzwei\ndrei\n"), _text(tmp_path / "a.en", "one\ntwo\nthree\n")
    file = RowFile(one, Columns(), other)
    assert file.count() == 3
    assert list(file.rows(1, 3)) == [TextRow(1, "zwei", "two"), TextRow(2, "drei", "three")]
    _text(other, "one\n")
    with pytest.raises(InvalidInput, match=r"a\.de has 3 lines and .*a\.en has 1"):
        file.count()
    with pytest.raises(InvalidInput, match="stand in a column"):
        RowFile(tmp_path / "x.csv", Columns(), other)


def test_bad_rows_are_named_and_the_others_read(tmp_path: Path) -> None:
    path = _text(
        tmp_path / "rows.jsonl", '{"text": "a"}\nnot JSON\n[1]\n{"text": 3}\n{"other": "b"}\n\n{"text": "z"}\n'
    )
    rows = list(RowFile(path, Columns()).rows())
    assert [row.text for row in rows] == ["a", "", "", "", "", "", "z"]
    said = [row.error for row in rows[1:5]]
    for error, part in zip(said, ("isn't JSON", "is a list", "of type int", "is missing"), strict=True):
        assert part in (error or "")
    broken = tmp_path / "rows.csv"
    broken.write_bytes(b"text\nfine\nn\xffo\n")
    assert [(row.text, row.error) for row in RowFile(broken, Columns()).rows()] == [
        ("fine", None), ("", "the row isn't UTF-8"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.csv", b"a,b\n1,2\n", "no column 'text'; it has a, b"),
        ("rows.parquet", b"not Parquet", "isn't a Parquet file"),
        ("rows.jsonl.gz", b"not gzip", "can't be read"),
        ("rows.jsonl.gz", gzip.compress(b"{}\n" * 2000, mtime=0)[:40], "can't be read"),
        ("rows.txt.zst", b"not zstd", "can't be read"),
    ],
    ids=["csv", "parquet", "gzip", "cut gzip", "zstandard"],  # the same in every process
)
def test_files_that_cannot_be_read_are_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        list(RowFile(tmp_path / name, Columns()).rows())


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="without Arrow files"):
        fingerprint_of(tmp_path)
    (tmp_path / "x.arrow").write_bytes(b"not Arrow")
    with pytest.raises(InvalidInput, match="isn't an Arrow file"):
        list(RowFile(tmp_path, Columns()).rows())
    with pytest.raises(InvalidInput, match="can't be read: No such file"):
        fingerprint_of(tmp_path / "missing.txt")
