"""Heat maps of one layer: the weights beside the norms."""

import math
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from normlens.engine.tracing.scopes import SCOPES, TEXTS, Scope, norm_variable, share_variable
from normlens.errors import InvalidInput
from normlens.figures.colored_cells import draw_cells, frame_cells
from normlens.figures.groups import require
from normlens.figures.panels import (
    AxesLike,
    FigureSize,
    PanelAxes,
    Panels,
    chosen_panels,
    drawing,
    label_ticks,
    size_of,
)
from normlens.figures.style import (
    CATEGORY_COLORS,
    MEASURE_TITLES,
    ColorMap,
    color_bar,
    color_map,
    readable,
    shortened,
    signed_color_map,
)
from normlens.figures.wrapping import text_width

PanelName = Literal["weight", "norm", "displacement", "contribution_weight"]
_DEFAULT_PANELS: list[PanelName] = ["weight", "norm"]
_OWN = " + x for j = i"
_MOST_LABELS = 64
_SMALLEST, _LARGEST, _LINE_SPACING = 5.5, 8.0, 1.1  # letters of the labels, in points, and the distance of their lines
_MOST_VECTOR_CELLS = 128 * 128
_LONGEST_LABEL = 14


def heat_maps(
    data: xr.Dataset,
    layer: int,
    head: int | None = None,
    *,
    scope: Scope = "attention",
    row_normalized: bool = False,
    panel: PanelName | None = None,
    ax: AxesLike | None = None,
    figsize: FigureSize | None = None,
    cmap: ColorMap | None = None,
) -> PanelAxes:
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
    panel
        Draw this panel alone: "weight", "norm", or, where they were measured, "displacement" or "contribution_weight" (of a
        head: these of the head; without a head, the mean displacement over heads and the contribution weights of their sum
        at the scope). Default: "weight" and "norm".
    ax
        Axes to draw into, one per panel. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches. Default: what the tokens need.
    cmap
        Color map of all panels. Default: white to blue for weights, white to vermilion for norms.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        ``(panel,)``: "what the weights say" and "what attention moves" (or what later operations leave of it, by
        scope). Labels of special tokens are purple and slanted.

    Raises
    ------
    InvalidInput
        If the layer, head, scope or panel isn't in the data, or `ax` doesn't have one axes per panel.
    """
    drawn = {
        "weight": lambda: weight_panel(data, layer, head),
        "norm": lambda: norm_panel(data, layer, head, scope),
        "displacement": lambda: displacement_panel(data, layer, head),
        "contribution_weight": lambda: share_panel(data, layer, head, scope),
    }
    names = _DEFAULT_PANELS if panel is None else chosen_panels(panel, drawn)
    maps = {name: drawn[name]() for name in names}
    if row_normalized:
        maps = {name: values / values.sum("source").where(lambda total: total > 0) for name, values in maps.items()}
    with drawing(ax, names, _figure_size(data, len(names)), figsize, square=True, sharey=True) as panels:
        cell = _cell_size(data, panels, figsize)
        for axes, measure in zip(panels.axes, names, strict=True):
            mesh = _draw_panel(axes, maps[measure].values, measure, cmap)
            _label_tokens(axes, data, cell, left=panels.labels_left(axes))
            axes.set_title(panel_title(measure, head, scope, "" if "own_residual" in data else _OWN), pad=8)
            color_bar(mesh, axes)
        panels.heading(
            f"layer {layer}" + ("" if head is None else f", head {head}") + (", shares of each row" * row_normalized)
        )
    return panels.array


def _figure_size(data: xr.Dataset, count: int) -> FigureSize:
    """Width and height of a new figure for `count` panels, in inches."""
    targets, sources = data.sizes["target"], data.sizes["source"]
    side = _side(data)
    cell = 72 * side / max(targets, sources)
    size = _letter_size(cell)
    left, below = (
        max(text_width(text, size) for text in _labels(data, name, cell).values()) / 72 for name in ("target", "source")
    )
    return count * side + left + 0.5 + 0.6 * count, side * max(0.45, min(1.0, targets / sources)) + below + 1.2


def _side(data: xr.Dataset) -> float:
    """The longer side of a panel in a new figure, in inches."""
    return float(np.clip(0.155 * max(data.sizes["target"], data.sizes["source"]), 2.6, 6.2))


def _cell_size(data: xr.Dataset, panels: Panels, figsize: FigureSize | None) -> float:
    """The side of a cell, in points."""
    targets, sources = data.sizes["target"], data.sizes["source"]
    if panels.is_new and figsize is None:
        return 72 * _side(data) / max(targets, sources)
    width, height = size_of(panels.axes[0])
    return 72 * min(width / sources, height / targets)


def _letter_size(cell: float) -> float:
    return float(np.clip(0.85 * cell, _SMALLEST, _LARGEST))


def _labels(data: xr.Dataset, dimension: str, cell: float) -> dict[int, str]:
    """The labels along a dimension by position, thinned where they would overlap; `cell` is a cell's side in points."""
    require(data, f"{dimension}_token", f"{dimension}_category")
    tokens = data[f"{dimension}_token"].values
    step = max(math.ceil(len(tokens) / _MOST_LABELS), math.ceil(_SMALLEST * _LINE_SPACING / cell))
    return {
        position: shortened(readable(str(tokens[position])), _LONGEST_LABEL) for position in range(0, len(tokens), step)
    }


def _label_tokens(axes: Axes, data: xr.Dataset, cell: float, *, left: bool) -> None:
    """Put the source tokens below and, if `left`, the target tokens beside a panel; `cell` is a cell's side in points."""
    for dimension, axis in (("source", axes.xaxis), ("target", axes.yaxis)):
        shown = _labels(data, dimension, cell)
        texts = label_ticks(axis, [position + 0.5 for position in shown], list(shown.values()))
        special = data[f"{dimension}_category"].values.astype(str) == "special"
        for position, text in zip(shown, texts, strict=True):
            if special[position]:
                text.set(color=CATEGORY_COLORS["special"], fontstyle="italic")
    size = _letter_size(cell)
    axes.tick_params(axis="x", labelrotation=90, labelsize=size, length=0, pad=2)
    axes.tick_params(axis="y", labelsize=size, length=0, pad=2, labelleft=left)
    axes.set_xlabel("source")
    if left:
        axes.set_ylabel("target")


def _draw_panel(axes: Axes, values: np.ndarray, measure: str, cmap: ColorMap | None) -> QuadMesh:
    signed = measure == "contribution_weight"
    colors = signed_color_map(cmap) if signed else color_map(measure, cmap)
    mesh = draw_cells(axes, values, colors, signed=signed)
    mesh.set_rasterized(values.size > _MOST_VECTOR_CELLS)
    frame_cells(axes)
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


def displacement_panel(data: xr.Dataset, layer: int, head: int | None) -> xr.DataArray:
    """Displacement in a layer, ``(target, source)``: of a head, or the mean over heads."""
    require(data, "displacement")
    values = _choose(data["displacement"], "layer", layer)
    return values.mean("head") if head is None else _choose(values, "head", head)


def share_panel(data: xr.Dataset, layer: int, head: int | None, scope: str) -> xr.DataArray:
    """Contribution weights of a layer, ``(target, source)``: of a head, or of the sum over heads at a scope."""
    variable = share_variable(scope) if head is None else "contribution_weight"
    require(data, variable)
    values = _choose(data[variable], "layer", layer)
    return values if head is None else _choose(values, "head", head)


def _choose(array: xr.DataArray, dimension: str, number: int) -> xr.DataArray:
    numbers = array[dimension].values.tolist()
    if number not in numbers:
        raise InvalidInput(f"There is no {dimension} {number}: expected one of {numbers}. Choose one of these.")
    return array.sel({dimension: number})


def panel_title(measure: str, head: int | None, scope: str, own: str) -> str:
    """Caption and formula of a panel; `own` is the term of the residual, unless the residual is not a source of the map."""
    if measure == "weight":
        return MEASURE_TITLES["weight"] + "\n" + ("mean of α over heads" if head is None else "α")
    if measure == "displacement":
        return MEASURE_TITLES[measure] + "\n" + ("mean of α‖f(x) − o‖ over heads" if head is None else "α‖f(x) − o‖")
    if measure == "contribution_weight":
        return MEASURE_TITLES[measure] + "\n" + ("⟨c, Σc⟩ / ‖Σc‖²" if head is None else "⟨α f(x), o⟩ / ‖o‖²")
    formula = TEXTS[scope].formula.format(own=own) if head is None else "‖α f(x)‖"
    return f"{TEXTS[scope].title}\n{formula}"
