"""Recursive models that read a tree from its leaves up, and predict a label at every node.

A model says what a leaf's state is, how two states join, and which vector of a state its linear readout reads.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from normlens.negation.sentiment_trees.labeled_trees import LABELS
from normlens.negation.sentiment_trees.tree_batches import TreeBatch

VECTOR_SCALE = 0.1
"""Standard deviation of random word vectors."""

_NOISE = 0.01  # standard deviation of what is added to identities


class TreeModel(nn.Module):
    """A recursive model.

    Parameters
    ----------
    words
        Size of the vocabulary.
    size
        Of the vector that the readout reads.
    """

    def __init__(self, words: int, size: int) -> None:
        super().__init__()
        self.words = words
        self.readout = nn.Linear(size, LABELS)

    @abstractmethod
    def leaves(self, words: Int[Tensor, " leaf"]) -> Float[Tensor, "leaf state"]:
        """The states of words."""

    @abstractmethod
    def join(
        self, left: Float[Tensor, "node state"], right: Float[Tensor, "node state"]
    ) -> Float[Tensor, "node state"]:
        """The states of nodes from those of their two children."""

    @abstractmethod
    def vectors(self, states: Float[Tensor, "node state"]) -> Float[Tensor, "node size"]:
        """The vectors that the readout reads."""

    @abstractmethod
    def start_from(self, vectors: Float[Tensor, "word dimension"]) -> None:
        """Start from word vectors, whose first numbers matter most."""

    def states(self, batch: TreeBatch) -> Float[Tensor, "node state"]:
        """The states of all nodes of a batch, in its order."""
        leaves = self.leaves(batch.words)
        counts = [level.leaves for level in batch.levels]
        *by_level, _ = leaves.split([*counts, len(leaves) - sum(counts)])
        pool, every = leaves[:0], [leaves]
        for level, own in zip(batch.levels, by_level, strict=True):
            ready = torch.cat([own, pool])
            made = self.join(ready[level.left], ready[level.right])
            every.append(made)
            pool = torch.cat([made, pool[level.survivors]])
        return torch.cat(every)

    def forward(self, batch: TreeBatch) -> Float[Tensor, "node label"]:
        """Logits of all nodes of a batch, in its order."""
        logits: Tensor = self.readout(self.vectors(self.states(batch)))
        return logits


def word_table(words: int, size: int, scale: float = VECTOR_SCALE) -> nn.Parameter:
    """A table with a random row for each word."""
    return nn.Parameter(scale * torch.randn(words, size))


def fill_in(table: Tensor, vectors: Float[Tensor, "word dimension"]) -> None:
    """Write the first dimensions of word vectors into a table, at the scale of random ones."""
    width = min(table.shape[1], vectors.shape[1])
    with torch.no_grad():
        table[:, :width] = vectors[:, :width] * (VECTOR_SCALE / vectors[:, :width].std())


def halves(size: int) -> nn.Parameter:
    """[I/2, I/2] and a little noise: a layer that starts with the mean of two children."""
    eye = torch.eye(size) / 2
    return nn.Parameter(torch.cat([eye, eye], dim=1) + _NOISE * torch.randn(size, 2 * size))


class BagOfVectors(TreeModel):
    """The mean of the word vectors below a node."""

    def __init__(self, words: int, size: int) -> None:
        super().__init__(words, size)
        self.table = word_table(words, size)

    def leaves(self, words: Int[Tensor, " leaf"]) -> Float[Tensor, "leaf state"]:
        """The vector, and 1 as the number of words."""
        return torch.cat([self.table[words], self.table.new_ones(len(words), 1)], dim=1)

    def join(
        self, left: Float[Tensor, "node state"], right: Float[Tensor, "node state"]
    ) -> Float[Tensor, "node state"]:
        """Sums of vectors and of numbers of words."""
        return left + right

    def vectors(self, states: Float[Tensor, "node state"]) -> Float[Tensor, "node size"]:
        """The means."""
        return states[:, :-1] / states[:, -1:]

    def start_from(self, vectors: Float[Tensor, "word dimension"]) -> None:
        """Start from word vectors."""
        fill_in(self.table, vectors)


class RecursiveNetwork(TreeModel):
    """The plain recursive network: p = tanh(W [a; b] + c)."""

    def __init__(self, words: int, size: int) -> None:
        super().__init__(words, size)
        self.table = word_table(words, size)
        self.weight, self.bias = halves(size), nn.Parameter(torch.zeros(size))

    def leaves(self, words: Int[Tensor, " leaf"]) -> Float[Tensor, "leaf state"]:
        """Their vectors."""
        return self.table[words]

    def join(
        self, left: Float[Tensor, "node state"], right: Float[Tensor, "node state"]
    ) -> Float[Tensor, "node state"]:
        """One layer on both children."""
        return torch.tanh(torch.cat([left, right], dim=1) @ self.weight.T + self.bias)

    def vectors(self, states: Float[Tensor, "node state"]) -> Float[Tensor, "node size"]:
        """The states themselves."""
        return states

    def start_from(self, vectors: Float[Tensor, "word dimension"]) -> None:
        """Start from word vectors."""
        fill_in(self.table, vectors)


class TensorNetwork(RecursiveNetwork):
    """The recursive neural tensor network: p = tanh([a; b]ᵀ T [a; b] + W [a; b] + c).

    T is kept times the size, as the form adds up 4 size² products: an optimizer whose steps are equal for all parameters
    would otherwise move the form far more than the linear layer.

    Parameters
    ----------
    words, size
        As in :class:`RecursiveNetwork`.
    spread
        Standard deviation of what is kept at the start. With 0, the start is the plain network.

    References
    ----------
    Socher et al. (2013), Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank, section 4.3.
    """

    def __init__(self, words: int, size: int, spread: float = VECTOR_SCALE) -> None:
        super().__init__(words, size)
        self.size = size
        self.tensor = nn.Parameter(spread * torch.randn(2 * size, 2 * size * size))

    def join(
        self, left: Float[Tensor, "node state"], right: Float[Tensor, "node state"]
    ) -> Float[Tensor, "node state"]:
        """One layer and a bilinear form on both children."""
        pair = torch.cat([left, right], dim=1)
        forms = (pair @ self.tensor).view(len(pair), -1, pair.shape[1]) / self.size
        return torch.tanh((forms @ pair.unsqueeze(-1)).squeeze(-1) + pair @ self.weight.T + self.bias)


class MatrixVectorNetwork(TreeModel):
    """The matrix–vector model: p = tanh(W [B a; A b] + c), P = W_M [A; B].

    A word's matrix is diag(a) + U V of low rank, as in the paper.

    References
    ----------
    Socher et al. (2012), Semantic Compositionality through Recursive Matrix-Vector Spaces, equations 2 to 4.
    """

    def __init__(self, words: int, size: int, rank: int) -> None:
        super().__init__(words, size)
        self.size, self.rank = size, rank
        self.table = word_table(words, size)
        self.diagonal = word_table(words, size, _NOISE)  # what it adds to the identity
        self.factors = word_table(words, 2 * rank * size)
        self.weight, self.bias, self.matrix_weight = halves(size), nn.Parameter(torch.zeros(size)), halves(size)

    def leaves(self, words: Int[Tensor, " leaf"]) -> Float[Tensor, "leaf state"]:
        """Vector and matrix."""
        left, right = self.factors[words].view(-1, 2, self.rank, self.size).unbind(1)
        matrix = torch.diag_embed(1 + self.diagonal[words]) + left.transpose(1, 2) @ right
        return torch.cat([self.table[words], matrix.flatten(1)], dim=1)

    def join(
        self, left: Float[Tensor, "node state"], right: Float[Tensor, "node state"]
    ) -> Float[Tensor, "node state"]:
        """Each child's matrix acts on the other's vector; the matrices are added."""
        (a, first), (b, second) = self._split(left), self._split(right)
        pair = torch.cat([second @ a.unsqueeze(-1), first @ b.unsqueeze(-1)], dim=1).squeeze(-1)
        vector = torch.tanh(pair @ self.weight.T + self.bias)
        return torch.cat([vector, (self.matrix_weight @ torch.cat([first, second], dim=1)).flatten(1)], dim=1)

    def vectors(self, states: Float[Tensor, "node state"]) -> Float[Tensor, "node size"]:
        """The vectors."""
        return states[:, : self.size]

    def start_from(self, vectors: Float[Tensor, "word dimension"]) -> None:
        """Start from word vectors; matrices start near the identity."""
        fill_in(self.table, vectors)

    def _split(self, states: Tensor) -> tuple[Tensor, Tensor]:
        return states[:, : self.size], states[:, self.size :].view(-1, self.size, self.size)
