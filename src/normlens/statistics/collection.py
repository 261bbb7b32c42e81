"""Numbers of many texts by layer and head, and their means over texts with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from normlens.errors import InvalidInput
from normlens.statistics.intervals import bootstrap_interval, mean_of_present

COLUMNS = ("quantity", "category", "layer", "head", "value", "low", "high", "n_texts")
"""The columns of the table, in this order."""

Key = tuple[str, str]
"""Quantity and category."""

Numbers = dict[Key, NDArray[np.float64]]
"""The numbers of one text, ``(layer, head)`` or ``(layer,)``; NaN where undefined."""

Row = tuple[object, ...]
"""A row of the table, in the order of its columns."""


class TextCollection:
    """Numbers of texts, for one kind of attention of one model.

    Attributes
    ----------
    kind
        Kind of attention; empty until the first text is added.
    layers, heads
        Layer and head numbers, empty until the first text is added.
    """

    def __init__(self) -> None:
        self.kind = ""
        self.layers: list[int] = []
        self.heads: list[int] = []
        self._texts: list[Numbers] = []

    def __len__(self) -> int:
        """Count the texts."""
        return len(self._texts)

    def add(self, data: xr.Dataset, numbers: Numbers) -> None:
        """Add the numbers of one text.

        Parameters
        ----------
        data
            One group of the text's analysis.
        numbers
            What was computed from it.

        Raises
        ------
        InvalidInput
            If kind, layers or heads differ from those of earlier texts.
        """
        self._fit(str(data.attrs.get("kind", "")), data["layer"].values.tolist(), data["head"].values.tolist())
        self._texts.append(numbers)

    def extend(self, other: TextCollection) -> None:
        """Add all texts of another collection.

        Raises
        ------
        InvalidInput
            If kind, layers or heads differ.
        """
        if other._texts:
            self._fit(other.kind, other.layers, other.heads)
        self._texts += other._texts

    def rows(self, *, confidence: float, resamples: int, seed: int) -> list[Row]:
        """The means over texts with their intervals, by head, by layer and over all.

        Parameters
        ----------
        confidence, resamples, seed
            Options of :func:`~normlens.statistics.bootstrap_interval`.

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
        return [
            (*label, *numbers)
            for label, *numbers in zip(labels, means, low, high, present, strict=True)
            if numbers[-1] > 0
        ]

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

    def _columns(self, key: Key) -> Iterator[tuple[int | None, int | None, NDArray[np.float64]]]:
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


def table_of(rows: list[Row]) -> pd.DataFrame:
    """Rows as a table whose layer and head numbers are integers, or missing."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(
        {"layer": "Int64", "head": "Int64", "value": float, "low": float, "high": float, "n_texts": int}
    )
