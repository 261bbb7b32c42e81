"""ScoNe-NLI: contrast sets of six pairs of sentences, which differ in their negations and in whether these have scope."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from normlens.errors import InvalidInput

CELLS = (
    "no_negation",
    "one_not_scoped",
    "two_not_scoped",
    "two_scoped",
    "one_scoped",
    "one_scoped_one_not_scoped",
)
"""The six cells; in the last two, negation reverses the label of the set's first cell."""

REVERSED = ("one_scoped", "one_scoped_one_not_scoped")
"""Cells in which one negation has scope over the words that decide, so that the label is reversed."""

CLASSES = ["neutral", "entailment"]

DEV, DEV_SEED = 100, 0
"""Least number of the training sets for dev, and the seed of their sample: whole groups, which share a first sentence."""

_COLUMNS = ("sentence1", "sentence2", "gold_label")


@dataclass(frozen=True)
class Pair:
    """One pair of sentences.

    Attributes
    ----------
    cell
        One of `CELLS`.
    contrast_set, group
        Number of its contrast set in the file, and name of the sets that vary the same sentence.
    premise, hypothesis
        The two sentences.
    label
        Number of its class in `CLASSES`.
    words
        The word of the premise, and the word of the hypothesis in its place; one is a hypernym of the other.
    """

    cell: str
    contrast_set: int
    group: str
    premise: str
    hypothesis: str
    label: int
    words: tuple[str, str]


def read_scone(folder: Path) -> dict[str, list[Pair]]:
    """Read ScoNe-NLI, with dev sets split off from the training sets.

    Parameters
    ----------
    folder
        Folder with ``train.no_negation.csv`` and the other eleven files.

    Returns
    -------
    dict
        "training", "dev" and "test"; no group is in two of them.

    Raises
    ------
    InvalidInput
        If a file lacks a column, has an unknown label, or has another number of sets than the others.
    OSError
        If a file is missing.
    """
    train, test = (_split(folder, name) for name in ("train", "test"))
    held_out = _dev_groups(train)
    return {
        "training": [pair for pair in train if pair.group not in held_out],
        "dev": [pair for pair in train if pair.group in held_out],
        "test": test,
    }


def _split(folder: Path, split: str) -> list[Pair]:
    tables = {cell: _table(folder / f"{split}.{cell}.csv") for cell in CELLS}
    sizes = {cell: len(rows) for cell, rows in tables.items()}
    if len(set(sizes.values())) > 1:
        raise InvalidInput(
            f"The six files of {split} in {folder} have different numbers of rows ({sizes}); expected one row for each "
            "contrast set in every file. Fetch the files again."
        )
    groups = [row["group_index"] for row in tables[CELLS[0]]]
    return [
        _pair(row, cell, number, group, folder / f"{split}.{cell}.csv")
        for cell, rows in tables.items()
        for number, (row, group) in enumerate(zip(rows, groups, strict=True))
    ]


def _table(path: Path) -> list[dict[str, str]]:
    """Rows of a file; columns whose names end in ``_edited`` replace those of the source sentences."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        chosen = {name: f"{name}_edited" if f"{name}_edited" in columns else name for name in _COLUMNS}
        needed = [*chosen.values(), "sentence1_lex", "sentence2_lex"]
        missing = [name for name in needed if name not in columns]
        if missing:
            raise InvalidInput(f"{path} has no column {', '.join(missing)}; expected a file of ScoNe-NLI.")
        return [{**row, **{name: row[source] for name, source in chosen.items()}} for row in reader]


def _pair(row: Mapping[str, str], cell: str, number: int, group: str, path: Path) -> Pair:
    if row["gold_label"] not in CLASSES:
        raise InvalidInput(
            f"{path}, contrast set {number}, counted from 0, has the label {row['gold_label']!r}; expected "
            f"{' or '.join(CLASSES)}."
        )
    return Pair(
        cell=cell,
        contrast_set=number,
        group=group,
        premise=row["sentence1"],
        hypothesis=row["sentence2"],
        label=CLASSES.index(row["gold_label"]),
        words=(row["sentence1_lex"], row["sentence2_lex"]),
    )


def _dev_groups(pairs: list[Pair]) -> set[str]:
    """Groups drawn until they hold enough contrast sets."""
    sets = [pair.group for pair in pairs if pair.cell == CELLS[0]]
    chosen: set[str] = set()
    for group in np.random.default_rng(DEV_SEED).permutation(sorted(set(sets))).tolist():
        if sum(name in chosen for name in sets) >= DEV:
            break
        chosen.add(group)
    return chosen
