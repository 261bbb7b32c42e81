"""``normlens corpus`` from plan to export, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invocation import Run


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.txt"
    path.write_text("the cat sat\n\na dog ran here\n" + "cat " * 200 + "\nthe dog\n")
    return path


def said(result: object) -> str:
    return " ".join(getattr(result, "stderr", "").split())


def test_from_plan_to_export(bert: Path, sentences: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlens.corpus.finalized._page", lambda *arguments: None)
    planned = run("corpus", "plan", bert, sentences, "-o", "folder", "--shard-rows", 2)
    assert planned.exit_code == 0, planned.stderr
    assert "5 rows of 1 file in 3 shards of at most 2 rows" in planned.stdout
    again = json.loads(run("corpus", "plan", bert, sentences, "-o", "folder", "--shard-rows", 2, "--json").stdout)
    assert (again["shards"], again["rows"], again["rows_per_shard"]) == (3, 5, 2)
    assert "Nothing is finished yet." in run("corpus", "status", "folder").stdout
    unfinished = run("corpus", "finalize", "folder")
    assert unfinished.exit_code == 2 and "3 of 3 shards aren't finished" in said(unfinished)
    part = json.loads(run("corpus", "run", "folder", "--shard-index", "1/2", "--json").stdout)
    assert (part["committed"], part["shards"], part["set_aside"]) == (1, 1, {})
    whole = run("corpus", "run", "folder")
    assert "3 of 3 shards finished." in whole.stdout and "normlens corpus finalize folder" in whole.stdout
    assert run("corpus", "finalize", "folder").stdout.strip() == "folder/final"
    status = json.loads(run("corpus", "status", "folder", "--json").stdout)
    assert (status["committed"], status["texts"], status["skipped"], status["blank"]) == (3, 3, 1, 1)
    assert "The results are in folder/final." in run("corpus", "status", "folder").stdout
    assert run("corpus", "export", "folder", "out.jsonl").exit_code == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert sorted({row["row"] for row in rows}) == [0, 2, 4]


def test_a_shard_that_was_set_aside_is_said(
    bert: Path, sentences: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("corpus", "plan", bert, sentences, "-o", "folder")

    def broken(*arguments: object) -> object:
        raise ValueError("odd numbers")

    with monkeypatch.context() as patch:
        patch.setattr("normlens.corpus.workers.run_shard", broken)
        result = run("corpus", "run", "folder")
    assert result.exit_code == 1
    assert "1 shard set aside; shard 0: ValueError: odd numbers" in result.stdout
    assert "--retry" in result.stdout
    assert "1 shard set aside" in run("corpus", "status", "folder").stdout
    assert run("corpus", "run", "folder", "--retry").exit_code == 0


REFUSED = [
    (["plan", "nobody/such", "missing.txt", "-o", "r"], "such"),
    (["run", "nowhere"], "nowhere holds no run"),
    (["run", "nowhere", "--shard-index", "3/3"], "--shard-index is '3/3'"),
    (["run", "nowhere", "--shard-index", "one"], "expected I/N"),
    (["status", "nowhere"], "holds no run"),
    (["export", "nowhere", "out.csv"], "holds no run"),
]


@pytest.mark.parametrize(("arguments", "expected"), REFUSED)
def test_what_is_refused(arguments: list[str], expected: str, run: Run) -> None:
    result = run("corpus", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert expected in said(result) and "Traceback" not in result.stderr


def test_files_are_refused_before_a_plan_is_written(bert: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "long.txt").write_text("cat " * 200)
    for file, expected in (
        ("missing.txt", "missing.txt can't be read"),
        ("empty.txt", "has no text"),
        ("long.txt", "row 0: The input has 202 tokens"),
    ):
        result = run("corpus", "plan", bert, file, "-o", "folder")
        assert result.exit_code == 2 and expected in said(result), said(result)
        assert not Path("folder").exists()
