"""``normlens heads``: a corpus in; lists, tables and a picture out."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from invocation import Run

CORPUS = "the cat sat here.\n\nthe dog ran.\n   \na cat is a cat.\n"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three texts between blank lines."""
    path = tmp_path / "corpus.txt"
    path.write_text(CORPUS)
    return path


def test_two_lists_of_heads_are_shown(bert: Path, corpus: Path, run: Run) -> None:
    result = run("heads", bert, corpus)
    assert result.exit_code == 0
    for line in ("encoder · 3 texts", "Heads whose weights mislead most", "Heads that move least", "Of all weight, "):
        assert line in result.stdout


def test_tables_and_json_hold_every_head_with_intervals(bert: Path, corpus: Path, run: Run, tmp_path: Path) -> None:
    assert run("heads", bert, corpus, "-o", "heads.csv").exit_code == 0
    result = run("heads", bert, corpus, "-o", "heads.parquet", "--json")
    table, parquet = pd.read_csv(tmp_path / "heads.csv"), pd.read_parquet(tmp_path / "heads.parquet")
    pd.testing.assert_frame_equal(table, parquet, check_dtype=False)
    rows = json.loads(result.stdout)["groups"]["encoder"]
    assert (rows["texts"], len(rows["rows"])) == (3, len(table))
    of_heads = table[table["head"].notna() & (table["quantity"] == "first_token_norm")]
    assert len(of_heads) > 1 and (of_heads["low"] <= of_heads["high"]).all()


def test_a_picture_has_a_panel_for_each_kind_of_attention(marian: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("the cat sat.\tthe dog ran.\nthe dog ran.\ta cat.\n")
    assert run("heads", marian, "pairs.tsv", "-o", "heads.svg").exit_code == 0
    drawn = (tmp_path / "heads.svg").read_text()
    assert all(kind in drawn for kind in ("encoder", "decoder", "cross"))


def test_bad_input_is_refused_and_nothing_is_written(bert: Path, corpus: Path, run: Run, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    for arguments, message in (
        (["-o", "heads.html"], "expected one of .png, .svg, .pdf, .csv, .parquet, .json"),
        (["--group", "cross"], "no group cross"),
        (["-o", corpus], "suffix .txt"),
    ):
        result = run("heads", bert, corpus, *arguments)
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    (tmp_path / "empty.txt").write_text("\n\n")
    assert run("heads", bert, tmp_path / "empty.txt").exit_code == 2
    assert set(tmp_path.iterdir()) == before | {tmp_path / "empty.txt"}
