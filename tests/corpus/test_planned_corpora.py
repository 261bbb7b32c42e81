"""What a plan fixes before a run: rows, token frequencies; what a strict plan refuses; runs that are replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import normlens
from normlens import corpus
from normlens.corpus.corpus_row import Columns
from normlens.corpus.planned_frequency import FREQUENCY, read_frequency
from normlens.corpus.pooled_tokens import TOKENS
from normlens.corpus.run_plan import read_plan
from normlens.corpus.shard_run import run_shard
from normlens.corpus.text_rows import RowFile
from normlens.errors import InvalidInput
from normlens.statistics import CorpusStatistics, TokenFrequency
from normlens.statistics.report import token_frequency

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def lens(tiny_bert: Path) -> normlens.Lens:
    return normlens.load(tiny_bert)


@pytest.fixture
def make(tiny_bert: Path, lens: normlens.Lens, lines: Path, tmp_path: Path) -> Make:
    """Makes plans of the small corpus, or of other files, in folders of their own."""

    def planned(name: str = "run", files: list[Path] | None = None, **options: Any) -> Path:
        corpus.plan(tiny_bert, files or [lines], tmp_path / name, lens=lens, **{"shard_rows": 5, **options})
        return tmp_path / name

    return planned


@pytest.fixture(autouse=True)
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlens.corpus.finalized._page", lambda *arguments: None)


def readable(path: Path) -> list[str]:
    """The texts of a file that are text."""
    return [line.decode() for line in path.read_bytes().splitlines() if line.strip() and b"\xff" not in line]


def test_frequencies_are_those_of_the_whole_corpus(make: Make, lens: normlens.Lens, lines: Path) -> None:
    folder = make()
    frequency = read_frequency(folder, read_plan(folder).frequency)
    assert frequency is not None
    expected = token_frequency(lens, readable(lines))  # a text that is too long counts, too
    assert np.array_equal(frequency.ids, expected.ids) and np.array_equal(frequency.rank, expected.rank)
    assert frequency.source == "counted in the corpus"


def test_numbers_are_those_of_the_statistics_in_one_process(make: Make, lens: normlens.Lens, lines: Path) -> None:
    """Means, counts and shares, with correlations with frequency, to 1e-9: the same batches, merged shard by shard."""
    folder = make(batch_texts=1)
    corpus.run(folder)
    merged = pd.read_parquet(corpus.finalize(folder) / "statistics.parquet").drop(columns=["attention", "low", "high"])
    expected = CorpusStatistics(token_frequency(lens, readable(lines)))
    for text in readable(lines):
        if len(text.split()) < 100:
            expected.add(lens.analyze(text)["encoder"].data)
    wanted = expected.table().drop(columns=["low", "high"])
    merged = merged[merged["category"] != TOKENS]
    order = ["quantity", "category", "layer", "head"]
    merged, wanted = (table.sort_values(order).reset_index(drop=True) for table in (merged, wanted))
    assert len(merged) > 100 and merged["quantity"].str.endswith("_frequency").sum() > 10
    pd.testing.assert_frame_equal(merged, wanted, check_exact=False, rtol=1e-9, atol=1e-12, check_dtype=False)


def test_frequencies_may_be_given_or_left_out(make: Make, lens: normlens.Lens) -> None:
    ranks = TokenFrequency(np.arange(30), np.arange(30, 0, -1), "ranks.txt")
    given, without = make("given", frequency=ranks), make("without", count_tokens=False)
    one, other = read_plan(given), read_plan(without)
    assert one.frequency["source"] == "ranks.txt" and other.frequency == {}
    assert one.fingerprint != other.fingerprint != read_plan(make("counted")).fingerprint
    assert not (without / FREQUENCY).exists()
    run_shard(other, other.shards[0], lens)
    with pytest.raises(InvalidInput, match="aren't the token frequencies of the plan"):
        run_shard(one, one.shards[0], lens)


def test_changed_frequencies_are_refused(make: Make) -> None:
    folder = make()
    other = make("other", frequency=TokenFrequency(np.arange(3), np.arange(3), "x"))
    (folder / FREQUENCY).write_bytes((other / FREQUENCY).read_bytes())
    with pytest.raises(InvalidInput, match=r"frequency\.parquet have changed since the run was planned"):
        corpus.run(folder)
    (folder / FREQUENCY).write_bytes(b"none")
    with pytest.raises(InvalidInput, match=r"frequency\.parquet can't be read"):
        corpus.run(folder)


def test_a_limit_counts_texts_over_all_files(make: Make, lines: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the cat\n\nthe dog\n")
    assert [file.rows for file in read_plan(make("a", limit=5)).files] == [7]  # one blank row, one that isn't text
    plan = read_plan(make("b", files=[lines, other], limit=11))
    assert [file.rows for file in plan.files] == [12, 1]


def test_a_strict_plan_names_the_first_bad_line(make: Make, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"lines\.txt, line 6: the line isn't UTF-8 \(byte 6\)"):
        make(strict=True)
    long = tmp_path / "long.txt"
    long.write_text("\n the cat\n" + "cat " * 200 + "\n")
    with pytest.raises(InvalidInput, match=r"long\.txt, line 3: The input has 202 tokens"):
        make(files=[long], strict=True)
    assert not (tmp_path / "run").exists()
    cut = make(files=[long], strict=True, job={"kind": "analyze", "truncate": True})
    corpus.run(cut)
    assert corpus.status(cut).truncated == 1


def test_a_shard_is_read_from_where_it_begins(make: Make, lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make()
    plan = read_plan(folder)
    [file] = plan.files
    content = lines.read_bytes()
    starts = [0, *(n + 1 for n, byte in enumerate(content) if byte == 10)]
    assert file.offsets == (starts[0], starts[5], starts[10])
    whole = list(RowFile(lines, plan.columns).rows())
    for start, stop in ((0, 5), (5, 10), (10, 12), (7, 11), (3, None)):
        assert list(file.opened(plan.columns).rows(start, stop)) == whole[start:stop]
    seeks: list[int] = []
    original = Path.open

    def watched(path: Path, *arguments: Any, **options: Any) -> Any:
        opened = original(path, *arguments, **options)
        return Watched(opened, seeks) if path == Path(file.path) else opened

    monkeypatch.setattr(Path, "open", watched)
    assert len(list(file.opened(plan.columns).rows(10, 12))) == 2
    assert seeks == [starts[10]]


class Watched:
    """A file whose seeks are noted."""

    def __init__(self, file: Any, seeks: list[int]) -> None:
        self._file, self._seeks = file, seeks

    def seek(self, offset: int) -> None:
        self._seeks.append(offset)
        self._file.seek(offset)

    def __iter__(self) -> Any:
        return iter(self._file)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def test_both_sides_of_a_parallel_text_have_offsets(lines: Path, tmp_path: Path) -> None:
    (tmp_path / "target.txt").write_text("".join(f"target {k} {'x' * k}\n" for k in range(12)))
    columns = Columns()
    plain = RowFile(lines, columns, tmp_path / "target.txt")
    offsets = plain.line_offsets(4, 12)
    assert [len(side) for side in offsets] == [3, 3]
    placed = RowFile(lines, columns, tmp_path / "target.txt", offsets, 4)
    for start, stop in ((4, 8), (9, 12)):
        assert list(placed.rows(start, stop)) == list(plain.rows())[start:stop]


def test_workers_with_other_packages_are_refused(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Processes that really find another version: its metadata comes first on their path."""
    folder = make()
    metadata = tmp_path / "elsewhere" / "numpy-99.0.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 99.0.0\n")
    monkeypatch.syspath_prepend(metadata.parent)
    with pytest.raises(InvalidInput, match=r"doesn't fit the plan: numpy is '99\.0\.0' here and '[\d.]+' in the plan"):
        corpus.run(folder, workers=2)
    assert corpus.status(folder).committed == 0


def test_treebanks_are_read_as_their_words(make: Make, lens: normlens.Lens, tmp_path: Path) -> None:
    bank = tmp_path / "bank.conllu"
    sentences = [["the", "cat,", "sat"], ["a"] * 200, ["un", "dog"]]
    bank.write_text(
        "\n".join(
            "".join(f"{n}\t{word}\t" + "\t".join("_" * 8) + "\n" for n, word in enumerate(words, 1))
            for words in sentences
        )
    )
    folder = make(files=[bank], shard_rows=2)
    corpus.run(folder)
    table = pd.read_parquet(corpus.finalize(folder) / "part-00000.parquet")
    expected = lens.analyze({"words": sentences[2]})["encoder"].data.sizes["target"]
    assert table[table["row"] == 2]["tokens"].unique() == [expected]
    assert corpus.status(folder).skipped == 1
    with pytest.raises(InvalidInput, match=r"bank\.conllu, line 5: The input has 202 tokens"):
        make("strict", files=[bank], strict=True)


def test_another_run_is_replaced_only_if_asked(make: Make, tmp_path: Path) -> None:
    folder = make()
    corpus.run(folder)
    corpus.finalize(folder)
    (folder / "mine.txt").write_text("kept")
    with pytest.raises(InvalidInput, match="holds another run: batch_texts was None and is now 2"):
        make(batch_texts=2)
    assert make(replace=True) == folder and corpus.status(folder).committed == 3  # the same run goes on
    with pytest.raises(InvalidInput, match="isn't an empty folder"):
        make(batch_texts=2, replace=True)
    (folder / "mine.txt").unlink()
    make(batch_texts=2, replace=True)
    assert corpus.status(folder).committed == 0


def test_what_a_kill_leaves_of_a_plan_is_no_obstacle(make: Make) -> None:
    folder = make()
    (folder / "plan.json").unlink()
    assert corpus.run(make()).committed == 3
