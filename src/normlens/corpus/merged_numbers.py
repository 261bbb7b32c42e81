"""The numbers of a corpus for one kind of attention, kept as what merges exactly, and the tidy table made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite, nan
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normlens.corpus.mergeable import (
    HISTOGRAM_BINS,
    HISTOGRAM_DECADES,
    REPLICATES,
    Moments,
    Replicates,
    histogram,
    poisson_weights,
)
from normlens.corpus.pooled_tokens import GRID_BINS, GRID_DECADES, SAMPLE, PooledTokens
from normlens.errors import InvalidInput
from normlens.statistics import TokenFrequency, mean_of_present
from normlens.statistics.collection import Key, Numbers, Row, table_of
from normlens.statistics.token_types import TokenTypes

STATISTICS_SETTINGS: Mapping[str, Any] = {
    "bootstrap_replicates": REPLICATES,
    "histogram_decades": list(HISTOGRAM_DECADES),
    "histogram_bins_per_decade": HISTOGRAM_BINS,
    "rank_grid_decades": list(GRID_DECADES),
    "rank_grid_bins_per_decade": GRID_BINS,
    "sampled_tokens": SAMPLE,
}
"""Edges and sizes that numbers of two shards must share before they can be merged; fixed by the plan."""

_MOMENTS, _REPLICATES = ("count", "mean", "deviations"), ("sums", "counts")


class MergedNumbers:
    """Numbers of texts by layer and head; memory doesn't grow with the number of texts.

    Columns of a quantity are its heads, layer by layer, then its layers (means over heads), then the mean over layers.

    Parameters
    ----------
    layers, heads
        Layer and head numbers; empty for numbers that have none.
    frequency
        Ranks of token frequency for the correlation over distinct tokens. Default: counted in the texts.

    Attributes
    ----------
    layers, heads, frequency
        As passed.
    texts
        Number of texts.
    types, tokens
        Totals of the distinct tokens, and correlations and a sample of all tokens.
    largest_conservation_error
        Over all texts; NaN if it was never measured.
    """

    def __init__(self, layers: Sequence[int], heads: Sequence[int], frequency: TokenFrequency | None = None) -> None:
        self.layers, self.heads, self.frequency = list(layers), list(heads), frequency
        self.texts = 0
        self.types, self.tokens = TokenTypes(), PooledTokens()
        self.largest_conservation_error = nan
        self._moments: dict[Key, Moments] = {}
        self._histograms: dict[Key, NDArray[np.int64]] = {}
        self._replicates: dict[Key, Replicates] = {}

    def __len__(self) -> int:
        """Count the texts."""
        return self.texts

    def add(self, numbers: Sequence[Numbers], documents: Sequence[str]) -> None:
        """Add the numbers of some texts.

        Parameters
        ----------
        numbers
            Of each text: by quantity and category, ``(layer, head)``, ``(layer,)``, or a single number.
        documents
            The name of each text's document; texts of one document are drawn together by the bootstrap.
        """
        batch = MergedNumbers(self.layers, self.heads)
        batch.texts, weights = len(numbers), poisson_weights(documents)
        for key in dict.fromkeys(key for text in numbers for key in text):
            shape = next(text[key].shape for text in numbers if key in text)
            values = np.stack([text.get(key, np.full(shape, np.nan)) for text in numbers])
            columns = _columns(values)
            summary = columns[:, _heads_in(shape) :]
            batch._moments[key] = Moments.of(columns)
            batch._histograms[key] = histogram(summary)
            batch._replicates[key] = Replicates.of(summary, weights)
        self.include(batch)

    def add_error(self, error: float) -> None:
        """Note a conservation error."""
        if isfinite(error):
            self.largest_conservation_error = float(np.nanmax([self.largest_conservation_error, error]))

    def include(self, other: MergedNumbers) -> None:
        """Add the numbers of further texts, those of the next shard.

        Raises
        ------
        InvalidInput
            If layers or heads differ.
        """
        if (self.layers, self.heads) != (other.layers, other.heads):
            raise InvalidInput(
                f"One shard has layers {self.layers} and heads {self.heads}, another {other.layers} and {other.heads}; "
                "expected the same. The results come from two models."
            )
        self.texts += other.texts
        self.add_error(other.largest_conservation_error)
        self.types.include(other.types)
        self.tokens.include(other.tokens)
        for key in other._moments:
            if key not in self._moments:
                self._moments[key] = other._moments[key]
                self._histograms[key] = other._histograms[key]
                self._replicates[key] = other._replicates[key]
                continue
            self._moments[key] = self._moments[key].merge(other._moments[key])
            self._histograms[key] = self._histograms[key] + other._histograms[key]
            self._replicates[key] = self._replicates[key].merge(other._replicates[key])

    def facts(self) -> dict[str, str]:
        """How the numbers of the table were obtained, for a reader."""
        return {
            "token frequency": self.frequency.source if self.frequency else "counted in the corpus",
            "intervals": "95 %, Poisson bootstrap by document (of single heads: by the standard error)",
        }

    def table(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """Means over texts with intervals, by head, by layer and over all; see `normlens.statistics.CorpusStatistics`.

        Intervals of layers and of the mean over layers are percentiles of the Poisson bootstrap by document. Those of single
        heads come from the standard error over texts.

        Parameters
        ----------
        confidence
            Share of the interval, between 0 and 1.
        """
        rows: list[Row] = []
        for key, moments in self._moments.items():
            low, high = self._intervals(key, confidence)
            for place, (layer, head) in enumerate(self._labels(key)):
                count = int(moments.count[place])
                if count:
                    ends = (low[place], high[place]) if count > 1 else (nan, nan)
                    rows.append((*key, layer, head, float(moments.mean[place]), *map(float, ends), count))
        rows += [*self.types.rows(self.frequency, self.texts), *self.tokens.rows(self.layers, self.texts)]
        return table_of(rows)

    def histograms(self) -> dict[Key, NDArray[np.int64]]:
        """Texts by bin of `normlens.corpus.mergeable.EDGES`: of each layer, then of the mean over layers."""
        return dict(self._histograms)

    def deviation(self, key: Key) -> NDArray[np.float64]:
        """The standard deviation over texts of a quantity, in the order of its columns."""
        return np.asarray(np.sqrt(self._moments[key].variance()))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as named arrays, which `of_arrays` reads."""
        about = {
            "layers": self.layers,
            "heads": self.heads,
            "texts": self.texts,
            "largest_conservation_error": None if self.largest_conservation_error != self.largest_conservation_error
            else self.largest_conservation_error,
            "keys": list(self._moments),
        }  # fmt: skip
        ids = np.array(sorted(self.types.totals), dtype=np.int64)
        totals = np.array([self.types.totals[token] for token in ids.tolist()]).reshape(-1, 3)
        arrays = {"about": np.array(json.dumps(about)), "type_ids": ids, "type_totals": totals}
        arrays |= self.tokens.arrays()
        for number, key in enumerate(self._moments):
            arrays |= {f"{number}.{name}": getattr(self._moments[key], name) for name in _MOMENTS}
            arrays |= {f"{number}.replicate_{name}": getattr(self._replicates[key], name) for name in _REPLICATES}
            arrays[f"{number}.histogram"] = self._histograms[key]
        return arrays

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> MergedNumbers:
        """What `arrays` returned."""
        about = json.loads(str(arrays["about"]))
        numbers = cls(about["layers"], about["heads"])
        numbers.texts = about["texts"]
        error = about["largest_conservation_error"]
        numbers.largest_conservation_error = nan if error is None else error
        for token, totals in zip(arrays["type_ids"].tolist(), arrays["type_totals"], strict=True):
            numbers.types.totals[token] = totals
        numbers.tokens = PooledTokens.of_arrays(arrays)
        for number, (quantity, category) in enumerate(about["keys"]):
            key = (quantity, category)
            numbers._moments[key] = Moments(*(arrays[f"{number}.{name}"] for name in _MOMENTS))
            numbers._replicates[key] = Replicates(*(arrays[f"{number}.replicate_{name}"] for name in _REPLICATES))
            numbers._histograms[key] = arrays[f"{number}.histogram"]
        return numbers

    def _intervals(self, key: Key, confidence: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        moments = self._moments[key]
        with np.errstate(invalid="ignore", divide="ignore"):
            margin = NormalDist().inv_cdf((1 + confidence) / 2) * np.sqrt(moments.variance() / moments.count)
        low, high = moments.mean - margin, moments.mean + margin
        summary = len(low) - self._replicates[key].sums.shape[1]
        low[summary:], high[summary:] = self._replicates[key].interval(confidence)
        return low, high

    def _labels(self, key: Key) -> list[tuple[int | None, int | None]]:
        """Layer and head of each column."""
        columns = len(self._moments[key].count)
        if columns == 1:
            return [(None, None)]
        by_head = [(layer, head) for layer in self.layers for head in self.heads]
        by_layer = [*((layer, None) for layer in self.layers), (None, None)]
        return [*by_head, *by_layer] if columns > len(by_layer) else list(by_layer)


def _heads_in(shape: tuple[int, ...]) -> int:
    """The number of columns that are single heads."""
    return shape[0] * shape[1] if len(shape) == 2 else 0


def _columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(text, column)`` from ``(text, layer, head)``, ``(text, layer)`` or ``(text,)``."""
    if values.ndim == 1:
        return values[:, None]
    if values.ndim == 2:
        return np.concatenate([values, mean_of_present(values, axis=1)[:, None]], axis=1)
    layers = mean_of_present(values, axis=2)
    return np.concatenate([values.reshape(len(values), -1), _columns(layers)], axis=1)
