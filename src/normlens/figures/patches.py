"""What one position takes from the patches of an image, drawn over the picture: the weights beside the norms."""

import re
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap
from numpy.typing import ArrayLike, NDArray

from normlens.engine.tracing.scopes import Scope
from normlens.errors import InvalidInput
from normlens.figures.colored_cells import draw_cells
from normlens.figures.groups import require
from normlens.figures.heatmaps import norm_panel, panel_title, weight_panel
from normlens.figures.panels import AxesLike, FigureSize, PanelAxes, chosen_panels, drawing
from normlens.figures.style import ColorMap, color_bar, color_map, readable

_LABEL = re.compile(r"(?:image (?:(\d+): )?)?(\d+),(\d+)")
_SIDE = 3.2
_MOST_TICKS = 12


def patch_maps(
    data: xr.Dataset,
    layer: int,
    target: int,
    head: int | None = None,
    *,
    scope: Scope = "attention",
    picture: ArrayLike | None = None,
    image: int = 1,
    panel: Literal["weight", "norm"] | None = None,
    ax: AxesLike | None = None,
    figsize: FigureSize | None = None,
    cmap: ColorMap | None = None,
) -> PanelAxes:
    """Draw what a target takes from each patch of an image over the picture: its weights beside its norms.

    Parameters
    ----------
    data
        One group of an analysis whose sources are patches, alone or among the tokens of a text: variables as for
        :func:`heat_maps`, and `source_token` with labels such as "3,4" or "image 3,4" (row and column).
    layer
        Layer number, as in ``data.layer``.
    target
        Number of the target, counted from 0.
    head, scope
        As for :func:`heat_maps`.
    picture
        What the model saw, ``(height, width)`` or ``(height, width, color)``: after the processor's crop. Default: none.
    image
        Number of the image, from 1, if a text has several.
    panel
        Draw this panel alone. Default: both.
    ax
        Axes to draw into, one per panel. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches.
    cmap
        Color map of all panels. Default: white to blue for weights, white to vermilion for norms.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        ``(panel,)``: each runs from zero to its own largest value. The titles say what share of the target's weight,
        and of its norms, goes to the patches.

    Raises
    ------
    InvalidInput
        If the layer, head, scope, target, image or panel isn't in the data, or `ax` doesn't have one axes per panel.
    """
    require(data, "source_token")
    if isinstance(target, bool) or not isinstance(target, (int, np.integer)) or not 0 <= target < data.sizes["target"]:
        raise InvalidInput(f"target is {target!r}; expected a number from 0 to {data.sizes['target'] - 1}.")
    maps = {"weight": weight_panel(data, layer, head), "norm": norm_panel(data, layer, head, scope)}
    names = chosen_panels(panel, maps)
    label = readable(str(data["target_token"].values[target])) if "target_token" in data else str(target)
    with drawing(ax, names, (len(names) * (_SIDE + 0.8) + 0.6, _SIDE + 1.4), figsize, square=True) as panels:
        for axes, measure in zip(panels.axes, names, strict=True):
            row = maps[measure].isel(target=target)
            grid = patch_grid(row, data["source_token"].values, image)
            color_bar(_draw(axes, grid, color_map(measure, cmap), picture), axes)
            share = float(np.nansum(grid) / row.sum()) if float(row.sum()) else 0.0
            axes.set_title(f"{panel_title(measure, head, scope, '')}\n{share:.0%} of all sources", pad=8)
        where = f"layer {layer}" + ("" if head is None else f", head {head}")
        panels.heading(f"{where}, target {target} ({label})")
    return panels.array


def patch_grid(row: xr.DataArray, labels: NDArray[np.str_], image: int = 1) -> NDArray[np.float64]:
    """Numbers of patches by row and column; NaN where there is no such patch.

    Parameters
    ----------
    row
        One number per source, ``(source,)``.
    labels
        What the sources are called.
    image
        Which image, counted from 1.

    Raises
    ------
    InvalidInput
        If no source is a patch of it.
    """
    cells: dict[int, tuple[int, int]] = {}
    for number, label in enumerate(labels):
        match = _LABEL.fullmatch(str(label))
        if match is not None and int(match[1] or 1) == image:
            cells[number] = int(match[2]), int(match[3])
    if not cells:
        raise InvalidInput(
            f"No source is a patch of image {image}; expected labels such as '3,4' or 'image 3,4'. Pass the group that "
            "holds the image."
        )
    rows, columns = (max(cell[k] for cell in cells.values()) + 1 for k in (0, 1))
    grid = np.full((rows, columns), np.nan)
    for number, cell in cells.items():
        grid[cell] = row.values[number]
    return grid


def _draw(axes: Axes, grid: NDArray[np.float64], colors: Colormap, picture: ArrayLike | None) -> QuadMesh:
    rows, columns = grid.shape
    if picture is not None:  # in gray, so that the colors are those of the map
        gray = np.asarray(picture, dtype=float)
        gray = gray if gray.ndim == 2 else gray.mean(-1)
        axes.imshow(gray, extent=(0, columns, rows, 0), cmap="gray", aspect="auto")
    mesh = draw_cells(axes, grid, colors, alpha=None if picture is None else 0.7)
    height, width = np.shape(picture)[:2] if picture is not None else (rows, columns)
    axes.set_box_aspect(height / width)
    axes.set_xlim(0, columns)
    for axis, count in ((axes.xaxis, columns), (axes.yaxis, rows)):
        shown = range(0, count, -(-count // _MOST_TICKS))
        axis.set_ticks([position + 0.5 for position in shown], [str(position) for position in shown])
    axes.tick_params(length=0)
    axes.set_xlabel("column")
    axes.set_ylabel("row")
    return mesh
