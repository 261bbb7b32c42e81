"""All heads at a glance: one square per layer and head."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from normlens.errors import InvalidInput
from normlens.figures.style import color_bar, color_map, drawing_style, new_figure, signed_color_map

_MOST_NUMBERS = 160


def head_overview(panels: Mapping[str, xr.DataArray], label: str, *, percent: bool = False) -> Figure:
    """Draw grids of layers by heads, side by side on one scale.

    Parameters
    ----------
    panels
        Title and numbers ``(layer, head)`` of each grid. A title with "norm" or ‖ in it is drawn in vermilion,
        others in blue; numbers of either sign get a two-sided scale. A head that is missing (NaN) is gray.
    label
        What the numbers are, written beside the scale.
    percent
        Show 0.25 as 25 %.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per grid, layer 0 at the bottom; the numbers are written into the squares where they fit.

    Raises
    ------
    InvalidInput
        If there is no grid, or one has other dimensions.
    """
    grids = {title: _grid(title, panel) for title, panel in panels.items()}
    finite = np.concatenate([grid.values[np.isfinite(grid.values)] for grid in grids.values()] or [np.zeros(0)])
    if not finite.size:
        raise InvalidInput("There is no number to draw: expected at least one grid (layer, head) that isn't all NaN.")
    signed = float(finite.min()) < 0
    limit = float(np.abs(finite).max()) or 1.0
    layers, heads = next(iter(grids.values())).shape
    width, height = float(np.clip(0.34 * heads, 2.4, 9.0)), float(np.clip(0.28 * layers, 1.6, 9.0))
    with drawing_style():
        figure = new_figure((width + 1.2) * len(grids) + 0.4, height + 1.1)
        for axes, (title, grid) in zip(figure.subplots(1, len(grids), squeeze=False)[0], grids.items(), strict=True):
            mesh = _draw_grid(axes, grid, title, -limit if signed else 0.0, limit)
            _write_numbers(axes, grid, mesh, percent)
            bar = color_bar(figure, mesh, axes)
            if percent:
                bar.formatter = PercentFormatter(1.0, decimals=0)
        bar.set_label(label)
    return figure


def _draw_grid(axes: Axes, grid: xr.DataArray, title: str, low: float, high: float) -> QuadMesh:
    names_norm = "norm" in title or "‖" in title
    mesh = axes.pcolormesh(
        grid["head"].values,
        grid["layer"].values,
        np.ma.masked_invalid(grid.values),
        cmap=signed_color_map() if low < 0 else color_map("norm" if names_norm else "weight"),
        vmin=low,
        vmax=high,
        edgecolors="white",
        linewidth=0.8,
    )
    axes.set(title=title, xlabel="head", ylabel="layer")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))
    axes.tick_params(length=0)
    return mesh


def _grid(title: str, panel: xr.DataArray) -> xr.DataArray:
    if set(panel.dims) != {"layer", "head"}:
        raise InvalidInput(
            f"The grid '{title}' has dimensions {tuple(panel.dims)}, expected ('layer', 'head'). "
            "Average over the others."
        )
    panel = panel.transpose("layer", "head")
    absent = {name: np.arange(panel.sizes[name]) for name in panel.dims if name not in panel.coords}
    return panel.assign_coords(absent)


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
