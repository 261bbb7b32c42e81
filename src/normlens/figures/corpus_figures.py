"""The figures of a corpus report, from the report's table."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from normlens.errors import InvalidInput
from normlens.figures.layers import mixing_ratios, share_curves
from normlens.figures.overview import head_overview
from normlens.figures.panels import AxesLike, figure_of
from normlens.figures.style import CATEGORY_TITLES, kept_from_the_screen
from normlens.figures.tidy_table import head_grids, layer_curves

_ALL = "all"
_HEAD_SHARES = {"share of weight": "weight_share", "share of norm": "weighted_norm_share"}
_TITLES = {
    "vector_norm": "mean of ‖f(x)‖",
    "vector_norm_variation": "dispersion of ‖f(x)‖ (SD / mean)",
    "correlation_weight_vector_norm": "α with ‖f(x)‖ (Spearman's ρ)",
    "correlation_weight_frequency": "α with frequency rank (Spearman's ρ)",
    "correlation_vector_norm_frequency": "‖f(x)‖ with frequency rank (Spearman's ρ)",
}


def report_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """Draw everything in a corpus's table that has a picture, each in a figure of its own.

    The figures are meant for files: an interactive session doesn't show them.

    Parameters
    ----------
    table
        What `normlens.statistics.CorpusStatistics.table` returns: one row per quantity, category, layer and head with
        `value`, `low` and `high`.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        In the order of reading, under names fit for files: ``share`` (curves with bands), ``head_share_special`` and
        so on (heads by weight beside norm), ``mixing_ratio``, and an overview of the heads under the name of each
        other quantity by head. Quantities that the table lacks are left out.

    Raises
    ------
    InvalidInput
        If the table lacks a column, or has nothing to draw.
    """
    with kept_from_the_screen():
        drawn = _drawn(table)
    if not drawn:
        raise InvalidInput(
            f"The table's {len(table)} rows have nothing to draw: expected shares, mixing ratios or numbers "
            "by layer and head. Pass what CorpusStatistics.table() returns."
        )
    return {name: figure_of(axes) for name, axes in drawn.items()}


def _drawn(table: pd.DataFrame) -> dict[str, AxesLike]:
    """The axes of each figure, by its name."""
    drawn: dict[str, AxesLike] = {}
    if layer_curves(table, "weight_share") or layer_curves(table, "norm_share"):
        drawn["share"] = share_curves(table)
    drawn |= _head_shares(table)
    if layer_curves(table, "mixing_ratio"):
        drawn["mixing_ratio"] = mixing_ratios(table)
    for quantity in table["quantity"].unique().tolist():
        grid = head_grids(table, quantity).get(_ALL)
        if grid is not None and grid.notnull().any():
            title = _TITLES.get(quantity, quantity.replace("_", " "))
            drawn[quantity] = head_overview({title: grid}, "")
    return drawn


def _head_shares(table: pd.DataFrame) -> dict[str, AxesLike]:
    by_title = {title: head_grids(table, quantity) for title, quantity in _HEAD_SHARES.items()}
    drawn: dict[str, AxesLike] = {}
    for category, what in CATEGORY_TITLES.items():
        grids = {title: shares[category] for title, shares in by_title.items() if category in shares}
        if any(np.nanmax(grid.values, initial=0.0) > 0 for grid in grids.values()):
            name = f"head_share_{category.replace(' ', '_')}"
            drawn[name] = head_overview(grids, f"share going to {what}", percent=True)
    return drawn
