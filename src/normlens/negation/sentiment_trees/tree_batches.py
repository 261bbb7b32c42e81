"""Batches of trees, level by level: all nodes of one height are computed together.

Every node has one parent. A level therefore needs the leaves that it consumes, and a pool of branches that still wait for
their parent; whatever was consumed leaves the pool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from normlens.negation.sentiment_trees.labeled_trees import LabeledTree

UNKNOWN = 0
"""The number of words outside of the vocabulary."""


@dataclass(frozen=True)
class Level:
    """The branches of one height.

    Attributes
    ----------
    leaves
        How many leaves it consumes.
    left, right
        Its children, as rows of these leaves followed by the pool.
    survivors
        The rows of the pool that wait for a higher level. The next pool is this level's branches followed by them.
    """

    leaves: int
    left: Int[Tensor, " branch"]
    right: Int[Tensor, " branch"]
    survivors: Int[Tensor, " waiting"]


@dataclass(frozen=True)
class TreeBatch:
    """Trees that run together. Nodes are in the order of computation: leaves by the level that consumes them, then levels.

    Attributes
    ----------
    words
        Numbers of the leaves' words.
    levels
        From the lowest.
    labels
        Of all nodes.
    tree, node
        Which node of which tree each is.
    """

    words: Int[Tensor, " leaf"]
    levels: list[Level]
    labels: Int[Tensor, " node"]
    tree: Int[np.ndarray, " node"]
    node: Int[np.ndarray, " node"]


@dataclass(frozen=True)
class WordNumbers:
    """The words that have vectors of their own; all others share one.

    Attributes
    ----------
    numbers
        Word to number, from 1.
    """

    numbers: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.numbers) + 1

    def encode(self, tree: LabeledTree) -> Int[np.ndarray, " node"]:
        """The number of each node's word; meaningless at branches."""
        return np.array([self.numbers.get(word, UNKNOWN) for word in tree.words])


def word_numbers_of(trees: Sequence[LabeledTree], at_most: int) -> WordNumbers:
    """Number the most frequent words of trees; equally frequent ones in alphabetical order."""
    counts = Counter(word for tree in trees for word in tree.words if word)
    words = sorted(counts, key=lambda word: (-counts[word], word))[:at_most]
    return WordNumbers({word: number for number, word in enumerate(words, start=1)})


@dataclass(frozen=True)
class Forest:
    """Trees with their words as numbers.

    Attributes
    ----------
    trees
        The trees.
    words
        Of each tree the number of each node's word.
    """

    trees: Sequence[LabeledTree]
    words: Sequence[Int[np.ndarray, " node"]]

    @staticmethod
    def of(trees: Sequence[LabeledTree], vocabulary: WordNumbers) -> Forest:
        """Look up the words of trees."""
        return Forest(trees, [vocabulary.encode(tree) for tree in trees])

    def batches(self, size: int, generator: np.random.Generator | None = None) -> Iterator[TreeBatch]:
        """Batches of ``size`` trees, in random order if there is a generator."""
        order = np.arange(len(self.trees)) if generator is None else generator.permutation(len(self.trees))
        for start in range(0, len(order), size):
            yield self.batch(order[start : start + size])

    def batch(self, chosen: Sequence[int] | NDArray[np.int64]) -> TreeBatch:
        """A batch of the trees with these numbers."""
        trees = [self.trees[number] for number in chosen]
        starts = np.cumsum([0, *(len(tree.words) for tree in trees)])
        children = np.concatenate(
            [tree.children + (tree.children >= 0) * start for tree, start in zip(trees, starts, strict=False)]
        )
        heights = np.concatenate([tree.heights for tree in trees])
        levels, order = _levels(children, heights)
        words = np.concatenate([self.words[number] for number in chosen])
        labels = np.concatenate([tree.labels for tree in trees])
        tree = np.repeat(np.asarray(chosen), np.diff(starts))
        node = np.arange(starts[-1]) - np.repeat(starts[:-1], np.diff(starts))
        leaves = int((heights == 0).sum())
        return TreeBatch(
            torch.from_numpy(words[order[:leaves]]), levels, torch.from_numpy(labels[order]), tree[order], node[order]
        )


def _levels(
    children: Int[np.ndarray, "node 2"], heights: Int[np.ndarray, " node"]
) -> tuple[list[Level], Int[np.ndarray, " node"]]:
    """The levels, and the nodes in the order of computation."""
    top = int(heights.max())
    parents = np.full(len(heights), -1)
    branches = np.flatnonzero(heights)
    parents[children[branches].ravel()] = np.repeat(branches, 2)
    consumed = np.where(parents >= 0, heights[parents], top + 1)
    leaves = np.flatnonzero(heights == 0)
    order = [leaves[np.argsort(consumed[leaves], kind="stable")]]
    levels: list[Level] = []
    position = np.empty(len(heights), dtype=np.int64)
    pool = np.empty(0, dtype=np.int64)
    for height in range(1, top + 1):
        own = leaves[consumed[leaves] == height]
        position[own] = np.arange(len(own))
        position[pool] = len(own) + np.arange(len(pool))
        level = np.flatnonzero(heights == height)
        stay = np.flatnonzero(consumed[pool] != height)
        left, right = (torch.from_numpy(position[children[level, side]]) for side in (0, 1))
        levels.append(Level(len(own), left, right, torch.from_numpy(stay)))
        order.append(level)
        pool = np.concatenate([level, pool[stay]])
    return levels, np.concatenate(order)
