"""Texts with labels: what is read, and everything that is refused before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_texts import texts, write_csv, write_splits

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.labeled_texts import DataFiles, read_data, without_lengths_out_of_range


@pytest.fixture
def files(tmp_path: Path) -> DataFiles:
    return DataFiles(**write_splits(tmp_path, 40))


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl", ".parquet"])
def test_every_format_holds_the_same_texts(files: DataFiles, tmp_path: Path, suffix: str) -> None:
    table = pd.read_csv(files.train)
    path = tmp_path / f"other{suffix}"
    writers: dict[str, Callable[[], object]] = {
        ".tsv": lambda: table.to_csv(path, sep="\t", index=False),
        ".jsonl": lambda: table.to_json(path, orient="records", lines=True),
        ".parquet": lambda: table.to_parquet(path),
    }
    writers[suffix]()
    expected, other = read_data(files), read_data(DataFiles(path, files.test, files.dev))
    assert other.classes == expected.classes == ("neg", "pos")
    assert other.splits["train"].texts == expected.splits["train"].texts
    np.testing.assert_array_equal(other.splits["train"].labels, [0, 1] * 20)


def test_a_dev_split_is_set_aside_with_equal_shares(files: DataFiles) -> None:
    data = read_data(DataFiles(files.train, files.test, dev_share=0.2))
    assert {split: len(labeled) for split, labeled in data.splits.items()} == {"train": 32, "dev": 8, "test": 40}
    assert data.splits["dev"].labels.mean() == 0.5


def test_a_limit_takes_texts_spread_over_the_split(files: DataFiles) -> None:
    data = read_data(DataFiles(files.train, files.test, files.dev, limit=11))
    whole = read_data(files).splits["test"]
    assert data.splits["test"].texts == tuple(whole.texts[k * 40 // 11] for k in range(11))


BROKEN = {
    "one class": ([("a b", "pos"), ("c d", "pos")], "All 2 texts of the train split have the label 'pos'"),
    "an empty text": ([("a b", "pos"), ("  ", "neg")], "Row 2 of .* has no text"),
    "no label": ([("a b", "pos"), ("c d", "")], "Row 2 of .* has no label"),
    "no rows": ([], "has no rows"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_files_are_refused(files: DataFiles, tmp_path: Path, broken: str) -> None:
    rows, message = BROKEN[broken]
    path = write_csv(tmp_path / "broken.csv", rows)
    with pytest.raises(InvalidInput, match=message):
        read_data(DataFiles(path, files.test, files.dev, classes=("neg", "pos")))


def test_a_wrong_column_names_the_nearest(files: DataFiles) -> None:
    with pytest.raises(InvalidInput, match=r"no column 'lable'.*Did you mean 'label'"):
        read_data(DataFiles(files.train, files.test, files.dev, label="lable"))


def test_labels_outside_the_classes_are_refused(files: DataFiles) -> None:
    with pytest.raises(InvalidInput, match=r"20 texts have the label 'neg'|60 texts have the label 'neg'"):
        read_data(DataFiles(files.train, files.test, files.dev, classes=("pos", "negative")))


@pytest.mark.parametrize("name", ["missing.csv", "train.docx"])
def test_files_that_cant_be_read_are_named(files: DataFiles, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        read_data(DataFiles(tmp_path / name, files.test))


def test_a_label_that_no_training_text_has_is_refused(files: DataFiles, tmp_path: Path) -> None:
    test = write_csv(tmp_path / "more.csv", [*texts(4, 9), ("the cast was", "mixed")])
    with pytest.raises(InvalidInput, match="No training text has the label 'mixed'"):
        read_data(DataFiles(files.train, test, files.dev))


def test_one_token_is_refused_or_left_out(files: DataFiles) -> None:
    data = read_data(files)
    lengths = {split: np.array([1] + [5] * 39) for split in data.splits}
    with pytest.raises(InvalidInput, match="Text 1 of the train split has 1 token"):
        without_lengths_out_of_range(data, lengths, files)
    kept = without_lengths_out_of_range(data, lengths, DataFiles(files.train, files.test, min_tokens=2))
    assert len(kept.splits["test"]) == 39 and kept.left_out == {"train": 1, "dev": 1, "test": 1}
    with pytest.raises(InvalidInput, match="0 have from 6"):
        without_lengths_out_of_range(data, lengths, DataFiles(files.train, files.test, min_tokens=6))
