"""Labeled texts, to fine-tune and explain a classifier: SST's binary sentences, AG News, and ScoNe's pairs."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sklearn.model_selection import train_test_split

from normlens.errors import InvalidInput
from reproduce.data.contrast_sets import CLASSES, DEV, Pair, read_scone

AG_DEV, AG_TEST, AG_SEED = 1000, 1000, 0
"""Numbers of AG News' 7,600 texts for dev and for the test, and the seed of their sample."""

_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "``": '"', "''": '"'}
_LEAF = re.compile(r"\(\d ([^()\s]+)\)")


@dataclass(frozen=True)
class DataSplit:
    """Texts of one split of a data set.

    Attributes
    ----------
    texts
        Input texts of the model.
    labels
        Class number of each text.
    second
        The second text of each pair; None where texts are single.
    """

    texts: list[str]
    labels: list[int]
    second: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def limited(self, limit: int | None) -> DataSplit:
        """At most this many texts, spread evenly over the split."""
        total = len(self.texts)
        if limit is None or limit >= total:
            return self
        chosen = [k * total // limit for k in range(limit)]
        second = None if self.second is None else [self.second[k] for k in chosen]
        return DataSplit([self.texts[k] for k in chosen], [self.labels[k] for k in chosen], second)


@dataclass(frozen=True)
class ClassifiedTexts:
    """A data set in its three splits.

    Attributes
    ----------
    name
        "sst", "ag_news" or "scone".
    about
        One sentence on the source of the splits.
    classes
        Their names, in the order of the labels.
    training, dev, test
        Splits for the weights, for choices, and for the reported numbers.
    """

    name: str
    about: str
    classes: list[str]
    training: DataSplit
    dev: DataSplit
    test: DataSplit


def read_classified(name: str, data: Path) -> ClassifiedTexts:
    """Read one of the data sets.

    Parameters
    ----------
    name
        "sst", "ag_news" or "scone".
    data
        Folder with a folder of that name.

    Raises
    ------
    InvalidInput
        If there is no such data set, or a file of it is missing or can't be read.
    """
    if name not in READERS:
        raise InvalidInput(f"There is no data set {name!r}. Choose one of {', '.join(READERS)}.")
    reader, source = READERS[name]
    try:
        return reader(data / name)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{data / name} can't be read ({error}). {source}") from error


def _sst(folder: Path) -> ClassifiedTexts:
    splits = [_trees((folder / f"{split}.txt").read_text(encoding="utf-8")) for split in ("train", "dev", "test")]
    about = (
        "Stanford Sentiment Treebank, whole sentences, positive or negative by the tree's root (neutral ones left out), "
        "split as given"
    )
    return ClassifiedTexts("sst", about, ["negative", "positive"], *splits)


def _trees(text: str) -> DataSplit:
    """Sentences of the trees whose root is not neutral (0 and 1: negative, 2: neutral, 3 and 4: positive)."""
    rows = [(int(line[1]), line) for line in text.splitlines() if line.strip()]
    kept = [(root, line) for root, line in rows if root != 2]
    return DataSplit([sentence_of_tree(line) for _, line in kept], [int(root > 2) for root, _ in kept])


def sentence_of_tree(tree: str) -> str:
    """The words of a tree with a space between any two, brackets and quotation marks as they are written.

    Parameters
    ----------
    tree
        As in the treebank: ``(3 (2 It) (4 works))``.
    """
    words = (_BRACKETS.get(word, word.replace("\\/", "/")) for word in _LEAF.findall(tree))
    return " ".join(words)


def _ag_news(folder: Path) -> ClassifiedTexts:
    classes = (folder / "classes.txt").read_text(encoding="utf-8").split("\n")
    with (folder / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = [(news_text(f"{title}. {body}"), int(number) - 1) for number, title, body in csv.reader(file)]
    rest, test = _drawn(rows, AG_TEST)
    training, dev = _drawn(rest, AG_DEV)
    about = (
        f"AG News, its {len(rows):,} test documents (title and description), of which {AG_DEV:,} were drawn for choices and "
        f"{AG_TEST:,} for the test, by class (seed {AG_SEED})"
    )
    return ClassifiedTexts("ag_news", about, [name for name in classes if name], *map(_split, (training, dev, test)))


def _drawn(rows: list[tuple[str, int]], size: int) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The remaining rows and the drawn ones, with equal shares of the classes."""
    stay, drawn = train_test_split(rows, test_size=size, random_state=AG_SEED, stratify=[label for _, label in rows])
    return stay, drawn


def _split(rows: Sequence[tuple[str, int]]) -> DataSplit:
    return DataSplit([text for text, _ in rows], [label for _, label in rows])


def news_text(text: str) -> str:
    """A news text without remnants of its markup.

    Parameters
    ----------
    text
        As in the file: backslashes for line ends, entities without their ``&``, tags.
    """
    entities = re.sub(r"\s?#(\d+);", r"&#\1;", text.replace("\\", " "))
    unescaped = html.unescape(re.sub(r"\b(lt|gt|amp|quot);", r"&\1;", entities).replace("&&", "&"))
    return " ".join(re.sub(r"<[^<>]*>", " ", unescaped).split())


def _scone(folder: Path) -> ClassifiedTexts:
    splits = read_scone(folder)
    about = (
        f"ScoNe-NLI, test as given; of the training sets, whole groups with at least {DEV} sets were drawn for choices, so "
        "that no first sentence is in two splits"
    )
    return ClassifiedTexts(
        "scone", about, CLASSES, *map(_pairs, (splits[name] for name in ("training", "dev", "test")))
    )


def _pairs(pairs: Sequence[Pair]) -> DataSplit:
    return DataSplit(
        [pair.premise for pair in pairs], [pair.label for pair in pairs], [pair.hypothesis for pair in pairs]
    )


READERS: dict[str, tuple[Callable[[Path], ClassifiedTexts], str]] = {
    "sst": (_sst, "The treebank (train.txt, dev.txt, test.txt) is at https://nlp.stanford.edu/sentiment/."),
    "ag_news": (
        _ag_news,
        "AG News (test.csv, classes.txt) is described at http://groups.di.unipi.it/~gulli/AG_corpus_of_news_articles.html.",
    ),
    "scone": (_scone, "ScoNe-NLI (train.*.csv and test.*.csv) is at https://github.com/selenashe/ScoNe."),
}
"""The reader of each data set, and its source."""
