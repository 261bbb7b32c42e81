"""The result of one text in a run: rows of a table, and numbers for the statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import xarray as xr

from normlens.statistics.collection import Numbers

Skips = Callable[[int, str], object]
"""Takes the place of a text in its batch, and why it can't be computed."""


@dataclass
class TextNumbers:
    """The numbers of one text for one kind of attention.

    Attributes
    ----------
    layers, heads
        Layer and head numbers; empty for numbers that have none.
    numbers
        By quantity and category.
    conservation_error
        The largest; NaN if it wasn't measured.
    data
        The analysis, for the totals of token types; None if there is none.
    """

    layers: list[int]
    heads: list[int]
    numbers: Numbers
    conservation_error: float
    data: xr.Dataset | None = None


@dataclass
class TextResult:
    """The result of one text.

    Attributes
    ----------
    rows
        Rows of the table, as columns of one length.
    numbers
        By kind of attention; "attribution" for an attribution.
    tokens
        Number of its tokens.
    truncated
        Whether it was cut to the model's length.
    """

    rows: Mapping[str, Sequence[Any] | np.ndarray]
    numbers: Mapping[str, TextNumbers] = field(default_factory=dict)
    tokens: int = 0
    truncated: bool = False


def joined_columns(pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of several pieces, one below the other; a column that a piece lacks is null there."""
    if len(pieces) == 1:
        return dict(pieces[0])
    lengths = [len(next(iter(piece.values()))) for piece in pieces]
    joined: dict[str, Any] = {}
    for name in dict.fromkeys(name for piece in pieces for name in piece):
        own = [piece.get(name) for piece in pieces]
        if all(isinstance(column, np.ndarray) and column.dtype != object for column in own):
            joined[name] = np.concatenate(cast("list[np.ndarray]", own))
            continue
        values: list[Any] = []
        for column, length in zip(own, lengths, strict=True):
            present: Any = [None] * length if column is None else column
            values += present.tolist() if isinstance(present, np.ndarray) else list(present)
        joined[name] = values
    return joined
