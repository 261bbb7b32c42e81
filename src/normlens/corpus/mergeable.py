"""Numbers of many texts that merge exactly: counts, moments, histograms, and sums of bootstrap replicates.

Everything is an array over columns. Joining the numbers of shards in the order of the shards gives the same bits, whoever
computed them, and in which order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

REPLICATES = 200
"""Replicates of the Poisson bootstrap."""


def decade_edges(decades: tuple[int, int], bins: int) -> NDArray[np.float64]:
    """Edges of logarithmic bins.

    Parameters
    ----------
    decades
        The powers of ten at which they begin and end.
    bins
        Bins for each power of ten.
    """
    first, last = decades
    return np.logspace(first, last, (last - first) * bins + 1)


HISTOGRAM_DECADES, HISTOGRAM_BINS = (-6, 4), 6
"""Powers of ten that the histograms cover, and bins for each."""

EDGES: NDArray[np.float64] = np.concatenate(
    [[-np.inf, -1.0, -0.1, 0.0], decade_edges(HISTOGRAM_DECADES, HISTOGRAM_BINS), [np.inf]]
)
"""Edges of the histograms, the same for every quantity."""


class Moments:
    """Count, mean and sum of squared deviations of columns; NaN is left out.

    Parameters
    ----------
    count, mean, deviations
        One number for each column.
    """

    def __init__(
        self,
        count: Int[np.ndarray, " column"],
        mean: Float[np.ndarray, " column"],
        deviations: Float[np.ndarray, " column"],
    ) -> None:
        self.count, self.mean, self.deviations = count, mean, deviations

    @classmethod
    def of(cls, values: Float[np.ndarray, "text column"]) -> Moments:
        """The moments of some texts."""
        present = np.isfinite(values)
        count = present.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(present, values, 0.0).sum(axis=0) / count
        mean = np.where(count > 0, mean, 0.0)
        deviations = np.where(present, values - mean, 0.0)
        return cls(count, mean, (deviations * deviations).sum(axis=0))

    def merge(self, other: Moments) -> Moments:
        """The moments of both, by the formula of Chan, Golub & LeVeque (1979)."""
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros(len(count)), where=count > 0)
        gap = other.mean - self.mean
        mean = self.mean + gap * share
        deviations = self.deviations + other.deviations + gap * gap * self.count * share
        return Moments(count, mean, deviations)

    def variance(self) -> Float[np.ndarray, " column"]:
        """The unbiased variance; NaN with fewer than two texts."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.count > 1, self.deviations / (self.count - 1), np.nan)


def histogram(values: Float[np.ndarray, "text column"]) -> Int[np.ndarray, "column bin"]:
    """How many texts lie in each bin of `EDGES`; NaN lies in none, and a value on an edge in the bin above it."""
    bins = len(EDGES) - 1
    counts = np.zeros((values.shape[1], bins), dtype=np.int64)
    texts, columns = np.nonzero(np.isfinite(values))
    places = np.searchsorted(EDGES, values[texts, columns], side="right") - 1
    np.add.at(counts, (columns, places), 1)
    return counts


def poisson_weights(documents: Iterable[str]) -> Int[np.ndarray, "text replicate"]:
    """How often each text is drawn in each replicate: Poisson with mean one, decided by the name of its document alone.

    Texts of one document are drawn together, on whichever machine they are measured.

    Parameters
    ----------
    documents
        The name of each text's document.
    """
    rows = [_weights_of(document) for document in documents]
    return np.array(rows, dtype=np.int64).reshape(-1, REPLICATES)


def _weights_of(document: str) -> Int[np.ndarray, " replicate"]:
    key = int.from_bytes(hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key)).poisson(1.0, REPLICATES)


class Replicates:
    """Sums and counts of columns in every replicate of the bootstrap.

    Parameters
    ----------
    sums, counts
        By replicate and column.
    """

    def __init__(
        self, sums: Float[np.ndarray, "replicate column"], counts: Int[np.ndarray, "replicate column"]
    ) -> None:
        self.sums, self.counts = sums, counts

    @classmethod
    def of(cls, values: Float[np.ndarray, "text column"], weights: Int[np.ndarray, "text replicate"]) -> Replicates:
        """The sums of some texts."""
        present = np.isfinite(values)
        # One text after the other, so that the order of additions doesn't depend on a library's matrix product.
        sums, counts = np.zeros((REPLICATES, values.shape[1])), np.zeros((REPLICATES, values.shape[1]), dtype=np.int64)
        filled = np.where(present, values, 0.0)
        for row, seen, weight in zip(filled, present, weights, strict=True):
            sums += weight[:, None] * row
            counts += weight[:, None] * seen
        return cls(sums, counts)

    def merge(self, other: Replicates) -> Replicates:
        """The sums of both."""
        return Replicates(self.sums + other.sums, self.counts + other.counts)

    def interval(self, confidence: float) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " column"]]:
        """The percentile interval of the means."""
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self.sums / self.counts
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = np.full((2, means.shape[1]), np.nan)
        drawn = np.isfinite(means).any(axis=0)
        if drawn.any():
            low[drawn], high[drawn] = np.nanquantile(means[:, drawn], tails, axis=0)
        return low, high
