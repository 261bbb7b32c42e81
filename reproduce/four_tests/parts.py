"""The parts of the study: which texts, which classifier, which tests."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.experiment import Experiment, experiment_of
from reproduce.data.classified_texts import ClassifiedTexts, read_classified
from reproduce.four_tests.input_vectors import write_input_vectors

Rows = list[tuple[str, str]]

_RECURRENT = ["weight", "norm", "contribution"]
_TRANSFORMER = ["weight", "norm"]


@dataclass(frozen=True)
class Part:
    """One run of the four tests.

    Attributes
    ----------
    title
        What the page calls it.
    texts
        "sst", "ag_news", or "ag_news_two" (World against Business).
    classifier
        The table [classifier].
    explanations
        What is tested.
    vectors
        Whether MiniLM's input embeddings are the word vectors to start from.
    tables
        Further tables of the experiment.
    """

    title: str
    texts: str
    classifier: Mapping[str, Any]
    explanations: list[str]
    vectors: bool = False
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_MINILM = {"kind": "transformer", "model": "minilm-l6", "longest": 128}
_FINE_TUNING: Mapping[str, Mapping[str, Any]] = {
    "data": {"limit": 4000, "max_tokens": 20},
    "training": {"epochs": 1, "batch_size": 16, "learning_rate": 1e-4},
    "diagnostic": {"epochs": 4, "batch_size": 64, "learning_rate": 2e-3},
    "tests": {"strengths": [0.0, 0.03, 0.3], "shuffled": 1, "instances": 20, "distributions": 2},
}
_ONE_ADVERSARY: Mapping[str, Mapping[str, Any]] = {"tests": {"adversary_seeds": 1}}  # as its kept numbers were measured
_NO_ADVERSARY: Mapping[str, Mapping[str, Any]] = {
    "diagnostic": {"epochs": 4},
    "tests": {"strengths": [], "guided": ["uniform", "base/weight", "base/weight/permuted"]},
}

PARTS: Mapping[str, Part] = {
    "sst-vectors": Part("SST, BiLSTM, word vectors", "sst", {}, _RECURRENT, vectors=True, tables=_ONE_ADVERSARY),
    "sst-random": Part("SST, BiLSTM, random vectors", "sst", {}, _RECURRENT, tables=_NO_ADVERSARY),
    "sst-minilm": Part("SST, MiniLM", "sst", _MINILM, _TRANSFORMER, tables=_FINE_TUNING),
    "ag-news-two": Part("AG News, World against Business, BiLSTM", "ag_news_two", {}, _RECURRENT),
    "ag-news": Part("AG News, four classes, BiLSTM", "ag_news", {}, _RECURRENT),
}
"""The parts by name, in the order of the page."""


def experiment(name: str, data: Path, folder: Path) -> Experiment:
    """Write the files of a part and return what to do with them.

    Parameters
    ----------
    name
        One of :data:`PARTS`.
    data
        Folder of the data sets.
    folder
        Where the files go.
    """
    part = PARTS[name]
    folder.mkdir(parents=True, exist_ok=True)
    splits, classes, files = _texts(part.texts, data)
    for split, rows in splits.items():
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    classifier = dict(part.classifier)
    if part.vectors:
        classifier["vectors"] = "vectors.txt"
        write_input_vectors(folder / "vectors.txt", [text for text, _ in splits["train"]])
    tables = {name: dict(table) for name, table in part.tables.items()}
    tests = {"explanations": part.explanations, **tables.pop("tests", {})}
    paths = {split: f"{split}.csv" for split in splits}
    return experiment_of(
        {
            "data": {**paths, "classes": classes, **files, **tables.pop("data", {})},
            "classifier": classifier,
            "tests": tests,
            **tables,
        },
        folder,
    )


def _texts(name: str, data: Path) -> tuple[dict[str, Rows], list[str], dict[str, Any]]:
    """Texts with labels by split, the classes, and further keys of [data]."""
    if name == "sst":
        return _sst(data / "sst" / "sst_dataset.csv"), ["negative", "positive"], {"min_tokens": 6}
    news = read_classified("ag_news", data)
    splits = {"train": _rows(news, "training"), "dev": _rows(news, "dev"), "test": _rows(news, "test")}
    classes = list(news.classes)
    if name == "ag_news_two":
        classes = ["World", "Business"]
        splits = {split: [row for row in rows if row[1] in classes] for split, rows in splits.items()}
    return splits, classes, {"min_tokens": 6}


def _rows(texts: ClassifiedTexts, part: str) -> Rows:
    labeled = getattr(texts, part)
    return [(text, texts.classes[label]) for text, label in zip(labeled.texts, labeled.labels, strict=True)]


def _sst(path: Path) -> dict[str, Rows]:
    """The binary sentences as Jain & Wallace prepared them: in lower case, without punctuation."""
    splits: dict[str, Rows] = {"train": [], "dev": [], "test": []}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                splits[row["exp_split"]].append((row["text"], ["negative", "positive"][int(row["label"])]))
    except (OSError, KeyError, ValueError) as error:
        raise InvalidInput(
            f"{path} can't be read ({error}). The file is in https://github.com/successar/AttentionExplanation."
        ) from error
    return splits
