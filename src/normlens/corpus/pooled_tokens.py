"""Numbers of single tokens, pooled over a corpus: a grid for Spearman's rank correlation, and a sample for scatter plots.

Both merge exactly, in any order. The grid counts tokens by bins with fixed edges; the sample keeps the tokens with the
smallest hashes of their places in the corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int, UInt64
from numpy.typing import NDArray

from normlens.corpus.mergeable import decade_edges
from normlens.statistics import TokenFrequency, mean_of_present
from normlens.statistics.collection import Row
from normlens.statistics.text import received_weight, source_ranks

GRID_DECADES, GRID_BINS = (-6, 6), 100
"""Powers of ten that the grid covers on both sides, and bins for each."""

GRID_EDGES: NDArray[np.float64] = np.concatenate([[-np.inf], decade_edges(GRID_DECADES, GRID_BINS), [np.inf]])
"""Edges of the grid on both sides; a bin is 2.3 % wide."""

SAMPLE = 1024
"""Tokens of a sample."""

TOKENS = "tokens"
"""The category of a correlation over all tokens of the corpus at once, not within each text."""

_BINS = len(GRID_EDGES) - 1
_PAIRS = (("weight", "vector_norm"), ("weight", "frequency"), ("vector_norm", "frequency"))
_COLUMNS = ("weight", "vector_norm", "frequency", "token_id", "special")
_PENDING = 256  # texts that are kept apart before they are merged
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class RankGrid:
    """Counts of tokens by layer and by the bins of two quantities.

    Parameters
    ----------
    places
        Cells with a token, in ascending order: ``(layer · bins + first bin) · bins + second bin``.
    counts
        Their tokens.
    """

    def __init__(self, places: Int[np.ndarray, " cell"], counts: Int[np.ndarray, " cell"]) -> None:
        self.places, self.counts = places, counts

    @classmethod
    def of(cls, first: Float[np.ndarray, "layer token"], second: Float[np.ndarray, "layer token"]) -> RankGrid:
        """The grid of some tokens; a token with a NaN is left out."""
        present = np.isfinite(first) & np.isfinite(second)
        layers, _ = np.nonzero(present)
        x, y = (np.searchsorted(GRID_EDGES, side[present], side="right") - 1 for side in (first, second))
        return cls(*np.unique((layers * _BINS + x) * _BINS + y, return_counts=True))

    @classmethod
    def merged(cls, grids: Sequence[RankGrid]) -> RankGrid:
        """The grid of all their tokens, whatever their order."""
        places, inverse = np.unique(np.concatenate([grid.places for grid in grids]), return_inverse=True)
        counts = np.zeros(len(places), dtype=np.int64)
        np.add.at(counts, inverse, np.concatenate([grid.counts for grid in grids]))
        return cls(places, counts)

    def correlation(self, layer: int) -> float:
        """Spearman's rank correlation in a layer, where all tokens of a bin share their average rank; NaN if undefined."""
        own = self.places // _BINS**2 == layer
        counts = self.counts[own].astype(np.float64)
        x, y = (_mid_ranks(side, counts) for side in np.divmod(self.places[own] % _BINS**2, _BINS))
        with np.errstate(divide="ignore", invalid="ignore"):
            value = (counts * x * y).sum() / np.sqrt((counts * x * x).sum() * (counts * y * y).sum())
        return float(value) if counts.sum() >= 3 else np.nan


class TokenSample:
    """The tokens with the smallest hashes: a random sample that doesn't depend on the order of the texts.

    Parameters
    ----------
    hashes
        Hashes of the tokens' places, in ascending order; at most `SAMPLE`.
    values
        Of each: mean α over layers and heads, mean ‖f(x)‖, rank of its frequency (NaN: none), token id, 1 if special.
    """

    def __init__(self, hashes: UInt64[np.ndarray, " token"], values: Float[np.ndarray, "token column"]) -> None:
        self.hashes, self.values = hashes, values

    @classmethod
    def merged(cls, samples: Sequence[TokenSample]) -> TokenSample:
        """The sample of all their tokens, whatever their order."""
        hashes = np.concatenate([sample.hashes for sample in samples])
        values = np.concatenate([sample.values for sample in samples])
        order = np.lexsort([*values.T, hashes])[:SAMPLE]
        return cls(hashes[order], values[order])

    def columns(self) -> dict[str, NDArray[Any]]:
        """The sample as columns of a table."""
        by_name: dict[str, NDArray[Any]] = dict(zip(_COLUMNS, self.values.T, strict=True))
        return by_name | {
            "token_id": by_name["token_id"].astype(np.int64), "special": by_name["special"].astype(bool)
        }  # fmt: skip


class PooledTokens:
    """Grids and a sample of the tokens of many texts."""

    def __init__(self) -> None:
        self._grids: dict[tuple[str, str], list[RankGrid]] = {}
        self._samples: list[TokenSample] = []

    def add(self, data: xr.Dataset, place: str, frequency: TokenFrequency | None = None) -> None:
        """Add the tokens of one text.

        Parameters
        ----------
        data
            One group of its analysis.
        place
            Where the text stands in the corpus; another text has another place.
        frequency
            Ranks of token frequency.
        """
        weight = mean_of_present(received_weight(data), axis=1)
        norm = mean_of_present(data["vector_norm"].transpose("layer", "head", "source").values, axis=1)
        has_ids = "source_id" in data.coords
        ranks = source_ranks(data, frequency) if frequency is not None and has_ids else np.full(norm.shape[1], np.nan)
        sides = {"weight": weight, "vector_norm": norm, "frequency": np.broadcast_to(ranks, norm.shape)}
        for first, second in _PAIRS:
            self._grids.setdefault((first, second), []).append(RankGrid.of(sides[first], sides[second]))
        ids = data["source_id"].values if has_ids else np.full(norm.shape[1], -1)
        special = data["source_category"].values.astype(str) == "special"
        values = np.stack([mean_of_present(weight, 0), mean_of_present(norm, 0), ranks, ids, special], axis=1)
        self._samples.append(TokenSample(_hashes(place, len(values)), values))
        if len(self._samples) == _PENDING:
            self.include(PooledTokens())

    def include(self, other: PooledTokens) -> None:
        """Add the tokens of further texts."""
        for pair in self._grids.keys() | other._grids.keys():
            grids = [*self._grids.get(pair, []), *other._grids.get(pair, [])]
            self._grids[pair] = [RankGrid.merged(grids)]
        samples = [*self._samples, *other._samples]
        self._samples = [TokenSample.merged(samples)] if samples else []

    def rows(self, layers: Sequence[int], texts: int) -> list[Row]:
        """Rank correlations over all tokens, by layer, as rows of the tidy table."""
        return [
            (f"correlation_{first}_{second}", TOKENS, layer, None, value, np.nan, np.nan, texts)
            for first, second in _PAIRS
            if (grids := self._grids.get((first, second)))
            for merged in [RankGrid.merged(grids)]
            for number, layer in enumerate(layers)
            if np.isfinite(value := merged.correlation(number))
        ]

    def sample(self) -> TokenSample | None:
        """A sample of all tokens; None if there are none."""
        return TokenSample.merged(self._samples) if self._samples else None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as named arrays, which `of_arrays` reads."""
        arrays: dict[str, NDArray[Any]] = {}
        for (first, second), grids in sorted(self._grids.items()):
            merged = RankGrid.merged(grids)
            name = f"grid.{first}.{second}"
            arrays |= {f"{name}.places": merged.places.astype("<i4"), f"{name}.counts": merged.counts.astype("<i4")}
        if sample := self.sample():
            arrays |= {"sample.hashes": sample.hashes, "sample.values": sample.values}
        return arrays

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PooledTokens:
        """What `arrays` returned; other arrays are ignored."""
        tokens = cls()
        for first, second in _PAIRS:
            if (name := f"grid.{first}.{second}") + ".places" in arrays:
                places, counts = (arrays[f"{name}.{part}"].astype(np.int64) for part in ("places", "counts"))
                tokens._grids[first, second] = [RankGrid(places, counts)]
        if "sample.hashes" in arrays:
            tokens._samples = [TokenSample(arrays["sample.hashes"], arrays["sample.values"])]
        return tokens


def _mid_ranks(bins: Int[np.ndarray, " cell"], counts: Float[np.ndarray, " cell"]) -> Float[np.ndarray, " cell"]:
    """The average rank of each cell's bin, minus the mean rank."""
    _, inverse = np.unique(bins, return_inverse=True)
    totals = np.bincount(inverse, weights=counts)
    ranks = np.cumsum(totals) - totals / 2
    return np.asarray((ranks - totals.sum() / 2)[inverse])


def _hashes(place: str, count: int) -> UInt64[np.ndarray, " token"]:
    """A hash for each token of a text: SplitMix64 of its position, from the SHA-256 of the text's place."""
    start = np.frombuffer(hashlib.sha256(place.encode("utf-8", "surrogatepass")).digest()[:8], "<u8")[0]
    mixed = start + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
