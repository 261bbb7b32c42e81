"""``normlens report``: a corpus in, a folder out."""

from __future__ import annotations

import json
import os
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


def test_the_report_is_whole_and_says_where_it_is(bert: Path, corpus: Path, run: Run, tmp_path: Path) -> None:
    result = run("report", bert, corpus, "-o", "page")
    assert result.exit_code == 0
    assert "3 texts" in result.stdout
    assert "Weights say" in result.stdout
    assert result.stdout.splitlines()[-1] == "page/report.html"
    assert {path.name for path in (tmp_path / "page").iterdir()} == {
        "report.html", "report.md", "numbers.parquet", "figures"
    }  # fmt: skip
    assert set(pd.read_parquet(tmp_path / "page" / "numbers.parquet")["attention"]) == {"encoder"}


def test_a_pipe_and_a_folder_inside_a_file_are_refused(bert: Path, corpus: Path, run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for arguments, message in (
        ([tmp_path / "pipe"], "read only once"),
        ([corpus, "-o", "corpus.txt/sub"], "is a file"),
    ):
        result = run("report", bert, *arguments)
        assert (result.exit_code, message in result.stderr) == (2, True)


def test_batches_do_not_change_shares_and_frequencies_may_come_from_a_table(
    bert: Path, corpus: Path, run: Run, tmp_path: Path, without_figures: None
) -> None:
    table = tmp_path / "frequency.txt"
    table.write_text("".join(f"{rank} {100 - rank} {rank + 3}\n" for rank in range(1, 16)))
    run("report", bert, corpus, "-o", "one", "--batch-size", 1)
    run("report", bert, corpus, "-o", "three", "--batch-size", 3, "--frequency", table)
    one, three = (pd.read_parquet(tmp_path / name / "numbers.parquet") for name in ("one", "three"))
    shares = one[one.quantity.str.endswith("share")].reset_index(drop=True)
    assert len(shares) > 100
    pd.testing.assert_frame_equal(
        shares, three[three.quantity.str.endswith("share")].reset_index(drop=True), check_exact=False, atol=1e-5
    )
    assert "counted in the corpus" in (tmp_path / "one" / "report.md").read_text()
    assert "frequency.txt" in (tmp_path / "three" / "report.md").read_text()


def test_limit(bert: Path, corpus: Path, run: Run, without_figures: None) -> None:
    page = json.loads(run("report", bert, corpus, "-o", "page", "--limit", 2, "--json").stdout)
    assert (page["texts"], page["report"]) == (2, "page/report.html")


def test_an_encoder_decoder_reads_pairs(marian: Path, run: Run, tmp_path: Path, without_figures: None) -> None:
    (tmp_path / "pairs.tsv").write_text("the cat sat.\ta dog\n\nthe dog ran here.\tthe cat is here\n")
    page = json.loads(run("report", marian, "pairs.tsv", "-o", "page", "--group", "cross", "--json").stdout)
    assert (page["texts"], list(page["findings"])) == (2, ["cross"])
    (tmp_path / "pairs.tsv").write_text("the cat sat.\ta dog\n\nthe dog ran here.\n")
    result = run("report", marian, "pairs.tsv", "-o", "other")
    assert result.exit_code == 2
    assert "line 3 has 1 column;" in result.stderr


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", [], "has no text"),
        ("the cat\n\n" + "the " * 80, [], "corpus.txt, line 3: The input has"),
        (CORPUS, ["--group", "cross"], "expected encoder or decoder"),
        (CORPUS, ["--frequency", "corpus.txt"], "frequency table corpus.txt"),
        (CORPUS, ["--limit", "0"], "--limit"),
        (CORPUS, ["--batch-size", "0"], "--batch-size"),
        (CORPUS, ["-o", "corpus.txt"], "is a file"),
        (CORPUS, ["-o", "."], "is not empty and not a report"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    text: str, options: list[str], message: str, bert: Path, corpus: Path, run: Run, tmp_path: Path
) -> None:
    corpus.write_text(text)
    result = run("report", bert, corpus.name, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


def test_a_missing_corpus_is_refused_before_the_model_is_loaded(run: Run) -> None:
    result = run("report", "nobody/such-model", "missing.txt")
    assert result.exit_code == 2
    assert "missing.txt can't be read" in result.stderr
    assert "Loading" not in result.stderr
