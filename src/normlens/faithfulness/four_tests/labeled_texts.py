"""Labeled texts in three splits: read from files, and checked before anything is trained on them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from sklearn.model_selection import train_test_split

from normlens.errors import InvalidInput, did_you_mean

SPLITS = ("train", "dev", "test")
"""For the weights, for choices, and for the numbers that are reported."""

_READERS = (".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class LabeledTexts:
    """The texts of one split.

    Attributes
    ----------
    texts
        As the model reads them.
    labels
        Number of each text's class.
    """

    texts: tuple[str, ...]
    labels: Int[np.ndarray, " text"]

    def __len__(self) -> int:
        return len(self.texts)

    def limited(self, limit: int | None) -> LabeledTexts:
        """At most this many texts, spread evenly over the split."""
        if limit is None or limit >= len(self):
            return self
        rows = np.arange(limit) * len(self) // limit
        return self.at(rows)

    def at(self, rows: Int[np.ndarray, " row"]) -> LabeledTexts:
        """The texts of these rows."""
        return LabeledTexts(tuple(self.texts[row] for row in rows), self.labels[rows])


@dataclass(frozen=True)
class LabeledData:
    """A data set.

    Attributes
    ----------
    classes
        Names of the classes, in the order of their numbers.
    splits
        The texts of "train", "dev" and "test".
    left_out
        Number of texts with too few or too many tokens, by split.
    """

    classes: tuple[str, ...]
    splits: dict[str, LabeledTexts]
    left_out: dict[str, int]


@dataclass(frozen=True)
class DataFiles:
    """Where the texts are.

    Attributes
    ----------
    train, test
        Files with a row for each text: .csv, .tsv, .jsonl or .parquet.
    dev
        The same for the texts that choices are made on. Default: a share of the training texts.
    text, label
        Names of the columns.
    classes
        The labels in the order of their numbers. Default: sorted.
    dev_share
        Share of the training texts that are set aside where there is no dev file, from 0 to 1.
    min_tokens, max_tokens
        Texts with fewer or more tokens are left out. Default: a text of one token is refused.
    limit
        Use at most this many texts of each split.
    """

    train: Path
    test: Path
    dev: Path | None = None
    text: str = "text"
    label: str = "label"
    classes: tuple[str, ...] = ()
    dev_share: float = 0.1
    min_tokens: int | None = None
    max_tokens: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.dev_share < 1:
            raise InvalidInput(f"dev_share is {self.dev_share}; expected a share between 0 and 1.")
        for name in ("min_tokens", "max_tokens", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"{name} is {value}; expected an integer from 1.")


def read_data(files: DataFiles) -> LabeledData:
    """Read the splits; lengths are checked later, once the texts are tokens.

    Parameters
    ----------
    files
        Where they are.

    Raises
    ------
    InvalidInput
        If a file can't be read or lacks a column, a text is empty, a label is missing, or there is one class only.
    """
    paths = {"train": files.train, "dev": files.dev, "test": files.test}
    rows = {split: _rows(path, files) for split, path in paths.items() if path is not None}
    classes = _classes(rows, files)
    numbers = {name: number for number, name in enumerate(classes)}
    splits = {
        split: LabeledTexts(tuple(texts), np.array([numbers[label] for label in labels], dtype=np.int64))
        for split, (texts, labels) in rows.items()
    }
    if "dev" not in splits:
        splits["train"], splits["dev"] = _set_aside(splits["train"], files)
    splits = {split: splits[split].limited(files.limit) for split in SPLITS}
    for split, labeled in splits.items():
        if len(np.unique(labeled.labels)) < 2:
            raise InvalidInput(
                f"All {len(labeled)} texts of the {split} split have the label {classes[labeled.labels[0]]!r}; expected at "
                f"least two classes. Check the column {files.label!r}."
            )
    return LabeledData(tuple(classes), splits, dict.fromkeys(SPLITS, 0))


def without_lengths_out_of_range(
    data: LabeledData, lengths: dict[str, Int[np.ndarray, " text"]], files: DataFiles
) -> LabeledData:
    """Leave out the texts that are too short or too long.

    Parameters
    ----------
    data
        What :func:`read_data` returns.
    lengths
        Number of tokens of each text that attention may weigh, by split.
    files
        Holds the limits.

    Raises
    ------
    InvalidInput
        If a text has one token and no limit is set, or a split is left with fewer than two classes.
    """
    splits, left_out = {}, {}
    for split, labeled in data.splits.items():
        count = lengths[split]
        if files.min_tokens is None and (count < 2).any():
            row = int(np.argmax(count < 2))
            raise InvalidInput(
                f"Text {row + 1} of the {split} split has {count[row]} token ({labeled.texts[row]!r:.60}); its attention "
                "is 1 whatever the model does. Set min_tokens = 2 in [data] to leave out such texts."
            )
        kept = np.flatnonzero((count >= (files.min_tokens or 1)) & (count <= (files.max_tokens or np.inf)))
        splits[split], left_out[split] = labeled.at(kept), len(labeled) - len(kept)
        if len(np.unique(splits[split].labels)) < 2:
            raise InvalidInput(
                f"Of the {len(labeled)} texts of the {split} split, {len(kept)} have from {files.min_tokens or 1} to "
                f"{files.max_tokens or 'any number of'} tokens, of fewer than two classes. Widen the limits in [data]."
            )
    return LabeledData(data.classes, splits, left_out)


def _rows(path: Path, files: DataFiles) -> tuple[list[str], list[str]]:
    """Texts and labels of one file, as strings."""
    table = _table(path)
    for column in (files.text, files.label):
        if column not in table.columns:
            names = [str(name) for name in table.columns]
            raise InvalidInput(
                f"{path} has no column {column!r}; expected one of {', '.join(names)}. Name the columns with text = … and "
                f"label = … in [data].{did_you_mean(column, names)}"
            )
    if not len(table):
        raise InvalidInput(f"{path} has no rows; expected at least one text of each class.")
    texts, labels = table[files.text].tolist(), table[files.label].tolist()
    for number, (text, label) in enumerate(zip(texts, labels, strict=True), start=1):
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput(
                f"Row {number} of {path} has no text ({text!r}). Remove the row, or name another column."
            )
        if label is None or label != label or str(label) == "":
            raise InvalidInput(f"Row {number} of {path} has no label. Remove the row, or name another column.")
    return texts, [_plain(label) for label in labels]


def _plain(label: Any) -> str:
    """A label as text: an integer that was read as a float, because a row lacks it, is an integer again."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _table(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise InvalidInput(f"{path} has the suffix {suffix!r}; expected one of {', '.join(_READERS)}.")
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path)
        if suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
            return pd.DataFrame([json.loads(line) for line in lines if line.strip()])
        return pd.read_csv(path, sep="\t" if suffix == ".tsv" else ",", dtype=str, keep_default_na=False)
    except (OSError, ValueError, UnicodeDecodeError) as error:  # pandas' and pyarrow's errors are ValueErrors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"{path} can't be read: {reason}. Check the path in [data] and the file's format."
        ) from error


def _classes(rows: dict[str, tuple[list[str], list[str]]], files: DataFiles) -> list[str]:
    """Names of the classes; every label of every split is one of them."""
    counts = Counter(label for _, labels in rows.values() for label in labels)
    if not files.classes:
        trained = set(rows["train"][1])
        if missing := sorted(set(counts) - trained):
            raise InvalidInput(
                f"No training text has the label {missing[0]!r}, but others do; expected it in {files.train}."
            )
        return sorted(counts)
    if len(set(files.classes)) < len(files.classes):
        raise InvalidInput(f"classes names one twice: {', '.join(files.classes)}.")
    if strange := sorted(set(counts) - set(files.classes)):
        raise InvalidInput(
            f"{counts[strange[0]]} texts have the label {strange[0]!r}; classes in [data] names {', '.join(files.classes)}."
            f"{did_you_mean(strange[0], files.classes)}"
        )
    return list(files.classes)


def _set_aside(labeled: LabeledTexts, files: DataFiles) -> tuple[LabeledTexts, LabeledTexts]:
    """The training texts that stay, and a dev split with equal shares of the classes."""
    smallest = min(Counter(labeled.labels.tolist()).values())
    if smallest < 2 or len(labeled) * files.dev_share < len(np.unique(labeled.labels)):
        raise InvalidInput(
            f"The {len(labeled)} training texts can't be divided into training and dev: a class has {smallest}. Name a dev "
            "file in [data], or add texts."
        )
    rows = np.arange(len(labeled))
    stay, aside = train_test_split(rows, test_size=files.dev_share, random_state=0, stratify=labeled.labels)
    return labeled.at(np.sort(stay)), labeled.at(np.sort(aside))


def names_of(labeled: LabeledTexts, classes: Sequence[str]) -> list[str]:
    """The class of each text by name."""
    return [classes[label] for label in labeled.labels]
