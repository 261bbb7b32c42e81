"""Curves over the layers: shares of weight and norm by category, and mixing ratios by scope."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from normlens.engine.tracing.scopes import SCOPES
from normlens.errors import InvalidInput
from normlens.figures.style import CATEGORY_TITLES, MEASURE_COLORS, drawing_style, new_figure
from normlens.figures.tidy_table import LayerCurve, layer_curves

_RATIOS = {"weight": "mixing_ratio_weight", "norm": "mixing_ratio"}
_MEASURE_MARKERS = {"weight": "o", "norm": "s"}
_SCOPE_LINES: dict[str, Any] = dict(zip(SCOPES, ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1))), strict=True))
_SCOPE_MARKERS: dict[str, str] = dict(zip(SCOPES, "os^Dvp", strict=True))


def share_curves(table: pd.DataFrame) -> Figure:
    """Draw, category by category, how much of the weight and of the norm its tokens receive in each layer.

    Parameters
    ----------
    table
        What `normlens.statistics.CorpusStatistics.table` returns, for a corpus or for one text: the quantities
        `weight_share` and `norm_share` (where the norm of the sum over heads wasn't measured: `weighted_norm_share`)
        per layer, between 0 and 1. Bounds `low` and `high` are drawn as bands.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per category that receives anything, all on the same scale. "first token" is asked about on its own:
        a [CLS] counts there and among the special tokens.

    Raises
    ------
    InvalidInput
        If the table has no shares per layer.
    """
    curves = {
        "weight": layer_curves(table, "weight_share"),
        "norm": layer_curves(table, "norm_share") or layer_curves(table, "weighted_norm_share"),
    }
    present = [
        category
        for category in CATEGORY_TITLES
        if any(category in found and np.any(found[category].value > 0) for found in curves.values())
    ]
    if not present:
        raise InvalidInput(
            "The table has no shares per layer: expected rows with the quantity 'weight_share' or 'norm_share' and a "
            "layer. Pass what CorpusStatistics.table() returns."
        )
    with drawing_style():
        figure = new_figure(2.3 * len(present) + 0.6, 2.9)
        panels = figure.subplots(1, len(present), sharey=True, squeeze=False)[0]
        for axes, category in zip(panels, present, strict=True):
            for measure, found in curves.items():
                if category in found:
                    _draw_curve(axes, found[category], MEASURE_COLORS[measure], _MEASURE_MARKERS[measure])
            axes.set_title(CATEGORY_TITLES[category])
            _finish(axes)
        panels[0].set_ylabel("share of what targets receive")
        lines = [
            Line2D([], [], color=color, marker=_MEASURE_MARKERS[name], markersize=4, label=f"share of {name}")
            for name, color in MEASURE_COLORS.items()
        ]
        figure.legend(handles=lines, loc="outside upper center", ncols=2)
    return figure


def mixing_ratios(table: pd.DataFrame) -> Figure:
    """Draw the mixing ratio of each layer: how much of a position's new vector comes from other positions.

    Parameters
    ----------
    table
        What `normlens.statistics.CorpusStatistics.table` returns: the quantities `mixing_ratio` and, where present,
        `mixing_ratio_weight` per layer, their scopes as categories. Bounds `low` and `high` are drawn as bands.

    Returns
    -------
    matplotlib.figure.Figure
        One panel; color tells weight from norm, line and marker tell the scope.

    Raises
    ------
    InvalidInput
        If the table has no mixing ratios.

    References
    ----------
    Kobayashi et al. 2021, "Incorporating Residual and Normalization Layers into Analysis of Masked Language Models".
    """
    curves = {measure: layer_curves(table, quantity) for measure, quantity in _RATIOS.items()}
    if not any(curves.values()):
        raise InvalidInput(
            "The table has no mixing ratios: expected rows with the quantity 'mixing_ratio' and a layer. "
            "Pass what CorpusStatistics.table() returns."
        )
    with drawing_style():
        figure = new_figure(6.2, 3.4)
        axes = figure.subplots()
        for measure, found in curves.items():
            for scope, curve in found.items():
                line = _draw_curve(axes, curve, MEASURE_COLORS[measure], _SCOPE_MARKERS.get(scope, "D"))
                line.set(linestyle=_SCOPE_LINES.get(scope, "-."), label=f"{scope}, by {measure}")
        axes.set_title("how much comes from other positions")
        axes.set_ylabel("mixing ratio")
        _finish(axes)
        figure.legend(loc="outside right center")
    return figure


def _draw_curve(axes: Axes, curve: LayerCurve, color: str, marker: str) -> Line2D:
    if np.isfinite(curve.low).any():
        axes.fill_between(curve.layer, curve.low, curve.high, color=color, alpha=0.2, linewidth=0)
    [line] = axes.plot(curve.layer, curve.value, color=color, marker=marker, markersize=3.5, linewidth=1.4)
    return line


def _finish(axes: Axes) -> None:
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
