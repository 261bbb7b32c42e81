"""Totals of every distinct token of a corpus, and their correlation with the token's frequency."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from normlens.statistics.collection import Row
from normlens.statistics.frequency import TokenFrequency
from normlens.statistics.intervals import mean_of_present
from normlens.statistics.measures import rank_correlation
from normlens.statistics.text import received_weight

TYPES = "types"
"""The category of a correlation over the distinct tokens of the whole corpus, not over the tokens of each text."""


class TokenTypes:
    """Of every distinct token: how often it occurs, and the sums of its α and ‖f(x)‖, averaged over layers and heads.

    Attributes
    ----------
    totals
        By token id: count, sum of α, sum of ‖f(x)‖.
    """

    def __init__(self) -> None:
        self.totals: dict[int, NDArray[np.float64]] = {}

    def add(self, data: xr.Dataset) -> None:
        """Add the ordinary tokens of one text; nothing without token ids.

        Parameters
        ----------
        data
            One group of an analysis.
        """
        if "source_id" not in data.coords:
            return
        ordinary = data["source_category"].values.astype(str) != "special"
        ids = data["source_id"].values[ordinary]
        weight = mean_of_present(received_weight(data), axis=(0, 1))[ordinary]
        norm = mean_of_present(data["vector_norm"].transpose("layer", "head", "source").values, axis=(0, 1))[ordinary]
        for token, totals in zip(ids.tolist(), np.stack([np.ones(len(ids)), weight, norm], axis=1), strict=True):
            self.totals[token] = self.totals.get(token, np.zeros(3)) + totals

    def include(self, other: TokenTypes) -> None:
        """Add the totals of further texts."""
        for token, totals in other.totals.items():
            self.totals[token] = self.totals.get(token, np.zeros(3)) + totals

    def rows(self, frequency: TokenFrequency | None, texts: int) -> list[Row]:
        """Spearman over distinct tokens, between the rank of their frequency and their mean α and ‖f(x)‖.

        Parameters
        ----------
        frequency
            Ranks; None: those of the counts in this corpus.
        texts
            Number of texts, for the table.
        """
        if not self.totals:
            return []
        ids = np.array(list(self.totals))
        count, weight, norm = np.array(list(self.totals.values())).T
        counted = dict(zip(ids.tolist(), count.astype(int).tolist(), strict=True))
        ranks = (frequency or TokenFrequency.from_counts(counted)).ranks(ids)
        correlations = {
            "weight": rank_correlation(weight / count, ranks),
            "vector_norm": rank_correlation(norm / count, ranks),
        }
        return [
            (f"correlation_{name}_frequency", TYPES, None, None, float(value), np.nan, np.nan, texts)
            for name, value in correlations.items()
            if np.isfinite(value)
        ]
