"""The figures of the findings: curves over layers, and estimates with published values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from normlens.figures.style import NORM_COLOR, WEIGHT_COLOR, drawing_style, new_figure
from normlens.figures.tidy_table import LayerCurve
from normlens.statistics.report.estimates import Estimate

COLORS = {"weight": WEIGHT_COLOR, "norm": NORM_COLOR, "other": "#8C8C8C"}
MODEL_COLORS = ("#009E73", "#AA3377", "#E69F00", "#56B4E9")


@dataclass(frozen=True)
class Line:
    """One curve of a panel.

    Attributes
    ----------
    label
        Label in the legend.
    curve
        Its numbers.
    color
        A key of `COLORS`.
    dashed
        Whether the line is dashed.
    """

    label: str
    curve: LayerCurve
    color: str
    dashed: bool = False


def layer_panels(rows: Mapping[str, Mapping[str, Sequence[Line]]], ylabel: str, *, percent: bool = False) -> Figure:
    """Draw curves over layers, a row of panels for each model.

    Parameters
    ----------
    rows
        Model to title of a panel to its curves.
    ylabel
        Label of the vertical axis.
    percent
        Whether numbers are shares, drawn from 0 to 100 %.
    """
    widest = max(len(panels) for panels in rows.values())
    legend: dict[str, Line2D] = {}
    with drawing_style():
        figure = new_figure(2.5 * widest + 0.6, 2.3 * len(rows) + 0.5)
        grid = figure.subplots(len(rows), widest, squeeze=False, sharey="all" if percent else "col")
        for axes_row, (model, panels) in zip(grid, rows.items(), strict=True):
            for axes, (title, lines) in zip(axes_row, panels.items(), strict=False):
                for line in lines:
                    legend.setdefault(line.label, _draw_line(axes, line))
                axes.set_title(f"{model}\n{title}", fontsize=9)
                _finish_layers(axes, percent)
            for axes in axes_row[len(panels) :]:
                axes.set_visible(False)
            axes_row[0].set_ylabel(ylabel)
        figure.legend(list(legend.values()), list(legend), loc="outside upper center", ncols=min(4, len(legend)))
    return figure


def estimates_beside_published(
    quantities: Sequence[str],
    ours: Mapping[str, Mapping[str, Estimate]],
    theirs: Mapping[str, Mapping[str, float]],
    xlabel: str,
) -> Figure:
    """Draw one row per quantity: our estimates with their intervals, published values as hollow diamonds.

    Parameters
    ----------
    quantities
        Names of the rows, from the top.
    ours
        Model to quantity to estimate.
    theirs
        Model to quantity to published value.
    xlabel
        Label of the horizontal axis.
    """
    everyone = len(ours) + len(theirs)
    with drawing_style():
        figure = new_figure(6.4, 0.5 * len(quantities) + 1.4)
        axes = figure.subplots()
        for number, (model, estimates) in enumerate(ours.items()):
            places = [k for k, name in enumerate(quantities) if name in estimates]
            chosen = [estimates[quantities[k]] for k in places]
            color = MODEL_COLORS[number % len(MODEL_COLORS)]
            _draw_estimates(axes, chosen, _beside(places, number, everyone), f"{model} (ours)", color)
        for number, (model, published) in enumerate(theirs.items(), start=len(ours)):
            places = [k for k, name in enumerate(quantities) if name in published]
            values = [published[quantities[k]] for k in places]
            _draw_published(axes, values, _beside(places, number, everyone), f"{model} (published)", number - len(ours))
        axes.set_yticks(range(len(quantities)), list(quantities))
        axes.set_ylim(len(quantities) - 0.5, -0.5)
        axes.set_xlabel(xlabel)
        axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
        axes.axvline(0, color="#9A9A9A", linewidth=0.8)
        figure.legend(loc="outside upper center", ncols=2)
    return figure


def _beside(places: Sequence[int], number: int, everyone: int) -> np.ndarray:
    """Heights of one model's markers: a little apart from the others'."""
    return np.array(places) + 0.16 * (number - (everyone - 1) / 2)


def _draw_estimates(axes: Axes, estimates: Sequence[Estimate], heights: np.ndarray, label: str, color: str) -> None:
    value = np.array([estimate.value for estimate in estimates])
    low, high = (np.array([getattr(estimate, end) for estimate in estimates]) for end in ("low", "high"))
    reach = np.nan_to_num(np.maximum([value - low, high - value], 0))
    axes.errorbar(value, heights, xerr=reach, fmt="o", markersize=5, capsize=2, color=color, label=label)


def _draw_published(axes: Axes, values: Sequence[float], heights: np.ndarray, label: str, number: int) -> None:
    shade = ("#222222", "#8C8C8C")[number % 2]
    axes.plot(values, heights, "D", markersize=5, fillstyle="none", color=shade, label=label)


def _draw_line(axes: Axes, line: Line) -> Line2D:
    curve, color = line.curve, COLORS[line.color]
    if np.isfinite(curve.low).any():
        axes.fill_between(curve.layer, curve.low, curve.high, color=color, alpha=0.2, linewidth=0)
    [drawn] = axes.plot(
        curve.layer, curve.value, color=color, linestyle="--" if line.dashed else "-", marker="o", markersize=3
    )
    return drawn


def _finish_layers(axes: Axes, percent: bool) -> None:
    if percent:
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        axes.axhline(0, color="#9A9A9A", linewidth=0.8)
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
