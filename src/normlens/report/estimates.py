"""Numbers of the tidy table, found by name, and how a person reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
import xarray as xr

from normlens.statistics import ALL

Place = tuple[str, str, int | None, int | None]

_CATEGORIES = ("special", "first token", "punctuation", "other")
_HEAD_TITLES = {
    "vector_norm_variation": "variation of the vector norm ‖f(x)‖ (SD / mean)",
    "correlation_weight_vector_norm": "Spearman's ρ of α with ‖f(x)‖",
    "correlation_weight_frequency": "Spearman's ρ of α with frequency rank",
    "correlation_vector_norm_frequency": "Spearman's ρ of the vector norm ‖f(x)‖ with frequency rank",
}


@dataclass(frozen=True)
class Estimate:
    """A mean over texts with its interval.

    Attributes
    ----------
    value, low, high
        The mean and the ends of its interval; the ends are NaN where no interval is defined.
    n_texts
        How many texts have the number.
    """

    value: float
    low: float
    high: float
    n_texts: int

    def percent(self) -> str:
        """Write as a percentage, such as ``38 % (36–41)``, with a decimal where the interval is that narrow."""
        decimals = 1 if abs(self.value) < 0.0995 or 0 < self.high - self.low < 0.02 else 0
        shown = f"{100 * self.value:.{decimals}f} %"
        if math.isnan(self.low):
            return shown
        return f"{shown} ({100 * self.low:.{decimals}f}–{100 * self.high:.{decimals}f})"

    def number(self) -> str:
        """Write as a number, such as ``−0.42 (−0.45 to −0.39)``."""
        shown = f"{self.value:.2f}" if math.isnan(self.low) else f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"
        return shown.replace("-", "−")


class Estimates:
    """Every number of one attention kind, found by quantity, category and layer.

    Parameters
    ----------
    table
        The tidy table of `normlens.statistics.CorpusStatistics`.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        places = table[["quantity", "category", "layer", "head"]].astype(object)
        places = places.where(places.notna(), None)
        numbers = table[["value", "low", "high", "n_texts"]]
        self._found: dict[Place, Estimate] = {
            (str(quantity), str(category), layer, head): Estimate(float(value), float(low), float(high), int(count))
            for (quantity, category, layer, head), (value, low, high, count) in zip(
                places.itertuples(index=False, name=None), numbers.itertuples(index=False, name=None), strict=True
            )
        }
        self.layers = sorted({int(layer) for _, _, layer, _ in self._found if layer is not None})

    def get(self, quantity: str, category: str = ALL, layer: int | None = None) -> Estimate | None:
        """Look up a number.

        Parameters
        ----------
        quantity, category
            As in the table.
        layer
            Layer number. Default: the mean over layers.

        Returns
        -------
        Estimate or None
            The mean over heads; None if the table doesn't have it.
        """
        return self._found.get((quantity, category, layer, None))

    def categories(self, quantity: str) -> list[str]:
        """List the categories, or scopes, that a quantity is told apart by.

        Parameters
        ----------
        quantity
            As in the table.

        Returns
        -------
        list of str
            In the order of the table.
        """
        return list(dict.fromkeys(category for name, category, _, _ in self._found if name == quantity))

    @property
    def norm_share(self) -> str:
        """The name of the norm's share by layer: of the norm of the sum over heads, where it was measured."""
        return "norm_share" if self.categories("norm_share") else "weighted_norm_share"


def figure_data(table: pd.DataFrame) -> xr.Dataset:
    """Arrange the tidy table as `normlens.figures.report_figures` draws it.

    Parameters
    ----------
    table
        The tidy table of `normlens.statistics.CorpusStatistics`.

    Returns
    -------
    xarray.Dataset
        `share` (measure, category, layer), `head_share` (measure, category, layer, head), `mixing_ratio` and
        `mixing_ratio_weight` (scope, layer), each but the second with its interval, and one (layer, head) variable for
        each further number that heads have. Categories without a token in any text are NaN.
    """
    norm = Estimates(table).norm_share
    shares = {"weight_share": "weight", norm: "norm"}
    head_shares = {"weight_share": "weight", "weighted_norm_share": "norm"}
    by_layer, by_head = table[table.layer.notna() & table["head"].isna()], table[table["head"].notna()]
    data = xr.Dataset()
    data["share"], data["share_interval"] = _arranged(by_layer, shares)
    data["head_share"], _ = _arranged(by_head, head_shares)
    for name in ("mixing_ratio", "mixing_ratio_weight"):
        rows = by_layer[by_layer.quantity == name]
        if len(rows):
            data[name], data[f"{name}_interval"] = _labelled(rows.rename(columns={"category": "scope"}), ["scope"])
    for name, title in _HEAD_TITLES.items():
        rows = by_head[(by_head.quantity == name) & (by_head.category == ALL)]
        if len(rows):
            data[name] = _labelled(rows, ["head"])[0].transpose("layer", "head").assign_attrs(long_name=title)
    return data


def _arranged(rows: pd.DataFrame, measures: dict[str, str]) -> tuple[xr.DataArray, xr.DataArray]:
    """Shares and their intervals by measure and category, without the categories that no text has."""
    chosen = rows[rows.quantity.isin(list(measures)) & rows.category.isin(_CATEGORIES)]
    chosen = chosen.assign(measure=chosen.quantity.map(measures))
    heads = ["head"] if chosen["head"].notna().any() else []
    shares, intervals = _labelled(chosen, ["measure", "category", *heads])
    present = (shares != 0).any([name for name in shares.dims if name != "category"])
    order = {"measure": ["weight", "norm"], "category": list(_CATEGORIES)}
    return shares.where(present).reindex(order), intervals.where(present).reindex(order)


def _labelled(rows: pd.DataFrame, names: list[str]) -> tuple[xr.DataArray, xr.DataArray]:
    """Values ``(*names, layer)`` and intervals ``(bound, *names, layer)`` of rows of the table."""
    whole = {name: int for name in ("layer", "head") if name in ["layer", *names]}
    columns = rows.astype(whole).set_index([*names, "layer"])[["value", "low", "high"]].to_xarray()
    bounds = xr.concat([columns["low"], columns["high"]], dim="bound", coords="minimal")
    return columns["value"], bounds.assign_coords(bound=["low", "high"])
