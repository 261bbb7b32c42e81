"""Statistics over a corpus, text by text: what is kept of a text does not grow with the square of its length."""

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
    """Collect the numbers of many texts; give their means and bootstrap intervals as a tidy table.

    Of every text O(layers × heads) numbers are kept, whatever its length; besides, three numbers for every distinct
    token of the corpus. One collection holds one attention kind of one model.

    Parameters
    ----------
    frequency
        Ranks of token frequency for the correlations inside each text. Default: none of these; the correlation over
        the distinct tokens of the corpus then takes the ranks counted in the corpus.

    Attributes
    ----------
    frequency
        As given.
    kind
        Kind of attention; empty until the first text is added.
    layers, heads
        Layer and head numbers, empty until the first text is added.
    largest_conservation_error
        The largest over all texts, layers, targets and scopes; NaN if it was never measured.
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
        """Take in one analyzed text.

        Parameters
        ----------
        data
            One group of an analysis, such as ``analysis["encoder"]``.

        Raises
        ------
        InvalidInput
            If a variable is missing, or the layers or heads are not those of the texts before.
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
        """Join two collections, as if all texts had been added to one, first these and then the others.

        Parameters
        ----------
        other
            Statistics of further texts, of the same model and with the same frequencies.

        Returns
        -------
        CorpusStatistics
            A new collection; both parts stay as they are.

        Raises
        ------
        InvalidInput
            If layers, heads or frequencies differ.
        """
        if not _same(self.frequency, other.frequency):
            raise InvalidInput(
                f"One part has the frequencies {_source(self.frequency)}, the other {_source(other.frequency)}, with other "
                "numbers; expected the same. Collect both parts with one frequency table."
            )
        joined = CorpusStatistics(self.frequency)
        for part in (self, other):
            if part._texts:
                joined._fit(part.kind, part.layers, part.heads)
            joined._texts += part._texts
            for token, totals in part._types.items():
                joined._types[token] = joined._types.get(token, np.zeros(3)) + totals
        joined.largest_conservation_error = _largest(
            [self.largest_conservation_error, other.largest_conservation_error]
        )
        return joined

    def table(self, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
        """Give means over texts with bootstrap intervals, by head, by layer and over all.

        Parameters
        ----------
        confidence, resamples, seed
            Of the bootstrap over texts (`normlens.statistics.bootstrap_interval`).

        Returns
        -------
        pandas.DataFrame
            One row per number: `quantity`, `category`, `layer` and `head` (missing: the mean over all of them),
            `value`, `low` and `high` (the interval; NaN with one text, or where none is defined), `n_texts` (texts
            that have the number).

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
        """Note the kind of attention, layer and head numbers, or check that they are those of the texts before."""
        new = (list(layers), list(heads))
        if not self.layers:
            self.kind, (self.layers, self.heads) = kind, new
        elif kind != self.kind:
            raise InvalidInput(
                f"This text's attention is of kind {kind or '(none)'}, that of those before {self.kind or '(none)'}; "
                "expected the same. Collect each attention kind on its own."
            )
        elif new != (self.layers, self.heads):
            raise InvalidInput(
                f"This text has layers {new[0]} and heads {new[1]}, those before had {self.layers} and {self.heads}; "
                "expected the same. Collect each model and each attention kind on its own."
            )

    def _columns(self, key: Key) -> Iterable[tuple[int | None, int | None, NDArray[np.float64]]]:
        """One column ``(text,)`` for each head, each layer, and over all, with its layer and head."""
        shape = next(text[key].shape for text in self._texts if key in text)
        values = np.stack([text.get(key, np.full(shape, np.nan)) for text in self._texts])
        if values.ndim == 3:
            for layer, head in np.ndindex(*shape):
                yield self.layers[layer], self.heads[head], values[:, layer, head]
            values = mean_of_present(values, axis=2)
        for place, layer_number in enumerate(self.layers):
            yield layer_number, None, values[:, place]
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
        found = {
            "weight": rank_correlation(weight / count, ranks),
            "vector_norm": rank_correlation(norm / count, ranks),
        }
        return [
            (f"correlation_{name}_frequency", TYPES, None, None, float(value), np.nan, np.nan, len(self))
            for name, value in found.items()
            if np.isfinite(value)
        ]


def _frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    """Rows as a table with whole, possibly missing, layer and head numbers."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(
        {"layer": "Int64", "head": "Int64", "value": float, "low": float, "high": float, "n_texts": int}
    )


def _largest(values: list[float]) -> float:
    """Return the largest number that is there; NaN if none is."""
    present = [float(value) for value in values if np.isfinite(value)]
    return max(present, default=float("nan"))


def _same(one: TokenFrequency | None, other: TokenFrequency | None) -> bool:
    """Whether two tables say the same of every token, whatever they are called."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.rank, other.rank)


def _source(frequency: TokenFrequency | None) -> str:
    """Say where frequencies come from."""
    return "(none)" if frequency is None else frequency.source
