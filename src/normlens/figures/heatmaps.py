"""Heat maps of one layer: the weights beside the norms."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from normlens.engine.tracing.scopes import SCOPES, TEXTS, Scope, norm_variable
from normlens.errors import InvalidInput
from normlens.figures.groups import require
from normlens.figures.style import (
    CATEGORY_COLORS,
    MEASURE_TITLES,
    color_bar,
    color_map,
    drawing_style,
    new_figure,
    readable,
    shortened,
)
from normlens.figures.wrapping import text_width

_OWN = " + x for j = i"
_MOST_LABELS = 64
_MOST_VECTOR_CELLS = 128 * 128
_LONGEST_LABEL = 14


def heat_maps(
    data: xr.Dataset,
    layer: int,
    head: int | None = None,
    *,
    scope: Scope = "attention",
    row_normalized: bool = False,
) -> Figure:
    """Draw the weights of one layer beside its norms, targets down and sources across.

    Parameters
    ----------
    data
        One group of an analysis, such as ``analysis["encoder"]``: `weight` ``(layer, head, target, source)``, the norm
        of the scope ``(layer, target, source)`` (with `head`: `vector_norm` ``(layer, head, source)``), and tokens.
    layer
        Layer number, as in ``data.layer``.
    head
        Head number: α beside ‖α f(x)‖ of this head. Default: the mean of α over heads beside ‖Σₕ α f(x)‖.
    scope
        How far the norm follows the contributions; for one head only ``"attention"``.
    row_normalized
        Divide each row by its sum: the colors then show shares of what a target receives. Default: each panel
        runs from zero to its own largest value.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels, "what the weights say" and "what attention moves" (or brings further, by scope); labels of special
        tokens are purple and slanted.

    Raises
    ------
    InvalidInput
        If the layer, head or scope isn't in the data.
    """
    panels = {
        "weight": weight_panel(data, layer, head),
        "norm": norm_panel(data, layer, head, scope),
    }
    if row_normalized:
        panels = {name: panel / panel.sum("source").where(lambda total: total > 0) for name, panel in panels.items()}
    targets, sources = data.sizes["target"], data.sizes["source"]
    side = float(np.clip(0.155 * max(targets, sources), 2.6, 6.2))
    size = float(np.clip(0.85 * 72 * side / max(targets, sources), 5.5, 8))
    labels = {name: _labels(data, name) for name in ("source", "target")}
    with drawing_style():
        left, below = (
            max(text_width(text, size) for text in labels[name].values()) / 72 for name in ("target", "source")
        )
        height = side * max(0.45, min(1.0, targets / sources))
        figure = new_figure(2 * side + left + 1.7, height + below + 1.2, square=True)
        for axes, (measure, panel) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
            mesh = _draw_panel(axes, panel.values, measure)
            _label_tokens(axes, data, labels, size, left=measure == "weight")
            axes.set_title(panel_title(measure, head, scope, "" if "own_residual" in data else _OWN), pad=8)
            color_bar(figure, mesh, axes)
        where = (
            f"layer {layer}" + ("" if head is None else f", head {head}") + (", shares of each row" * row_normalized)
        )
        figure.suptitle(where, fontsize=11, fontweight="bold")
    return figure


def _labels(data: xr.Dataset, dimension: str) -> dict[int, str]:
    """The labels along a dimension by position, thinned where they'd overlap."""
    require(data, f"{dimension}_token", f"{dimension}_category")
    tokens = data[f"{dimension}_token"].values
    step = max(1, -(-len(tokens) // _MOST_LABELS))
    return {place: shortened(readable(str(tokens[place])), _LONGEST_LABEL) for place in range(0, len(tokens), step)}


def _label_tokens(axes: Axes, data: xr.Dataset, labels: dict[str, dict[int, str]], size: float, *, left: bool) -> None:
    """Put the source tokens below and, if `left`, the target tokens beside a panel, `size` points high."""
    for dimension, axis in (("source", axes.xaxis), ("target", axes.yaxis)):
        shown = labels[dimension]
        ticks = axis.set_ticks([place + 0.5 for place in shown], list(shown.values()))
        special = data[f"{dimension}_category"].values.astype(str) == "special"
        for place, tick in zip(shown, ticks, strict=True):
            if special[place]:
                tick.label1.set(color=CATEGORY_COLORS["special"], fontstyle="italic")
    axes.tick_params(axis="x", labelrotation=90, labelsize=size, length=0, pad=2)
    axes.tick_params(axis="y", labelsize=size, length=0, pad=2, labelleft=left)
    axes.set_xlabel("source")
    if left:
        axes.set_ylabel("target")


def _draw_panel(axes: Axes, values: np.ndarray, measure: str) -> QuadMesh:
    largest = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values),
        cmap=color_map(measure),
        vmin=0.0,
        vmax=largest or 1.0,
        edgecolors="face",
        linewidth=0.2,
    )
    mesh.set_rasterized(values.size > _MOST_VECTOR_CELLS)
    axes.set_aspect("equal")
    axes.set_ylim(values.shape[0], 0)
    for spine in axes.spines.values():
        spine.set_visible(True)
    return mesh


def weight_panel(data: xr.Dataset, layer: int, head: int | None) -> xr.DataArray:
    """α of a layer, ``(target, source)``: of a head, or the mean over heads."""
    require(data, "weight")
    weight = _choose(data["weight"], "layer", layer)
    return weight.mean("head") if head is None else _choose(weight, "head", head)


def norm_panel(data: xr.Dataset, layer: int, head: int | None, scope: str) -> xr.DataArray:
    """Norms of a layer, ``(target, source)``: of a head, or of the sum over heads at a scope."""
    if head is not None:
        if scope != "attention":
            raise InvalidInput(
                f"One head's norm has scope 'attention', not '{scope}': what comes later belongs to all heads "
                "together. Leave out the head or the scope."
            )
        if "weighted_norm" in data:  # of words, where it isn't a product
            return _choose(_choose(data["weighted_norm"], "layer", layer), "head", head)
        require(data, "vector_norm")
        vector_norm = _choose(_choose(data["vector_norm"], "layer", layer), "head", head)
        return weight_panel(data, layer, head) * vector_norm
    variable = norm_variable(scope) if scope in SCOPES else None
    if variable is None or variable not in data:
        present = [name for name in SCOPES if norm_variable(name) in data]
        raise InvalidInput(
            f"No norm of scope '{scope}' here; this group has {', '.join(present) or 'none'}. Choose one."
        )
    return _choose(data[variable], "layer", layer)


def _choose(array: xr.DataArray, dimension: str, number: int) -> xr.DataArray:
    numbers = array[dimension].values.tolist()
    if number not in numbers:
        raise InvalidInput(f"There is no {dimension} {number}: expected one of {numbers}. Choose one of these.")
    return array.sel({dimension: number})


def panel_title(measure: str, head: int | None, scope: str, own: str) -> str:
    """What a panel shows, and its formula; `own` is the residual's part, unless that is no source of the map."""
    if measure == "weight":
        return MEASURE_TITLES["weight"] + "\n" + ("mean of α over heads" if head is None else "α")
    formula = TEXTS[scope].formula.format(own=own) if head is None else "‖α f(x)‖"
    return f"{TEXTS[scope].title}\n{formula}"
