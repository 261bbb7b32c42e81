"""The heads of a model as points: what the weights say across, what the norms say up."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from normlens.errors import InvalidInput
from normlens.figures.panels import FigureSize, drawing
from normlens.figures.style import FAINT, INK, ColorMap, checked_color_map, color_bar

Sources = Literal["first_token", "special"]
"""Sources that often receive much weight, and from which little is moved."""

_TITLES = {"first_token": "the first token", "special": "special tokens"}
_COLORS = "viridis"
_LARGEST, _SMALLEST = 90.0, 8.0  # areas of the points, in square points


def head_scatter(
    table: pd.DataFrame,
    sources: Sources = "first_token",
    *,
    ax: Axes | None = None,
    figsize: FigureSize | None = None,
    cmap: ColorMap | None = None,
) -> Axes:
    """Draw one point for each head: the share of α that some sources receive across, their share of ‖α f(x)‖ up.

    On the diagonal, weights tell what is moved. A head far below it looks at these sources and moves little from them.

    Parameters
    ----------
    table
        From :meth:`HeadStatistics.table`.
    sources
        "first_token" or "special".
    ax
        Axes to draw into. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches.
    cmap
        Color map of the layers.

    Returns
    -------
    matplotlib.axes.Axes
        Color shows the layer, and area the length of the head's output relative to its layer.

    Raises
    ------
    InvalidInput
        If the table has no such shares, which is so for special tokens in texts without any.
    """
    points = _points(table, sources)
    with drawing(ax, ["heads"], (5.6, 4.4), figsize) as panels:
        [axes] = panels.axes
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, zorder=0)
        axes.annotate(
            "weights tell the truth", (0.3, 0.3), xytext=(-3, 3), textcoords="offset points", rotation=45,
            rotation_mode="anchor", transform_rotates_text=True, color=FAINT, fontsize=7.5,
        )  # fmt: skip
        axes.annotate(
            "the larger the point, the longer the head's output", (0, 1.0), va="top", color=FAINT, fontsize=7.5
        )
        size = np.clip(points["output"] / 2, 0, 1).fillna(0)
        drawn = axes.scatter(
            points["weight"], points["norm"], c=points["layer"].astype(int),
            s=_SMALLEST + (_LARGEST - _SMALLEST) * size, cmap=checked_color_map(cmap or _COLORS), alpha=0.8,
            edgecolors="white", linewidths=0.4,
        )  # fmt: skip
        bar = color_bar(drawn, axes)
        bar.set_label("layer")
        title = _TITLES[sources]
        axes.set_xlabel(f"weight on {title}, share of α")
        axes.set_ylabel(f"moved from {title}, share of ‖α f(x)‖")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_aspect("equal")
        axes.tick_params(colors=INK)
    return axes


def _points(table: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Weight, norm and relative output of each head."""
    if sources not in _TITLES:
        raise InvalidInput(f"sources is {sources!r}; expected one of {', '.join(_TITLES)}.")
    names = {f"{sources}_weight": "weight", f"{sources}_norm": "norm", "relative_output_norm": "output"}
    of_heads = table[table["head"].notna() & table["quantity"].isin(names)]
    missing = sorted(set(names) - set(of_heads["quantity"]))
    if missing:
        raise InvalidInput(
            f"The table has no {', '.join(missing)} of heads. Expected that of HeadStatistics.table, from texts with such "
            "tokens."
        )
    wide = of_heads.pivot_table(index=["layer", "head"], columns="quantity", values="value").rename(columns=names)
    return wide.reset_index()
