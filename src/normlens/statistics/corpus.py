"""Statistics over a corpus, text by text: the numbers kept for a text don't grow with its length."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from normlens.errors import InvalidInput
from normlens.statistics.frequency import TokenFrequency
from normlens.statistics.intervals import bootstrap_interval, mean_of_present
from normlens.statistics.measures import rank_correlation
from normlens.statistics.text import Key, Numbers, received_weight, text_numbers

COLUMNS = ("quantity", "category", "layer", "head", "value", "low", "high", "n_texts")
"""The columns of the table, in this order."""

TYPES = "types"
"""The category of a correlation over the distinct tokens of the whole corpus, not over the tokens of each text."""


class CorpusStatistics:
    """Collect the numbers of many texts; return their means and bootstrap intervals as a tidy table.

    O(layers × heads) numbers of every text are kept, whatever its length, and three numbers for every distinct token of
    the corpus. One collection is for one kind of attention of one model.

    Parameters
    ----------
    frequency
        Ranks of token frequency for the correlations within each text. Default: no such correlations; the correlation over
        the distinct tokens of the corpus then uses ranks counted in the corpus.

    Attributes
    ----------
    frequency
        As passed.
    kind
        Kind of attention; empty until the first text is added.
    layers, heads
        Layer and head numbers, empty until the first text is added.
    largest_conservation_error
        Over all texts, layers, targets and scopes; NaN if it was never measured.
    """

    def __init__(self, frequency: TokenFrequency | None = None) -> None:
        self.frequency = frequency
        self.kind = ""
        self.layers: list[int] = []
        self.heads: list[int] = []
        self.largest_conservation_error = float("nan")
        self._texts: list[Numbers] = []
        self._types: dict[int, NDArray[np.float64]] = {}

    def __len__(self) -> int:
        """Count the texts."""
        return len(self._texts)

    def add(self, data: xr.Dataset) -> None:
        """Add one analyzed text.

        Parameters
        ----------
        data
            One group of an analysis, such as ``analysis["encoder"]``.

        Raises
        ------
        InvalidInput
            If a variable is missing, or the layers or heads differ from those of earlier texts.
        """
        numbers = text_numbers(data, self.frequency)
        self._fit(str(data.attrs.get("kind", "")), data["layer"].values.tolist(), data["head"].values.tolist())
        self._texts.append(numbers)
        if "conservation_error" in data:
            errors = data["conservation_error"].values.ravel()
            self.largest_conservation_error = _largest([self.largest_conservation_error, *errors[np.isfinite(errors)]])
        if "source_id" in data.coords:
            self._add_types(data)

    def merge(self, other: CorpusStatistics) -> CorpusStatistics:
        """Join two collections, as if all texts had been added to one, first these, then the others.

        Parameters
        ----------
        other
            Statistics of further texts, of the same model and with the same frequencies.

        Returns
        -------
        CorpusStatistics
            A new collection; both originals are unchanged.

        Raises
        ------
        InvalidInput
            If layers, heads or frequencies differ.
        """
        if not _same(self.frequency, other.frequency):
            raise InvalidInput(
                f"The collections have frequencies with different ranks ({_source(self.frequency)} and "
                f"{_source(other.frequency)}); expected the same. Collect both with one frequency table."
            )
        joined = CorpusStatistics(self.frequency)
        for one in (self, other):
            if one._texts:
                joined._fit(one.kind, one.layers, one.heads)
            joined._texts += one._texts
            for token, totals in one._types.items():
                joined._types[token] = joined._types.get(token, np.zeros(3)) + totals
        joined.largest_conservation_error = _largest(
            [self.largest_conservation_error, other.largest_conservation_error]
        )
        return joined

    def table(self, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
        """Return means over texts with bootstrap intervals, by head, by layer and over all.

        Parameters
        ----------
        confidence, resamples, seed
            Options of the bootstrap over texts (`normlens.statistics.bootstrap_interval`).

        Returns
        -------
        pandas.DataFrame
            One row per number: `quantity`, `category`, `layer` and `head` (missing: the mean over all of them),
            `value`, `low` and `high` (the interval; NaN with one text, or where none is defined), `n_texts` (texts
            with the number).

        Raises
        ------
        InvalidInput
            If no text was added.
        """
        if not self._texts:
            raise InvalidInput(
                "There are no texts in these statistics; expected at least one. Add analyzed texts first."
            )
        keys = list(dict.fromkeys(key for text in self._texts for key in text))
        labels: list[tuple[str, str, int | None, int | None]] = []
        columns: list[NDArray[np.float64]] = []
        for key in keys:
            for layer, head, column in self._columns(key):
                labels.append((*key, layer, head))
                columns.append(column)
        values = np.stack(columns, axis=1)
        low, high = bootstrap_interval(values, confidence=confidence, resamples=resamples, seed=seed)
        present = np.isfinite(values).sum(axis=0)
        means = mean_of_present(values, axis=0)
        rows = [
            (*label, *numbers)
            for label, *numbers in zip(labels, means, low, high, present, strict=True)
            if numbers[-1] > 0
        ]
        return _frame([*rows, *self._type_rows()])

    def _fit(self, kind: str, layers: Iterable[int], heads: Iterable[int]) -> None:
        """Store the kind of attention, layer and head numbers, or check that they are those of earlier texts."""
        new = (list(layers), list(heads))
        if not self.layers:
            self.kind, (self.layers, self.heads) = kind, new
        elif kind != self.kind:
            raise InvalidInput(
                f"The attention of this text is of kind {kind or '(none)'}, that of earlier texts {self.kind or '(none)'}; "
                "expected the same. Collect each kind of attention separately."
            )
        elif new != (self.layers, self.heads):
            raise InvalidInput(
                f"This text has layers {new[0]} and heads {new[1]}, earlier texts {self.layers} and {self.heads}; "
                "expected the same. Collect each model and each kind of attention separately."
            )

    def _columns(self, key: Key) -> Iterable[tuple[int | None, int | None, NDArray[np.float64]]]:
        """One column ``(text,)`` for each head, each layer, and over all, with its layer and head."""
        shape = next(text[key].shape for text in self._texts if key in text)
        values = np.stack([text.get(key, np.full(shape, np.nan)) for text in self._texts])
        if values.ndim == 3:
            for layer, head in np.ndindex(*shape):
                yield self.layers[layer], self.heads[head], values[:, layer, head]
            values = mean_of_present(values, axis=2)
        for index, layer_number in enumerate(self.layers):
            yield layer_number, None, values[:, index]
        yield None, None, mean_of_present(values, axis=1)

    def _add_types(self, data: xr.Dataset) -> None:
        """Add each ordinary token's α and ‖f(x)‖, averaged over layers and heads, to the totals of its id."""
        ordinary = data["source_category"].values.astype(str) != "special"
        ids = data["source_id"].values[ordinary]
        weight = mean_of_present(received_weight(data), axis=(0, 1))[ordinary]
        norm = mean_of_present(data["vector_norm"].transpose("layer", "head", "source").values, axis=(0, 1))[ordinary]
        for token, totals in zip(ids.tolist(), np.stack([np.ones(len(ids)), weight, norm], axis=1), strict=True):
            self._types[token] = self._types.get(token, np.zeros(3)) + totals

    def _type_rows(self) -> list[tuple[object, ...]]:
        """Spearman over distinct tokens, between the rank of their frequency and their mean α and ‖f(x)‖."""
        if not self._types:
            return []
        ids = np.array(list(self._types))
        count, weight, norm = np.array(list(self._types.values())).T
        counted = dict(zip(ids.tolist(), count.astype(int).tolist(), strict=True))
        ranks = (self.frequency or TokenFrequency.from_counts(counted)).ranks(ids)
        correlations = {
            "weight": rank_correlation(weight / count, ranks),
            "vector_norm": rank_correlation(norm / count, ranks),
        }
        return [
            (f"correlation_{name}_frequency", TYPES, None, None, float(value), np.nan, np.nan, len(self))
            for name, value in correlations.items()
            if np.isfinite(value)
        ]


def _frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    """Rows as a table whose layer and head numbers are integers, or missing."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(
        {"layer": "Int64", "head": "Int64", "value": float, "low": float, "high": float, "n_texts": int}
    )


def _largest(values: list[float]) -> float:
    """Return the largest finite number; NaN if there is none."""
    present = [float(value) for value in values if np.isfinite(value)]
    return max(present, default=float("nan"))


def _same(one: TokenFrequency | None, other: TokenFrequency | None) -> bool:
    """Whether two tables have the same ranks, whatever their names."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.rank, other.rank)


def _source(frequency: TokenFrequency | None) -> str:
    """Return the source of frequencies."""
    return "(none)" if frequency is None else frequency.source
