"""Read one quantity from the tidy table of `normlens.statistics`, by layer or by layer and head."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from normlens.errors import InvalidInput

_NEEDED = ("quantity", "category", "layer", "head", "value", "low", "high")


@dataclass(frozen=True)
class LayerCurve:
    """One number per layer with its interval; all arrays are ``(layer,)``, bounds are NaN where there is no interval."""

    layer: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def layer_curves(table: pd.DataFrame, quantity: str) -> dict[str, LayerCurve]:
    """Return the curve of each category of a quantity, in the order of the table; empty without such a quantity.

    Raises
    ------
    InvalidInput
        If the table lacks a column.
    """
    rows = _rows(table, quantity)
    rows = rows[rows["head"].isna() & rows["layer"].notna() & rows["value"].notna()]
    curves = {}
    for category in rows["category"].unique().tolist():
        of_category = rows[rows["category"] == category].sort_values("layer")
        numbers = [of_category[column].to_numpy(dtype=np.float64) for column in ("layer", "value", "low", "high")]
        curves[str(category)] = LayerCurve(*numbers)
    return curves


def head_grids(table: pd.DataFrame, quantity: str) -> dict[str, xr.DataArray]:
    """Return a grid ``(layer, head)`` for each category of a quantity, NaN where a head is missing.

    Raises
    ------
    InvalidInput
        If the table lacks a column.
    """
    rows = _rows(table, quantity)
    rows = rows[rows["head"].notna() & rows["layer"].notna()]
    grids = {}
    for category in rows["category"].unique().tolist():
        grid = rows[rows["category"] == category].pivot(index="layer", columns="head", values="value")
        coordinates = {"layer": grid.index.to_numpy(dtype=int), "head": grid.columns.to_numpy(dtype=int)}
        grids[str(category)] = xr.DataArray(grid.to_numpy(dtype=np.float64), coordinates, ("layer", "head"))
    return grids


def _rows(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise InvalidInput(
            f"The table has the columns {', '.join(map(str, table.columns))}; {', '.join(missing)} is missing. "
            "Pass the result of CorpusStatistics.table()."
        )
    return table[table["quantity"] == quantity]
