"""The treebank: the splits, the words held out negated, and word vectors to start from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.negation.sentiment_trees import (
    Forest,
    HeldOut,
    LabeledTree,
    WordNumbers,
    hold_out,
    read_trees,
    word_numbers_of,
)
from reproduce.four_tests.input_vectors import input_vectors

DIMENSIONS = 100  # of word vectors from MiniLM, after principal components


@dataclass(frozen=True, eq=False)
class Treebank:
    """Labeled trees, and the split by word.

    Attributes
    ----------
    train, dev, test
        The trees of each split; ``train`` is whole.
    held_out
        Words that training doesn't show negated, and the trees that stay.
    numbers
        The vocabulary.
    """

    train: list[LabeledTree]
    dev: list[LabeledTree]
    test: list[LabeledTree]
    held_out: HeldOut
    numbers: WordNumbers

    @cached_property
    def kept(self) -> Forest:
        """The training trees that stay."""
        return self.forest([self.train[number] for number in self.held_out.kept])

    @cached_property
    def removed(self) -> Forest:
        """The training trees in which a held-out word is negated."""
        return self.forest([self.train[number] for number in self.held_out.removed])

    def forest(self, trees: Sequence[LabeledTree]) -> Forest:
        """Trees with the numbers of their words."""
        return Forest.of(trees, self.numbers)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that a training sees."""
        seen = hashlib.sha256()
        for trees in (self.kept.trees, self.dev):
            for tree in trees:
                seen.update(repr((tree.words, tree.labels.tolist(), tree.children.tolist())).encode())
        seen.update(repr(list(self.numbers.numbers)).encode())
        return seen.hexdigest()[:16]

    @cached_property
    def word_vectors(self) -> Float[Tensor, "word dimension"]:
        """The principal components of MiniLM's input embeddings, the largest first; zeros for words that it lacks."""
        vectors = input_vectors(self.numbers.numbers)
        table = torch.stack(list(vectors.values()))
        centered = table - table.mean(0)
        _, _, directions = torch.linalg.svd(centered, full_matrices=False)
        chosen = directions[:DIMENSIONS]
        components = torch.zeros(len(self.numbers), len(chosen))
        components[[self.numbers.numbers[word] for word in vectors]] = centered @ chosen.T
        return components


def read_treebank(data: Path, *, words: int = 8000, share: float = 0.3, seed: int = 0) -> Treebank:
    """Read the Stanford Sentiment Treebank.

    Parameters
    ----------
    data
        Folder of the data sets, with ``sst/train.txt``, ``sst/dev.txt`` and ``sst/test.txt``.
    words
        Size of the vocabulary.
    share, seed
        Of the words that are held out negated.

    Raises
    ------
    InvalidInput
        If a file is not there or doesn't parse.
    """
    folder = data / "sst"
    if not folder.is_dir():
        raise InvalidInput(
            f"{folder} is not there; expected the Stanford Sentiment Treebank as train.txt, dev.txt and test.txt, a tree in "
            "each line. Stanford offers it as trainDevTestTrees_PTB.zip, and https://github.com/successar/AttentionExplanation."
        )
    train, dev, test = (read_trees(folder / f"{split}.txt") for split in ("train", "dev", "test"))
    held_out = hold_out(train, share, seed)
    return Treebank(train, dev, test, held_out, word_numbers_of([train[number] for number in held_out.kept], words))
