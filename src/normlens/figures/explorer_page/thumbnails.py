"""Thumbnails of maps: each cell is the largest number of the square that it stands for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray

MOST_CELLS = 32
"""Side of a thumbnail; a shorter text has a cell for each token."""
PooledRows = Float[np.ndarray, "head cell source"]


def edges(length: int) -> Int[np.ndarray, " cell"]:
    """The first position of each cell of a side, as even as possible.

    Examples
    --------
    >>> edges(3).tolist(), edges(64)[:3].tolist()
    ([0, 1, 2], [0, 2, 4])
    """
    cells = min(length, MOST_CELLS)
    return np.arange(cells) * length // cells


class Thumbnails:
    """Thumbnails of one layer's heads, filled as slices of their targets are measured.

    Parameters
    ----------
    heads, targets, sources
        Sizes of the maps.
    kept
        False for the sources that the second thumbnail of each head leaves out.
    """

    def __init__(self, heads: int, targets: int, sources: int, kept: Bool[np.ndarray, " source"]) -> None:
        self._rows, self._columns, self._kept, self._targets = edges(targets), edges(sources), kept, targets
        shape = (heads, len(self._rows), len(self._columns))
        self.whole: Float[np.ndarray, "head row column"] = np.zeros(shape, dtype=np.float32)
        self.without: Float[np.ndarray, "head row column"] = np.zeros(shape, dtype=np.float32)

    def add(self, start: int, maps: Float[np.ndarray, "head target source"]) -> None:
        """Take the largest numbers of a slice of targets that begins at ``start``; signs are dropped."""
        self.add_rows(*self.rows(start, maps))

    def rows(self, start: int, maps: Float[np.ndarray, "head target source"]) -> tuple[slice, PooledRows]:
        """The cells of a slice of targets, and each source's largest number in them."""
        first, last = np.searchsorted(self._rows, (start, start + maps.shape[1] - 1), side="right") - 1
        bounds = np.clip(np.append(self._rows, self._targets)[first : last + 2] - start, 0, maps.shape[1])
        parts = [maps[:, top:end] for top, end in pairwise(bounds)]
        largest = [np.maximum(one.max(axis=1), -one.min(axis=1)) for one in parts]
        return slice(first, last + 1), np.stack(largest, axis=1)

    def add_rows(self, cells: slice, by_row: PooledRows) -> None:
        """Take what :meth:`rows` returns, of these maps or of maps times a factor of each source, at least zero."""
        for pooled, columns in ((self.whole, by_row), (self.without, by_row * self._kept)):
            largest = np.maximum.reduceat(columns, self._columns, axis=2)
            pooled[:, cells] = np.maximum(pooled[:, cells], largest)


def shaded(
    pooled: Float[np.ndarray, "head row column"],
) -> tuple[UInt8[np.ndarray, "head row column"], Float[np.ndarray, " head"]]:
    """Thumbnails in 255 steps from zero to the largest number of each head, and these numbers."""
    most: NDArray[np.float32] = pooled.max(axis=(1, 2), initial=0)
    steps = pooled / np.where(most > 0, most, 1)[:, None, None] * 255
    return np.nan_to_num(np.rint(steps)).astype(np.uint8), most
