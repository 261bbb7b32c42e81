"""Curves over the layers: shares of weight and norm by category, and mixing ratios by scope."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from normlens.engine.tracing.scopes import SCOPES
from normlens.errors import InvalidInput
from normlens.figures.panels import AxesLike, FigureSize, PanelAxes, drawing
from normlens.figures.style import CATEGORY_TITLES, MEASURE_COLORS
from normlens.figures.tidy_table import LayerCurve, layer_curves

_RATIOS = {"weight": "mixing_ratio_weight", "norm": "mixing_ratio"}
_MEASURE_MARKERS = {"weight": "o", "norm": "s"}
_SCOPE_LINES: dict[str, Any] = dict(zip(SCOPES, ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1))), strict=True))
_SCOPE_MARKERS: dict[str, str] = dict(zip(SCOPES, "os^Dvp", strict=True))


def share_curves(table: pd.DataFrame, *, ax: AxesLike | None = None, figsize: FigureSize | None = None) -> PanelAxes:
    """Draw, category by category, how much of the weight and of the norm its tokens receive in each layer.

    Parameters
    ----------
    table
        What `normlens.statistics.CorpusStatistics.table` returns, for a corpus or for one text: the quantities
        `weight_share` and `norm_share` (where the norm of the sum over heads wasn't measured: `weighted_norm_share`)
        per layer, between 0 and 1. Bounds `low` and `high` are drawn as bands.
    ax
        Axes to draw into, one per panel. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches. Default: by the number of panels.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        ``(panel,)``: one panel per category that receives anything, all from 0 to 100 %. Select rows of the table to draw
        fewer. The first token is counted separately: a [CLS] is in "first token" and in "special tokens".

    Raises
    ------
    InvalidInput
        If the table has no shares per layer, or `ax` doesn't have one axes per panel.
    """
    curves = {
        "weight": layer_curves(table, "weight_share"),
        "norm": layer_curves(table, "norm_share") or layer_curves(table, "weighted_norm_share"),
    }
    present = [
        category
        for category in CATEGORY_TITLES
        if any(category in shares and np.any(shares[category].value > 0) for shares in curves.values())
    ]
    if not present:
        raise InvalidInput(
            "The table has no shares per layer: expected rows with the quantity 'weight_share' or 'norm_share' and a "
            "layer. Pass what CorpusStatistics.table() returns."
        )
    with drawing(ax, present, (2.3 * len(present) + 0.6, 2.9), figsize, sharey=True) as panels:
        for axes, category in zip(panels.axes, present, strict=True):
            for measure, shares in curves.items():
                if category in shares:
                    _draw_curve(axes, shares[category], MEASURE_COLORS[measure], _MEASURE_MARKERS[measure])
            axes.set_title(CATEGORY_TITLES[category])
            _finish(axes)
            if panels.labels_left(axes):
                axes.set_ylabel("share of what targets receive")
        lines = [
            Line2D([], [], color=color, marker=_MEASURE_MARKERS[name], markersize=4, label=f"share of {name}")
            for name, color in MEASURE_COLORS.items()
        ]
        panels.legend(lines, loc="outside upper center", ncols=2)
    return panels.array


def mixing_ratios(table: pd.DataFrame, *, ax: Axes | None = None, figsize: FigureSize | None = None) -> Axes:
    """Draw the mixing ratio of each layer: how much of a position's new vector comes from other positions.

    Parameters
    ----------
    table
        What `normlens.statistics.CorpusStatistics.table` returns: the quantities `mixing_ratio` and, where present,
        `mixing_ratio_weight` per layer, their scopes as categories. Bounds `low` and `high` are drawn as bands.
    ax
        Axes to draw into. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes
        Color tells weight from norm; line and marker tell the scope.

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
    with drawing(ax, ["mixing ratios"], (6.2, 3.4), figsize) as panels:
        [axes] = panels.axes
        for measure, ratios in curves.items():
            for scope, curve in ratios.items():
                line = _draw_curve(axes, curve, MEASURE_COLORS[measure], _SCOPE_MARKERS.get(scope, "D"))
                line.set(linestyle=_SCOPE_LINES.get(scope, "-."), label=f"{scope}, by {measure}")
        axes.set_title("how much comes from other positions")
        axes.set_ylabel("mixing ratio")
        _finish(axes)
        panels.legend(loc="outside right center")
    return axes


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
