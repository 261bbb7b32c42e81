"""All heads at a glance: one square per layer and head."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap
from matplotlib.ticker import MaxNLocator, PercentFormatter

from normlens.errors import InvalidInput
from normlens.figures.panels import AxesLike, FigureSize, PanelAxes, drawing
from normlens.figures.style import ColorMap, color_bar, color_map, signed_color_map

_MOST_NUMBERS = 160


def head_overview(
    grids: Mapping[str, xr.DataArray],
    label: str,
    *,
    percent: bool = False,
    ax: AxesLike | None = None,
    figsize: FigureSize | None = None,
    cmap: ColorMap | None = None,
) -> PanelAxes:
    """Draw grids of layers by heads, side by side on one scale.

    Parameters
    ----------
    grids
        Title and numbers ``(layer, head)`` of each grid. A title with "norm" or ‖ in it is drawn in vermilion,
        others in blue; numbers of either sign get a two-sided scale. A head that is missing (NaN) is gray.
    label
        What the numbers are, written beside the scale.
    percent
        Show 0.25 as 25 %.
    ax
        Axes to draw into, one per grid. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches. Default: by the numbers of grids, layers and heads.
    cmap
        Color map of all grids. Default: by title and sign, as above.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        ``(grid,)``: layer 0 is at the bottom; the numbers are written into the squares where they fit.

    Raises
    ------
    InvalidInput
        If there is no grid, or one has other dimensions, or `ax` doesn't have one axes per grid.
    """
    grids = {title: _checked_grid(title, grid) for title, grid in grids.items()}
    finite = np.concatenate([grid.values[np.isfinite(grid.values)] for grid in grids.values()] or [np.zeros(0)])
    if not finite.size:
        raise InvalidInput("There is no number to draw: expected at least one grid (layer, head) that isn't all NaN.")
    signed = float(finite.min()) < 0
    limit = float(np.abs(finite).max()) or 1.0
    layers, heads = next(iter(grids.values())).shape
    width, height = float(np.clip(0.34 * heads, 2.4, 9.0)), float(np.clip(0.28 * layers, 1.6, 9.0))
    with drawing(ax, list(grids), ((width + 1.2) * len(grids) + 0.4, height + 1.1), figsize) as panels:
        for axes, (title, grid) in zip(panels.axes, grids.items(), strict=True):
            colors = signed_color_map(cmap) if signed else color_map(_measure(title), cmap)
            mesh = _draw_grid(axes, grid, colors, -limit if signed else 0.0, limit)
            axes.set(title=title, xlabel="head", ylabel="layer")
            _write_numbers(axes, grid, mesh, percent)
            bar = color_bar(mesh, axes)
            if percent:
                bar.formatter = PercentFormatter(1.0, decimals=0)
        bar.set_label(label)
    return panels.array


def _measure(title: str) -> str:
    return "norm" if "norm" in title or "‖" in title else "weight"


def _draw_grid(axes: Axes, grid: xr.DataArray, colors: Colormap, low: float, high: float) -> QuadMesh:
    mesh = axes.pcolormesh(
        grid["head"].values,
        grid["layer"].values,
        np.ma.masked_invalid(grid.values),
        cmap=colors,
        vmin=low,
        vmax=high,
        edgecolors="white",
        linewidth=0.8,
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))
    axes.tick_params(length=0)
    return mesh


def _checked_grid(title: str, panel: xr.DataArray) -> xr.DataArray:
    if set(panel.dims) != {"layer", "head"}:
        raise InvalidInput(
            f"The grid '{title}' has dimensions {tuple(panel.dims)}, expected ('layer', 'head'). "
            "Average over the others."
        )
    panel = panel.transpose("layer", "head")
    numbers = {x: panel[x].values if x in panel.coords else np.arange(panel.sizes[x]) for x in panel.dims}
    return panel.assign_coords(
        {x: np.asarray(values, dtype=np.float64) for x, values in numbers.items()}
    )  # pandas' too


def _write_numbers(axes: Axes, grid: xr.DataArray, mesh: QuadMesh, percent: bool) -> None:
    if grid.size > _MOST_NUMBERS:
        return
    for (row, column), value in np.ndenumerate(grid.values):
        if np.isfinite(value):
            text = f"{100 * value:.0f}" if percent else f"{value:z.2f}".replace("-", "−")
            red, green, blue, _ = mesh.to_rgba(value)
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            place = (float(grid["head"].values[column]), float(grid["layer"].values[row]))
            axes.text(*place, text, ha="center", va="center", fontsize=6.5, color="white" if dark else "#333333")
