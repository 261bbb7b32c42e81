"""Texts with labels that a small model can learn: a word that decides among words that don't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from normlens.faithfulness.four_tests.experiment import Experiment, experiment_of

GOOD, BAD = ("good", "fine", "great"), ("bad", "poor", "awful")
OTHERS = ("the", "film", "plot", "was", "and", "cast", "here", "seen", "today", "once")


def texts(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts of four to seven words, one of which tells the label; as many of each label."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        words = list(generator.choice(OTHERS, size=generator.integers(3, 7)))
        words.insert(generator.integers(len(words) + 1), generator.choice(GOOD if number % 2 else BAD))
        rows.append((" ".join(words), "pos" if number % 2 else "neg"))
    return rows


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    """A file with the columns text and label."""
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")
    return path


def write_splits(folder: Path, count: int = 120) -> dict[str, Path]:
    """Files for training, dev and test."""
    return {
        split: write_csv(folder / f"{split}.csv", texts(count, seed))
        for seed, split in enumerate(("train", "dev", "test"))
    }


def experiment(folder: Path, count: int = 120, **tables: Any) -> Experiment:
    """A quick run of the recurrent classifier."""
    data = {name: str(path) for name, path in write_splits(folder, count).items()}
    quick = {"epochs": 6, "learning_rate": 0.02, "weight_decay": 0.0}
    tests = {"seeds": 3, "strengths": [0.0, 0.003, 0.3], "guides": 2, "shuffled": 3, "adversary_seeds": 2,
             "permutations": 20, "distributions": 2, "instances": 10,
             "explanations": ["weight", "norm", "contribution"]}  # fmt: skip
    return experiment_of(
        {
            "data": data,
            "classifier": {"kind": "recurrent", "hidden": 8, "vector_size": 12},
            "training": quick,
            "diagnostic": {**quick, "epochs": 3, "learning_rate": 0.01},
            **{**tables, "tests": {**tests, **tables.get("tests", {})}},
        }
    )
