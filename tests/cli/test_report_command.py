"""``normlens report``: a corpus in, a folder out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from invocation import Run

from normlens.corpus.job_kinds import AnalyzeJob
from normlens.corpus.shard_run import run_shard
from normlens.errors import ConservationError

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
    assert "line 3: the line has 1 column;" in result.stderr


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


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of two lines."""
    monkeypatch.setattr("normlens.corpus.planning.rows_per_shard", lambda parameters: 2)


TEXTS = "the cat sat here.\n\nthe dog ran.\na cat is a cat.\nthe dogs sat here, a dog ran here.\nthe\nthe cat\n"


@pytest.mark.usefixtures("small_shards")
def test_a_stopped_command_goes_on_and_gives_the_same_report(
    bert: Path, corpus: Path, run: Run, tmp_path: Path, without_figures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.write_text(TEXTS)
    assert run("report", bert, corpus, "-o", "whole").exit_code == 0
    seen: list[int] = []

    def interrupted(plan: Any, shard: Any, *rest: Any) -> Any:
        seen.append(shard.number)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return run_shard(plan, shard, *rest)

    monkeypatch.setattr("normlens.corpus.workers.run_shard", interrupted)
    stopped = run("report", bert, corpus, "-o", "page")
    assert stopped.exit_code == 130 and not (tmp_path / "page").exists()
    assert "page.run; the same command goes on" in " ".join(stopped.stderr.split())
    other = run("report", bert, corpus, "-o", "page", "--limit", 3)
    assert other.exit_code == 2 and "holds another run: files.0.rows was 7 and is now 4" in other.stderr
    assert "With --overwrite, it starts anew." in other.stderr
    again = run("report", bert, corpus, "-o", "page")
    assert again.exit_code == 0 and "4 of 7 lines are done" in again.stderr
    assert seen == [0, 1, 2, 2, 3]
    whole, page = ((tmp_path / name / "numbers.parquet").read_bytes() for name in ("whole", "page"))
    assert whole == page
    assert not (tmp_path / "page.run").exists() and not (tmp_path / "whole.run").exists()


@pytest.mark.usefixtures("small_shards")
def test_a_line_that_fails_in_the_run_is_named_and_skipped_when_asked(
    bert: Path, corpus: Path, run: Run, tmp_path: Path, without_figures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.write_text(TEXTS)
    original = AnalyzeJob.results

    def results(job: Any, lens: Any, texts: Any, skip: Any) -> Any:
        if any(row.number == 4 for row in texts):
            raise ConservationError("too far off.")
        return original(job, lens, texts, skip)

    monkeypatch.setattr(AnalyzeJob, "results", results)
    failed = run("report", bert, corpus, "-o", "page")
    assert failed.exit_code == 2 and "corpus.txt, line 5: too far off. With --skip-bad, the run in" in failed.stderr
    answer = json.loads(run("report", bert, corpus, "-o", "page", "--skip-bad", "--json").stdout)
    assert (answer["texts"], answer["skipped"]) == (5, [{"line": 5, "reason": "too far off."}])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.txt", "page"]


def test_a_folder_in_the_way_of_the_run_is_refused_before_the_model_is_loaded(
    corpus: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "page.run").mkdir()
    (tmp_path / "page.run" / "thesis.tex").write_text("years of work")
    result = run("report", "nobody/such-model", corpus, "-o", "page")
    assert result.exit_code == 2 and "page.run isn't an empty folder, and holds no run" in result.stderr
    assert (tmp_path / "page.run" / "thesis.tex").read_text() == "years of work"


def test_a_missing_corpus_is_refused_before_the_model_is_loaded(run: Run) -> None:
    result = run("report", "nobody/such-model", "missing.txt")
    assert result.exit_code == 2
    assert "missing.txt can't be read" in result.stderr
    assert "Loading" not in result.stderr
