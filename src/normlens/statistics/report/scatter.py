"""The attention weight against the norm of the vector that it multiplies, one point per source or token."""

import math

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from normlens.errors import InvalidInput
from normlens.figures.groups import require
from normlens.figures.panels import FigureSize, drawing
from normlens.figures.style import CATEGORY_COLORS, CATEGORY_MARKERS, CATEGORY_TITLES
from normlens.statistics import mean_over_seeing_targets, rank_correlation
from normlens.words import SOURCE_CATEGORIES, sources_by_category

_MOST_VECTOR_POINTS = 20_000


def alpha_against_norm(
    data: xr.Dataset,
    layer: int | None = None,
    head: int | None = None,
    *,
    ax: Axes | None = None,
    figsize: FigureSize | None = None,
) -> Axes:
    """Draw each source's mean α against its ‖f(x)‖, one point per layer, head and source.

    α is averaged over the targets that can see the source, so that a causal mask doesn't count against late tokens.
    Both axes are logarithmic; Spearman's rank correlation over all points drawn is in the title.

    Parameters
    ----------
    data
        One group of an analysis: `weight` ``(layer, head, target, source)``, `vector_norm` ``(layer, head, source)``
        and `source_category` ``(source,)``.
    layer, head
        Only this layer, only this head. Default: all.
    ax
        Axes to draw into. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes
        Color and marker show the category of the source.

    Raises
    ------
    InvalidInput
        If the layer or head isn't in the data, or no point is left to draw.

    References
    ----------
    Kobayashi et al. 2020, "Attention is Not Only a Weight", section 4: the two cancel each other on special tokens.
    """
    require(data, "weight", "vector_norm")
    chosen = {name: [number] for name, number in (("layer", layer), ("head", head)) if number is not None}
    for name, (number,) in chosen.items():
        if number not in data[name].values:
            raise InvalidInput(
                f"There is no {name} {number}: expected one of {data[name].values.tolist()}. Choose one."
            )
    selected = data.sel(chosen)
    alpha = mean_over_seeing_targets(selected["weight"].transpose("layer", "head", "target", "source").values)
    norm = selected["vector_norm"].transpose("layer", "head", "source").values
    members = sources_by_category(
        selected["source_category"]
    )  # a point has one color: a special first token is special
    category = np.broadcast_to(np.select(list(members.values()), list(members), "other"), alpha.shape)
    drawable = np.isfinite(alpha) & np.isfinite(norm) & (alpha > 0) & (norm > 0)
    if not drawable.any():
        raise InvalidInput("No source has both a positive weight and a positive ‖f(x)‖. Choose another layer or head.")
    with drawing(ax, ["α against ‖f(x)‖"], (5.4, 4.0), figsize) as panels:
        [axes] = panels.axes
        where = ", ".join(f"{name} {number}" for name, (number,) in chosen.items()) or "all layers and heads"
        _scatter(axes, norm[drawable], alpha[drawable], category[drawable], where)
        panels.legend(loc="outside right upper", markerscale=2)
    return axes


def token_scatter(tokens: pd.DataFrame, *, ax: Axes | None = None, figsize: FigureSize | None = None) -> Axes:
    """Draw the mean α of tokens against their mean ‖f(x)‖, one point per token of a corpus.

    Both axes are logarithmic; Spearman's rank correlation over all points drawn is in the title.

    Parameters
    ----------
    tokens
        Columns ``weight`` and ``vector_norm`` (means over layers and heads) and ``special`` (whether it is a special token).
    ax
        Axes to draw into. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidInput
        If no token has both a positive weight and a positive norm.
    """
    drawn = tokens[(tokens["weight"] > 0) & (tokens["vector_norm"] > 0)]
    if drawn.empty:
        raise InvalidInput(f"None of the {len(tokens)} tokens has both a positive weight and a positive ‖f(x)‖.")
    category = np.where(drawn["special"], "special", "other")
    with drawing(ax, ["α against ‖f(x)‖"], (5.4, 4.0), figsize) as panels:
        [axes] = panels.axes
        _scatter(axes, drawn["vector_norm"].to_numpy(), drawn["weight"].to_numpy(), category, f"{len(drawn):,} tokens")
        panels.legend(loc="outside right upper", markerscale=2)
    return axes


def _scatter(axes: Axes, norm: np.ndarray, alpha: np.ndarray, category: np.ndarray, what: str) -> None:
    """Draw points, with their rank correlation in the title."""
    correlation = float(rank_correlation(norm, alpha))
    rho = f"{correlation:.2f}".replace("-", "−") if np.isfinite(correlation) else "undefined"
    axes.set_title(f"{what}: Spearman's ρ = {rho}")
    # the largest category first, so that the few special tokens lie on top
    for name in sorted(SOURCE_CATEGORIES, key=lambda name: -int((category == name).sum())):
        mine = category == name
        if mine.any():
            points = axes.scatter(
                norm[mine],
                alpha[mine],
                s=9,
                marker=CATEGORY_MARKERS[name],
                color=CATEGORY_COLORS[name],
                alpha=0.65,
                linewidths=0,
                label=CATEGORY_TITLES[name],
            )
            points.set_rasterized(norm.size > _MOST_VECTOR_POINTS)
    axes.set(xscale="log", yscale="log", xlabel="‖f(x)‖, length of the vector", ylabel="α, mean weight it receives")
    for axis in (axes.xaxis, axes.yaxis):  # without the mathematics of matplotlib's own labels, which text here isn't
        axis.set_major_formatter(FuncFormatter(_label))
        axis.set_minor_formatter(FuncFormatter(_label))


def _label(value: float, _: int) -> str:
    """One, two and five times a power of ten."""
    exponent = math.floor(math.log10(value) + 1e-9)
    return f"{value:g}" if round(value / 10**exponent) in (1, 2, 5) else ""
