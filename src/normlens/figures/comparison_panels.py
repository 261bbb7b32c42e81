"""Pictures of two analyses of the same words: where the second takes more, and where less."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from normlens.errors import InvalidInput
from normlens.figures.colored_cells import draw_cells, frame_cells
from normlens.figures.panels import AxesLike, FigureSize, PanelAxes, chosen_panels, drawing, label_ticks, size_of
from normlens.figures.style import MEASURE_TITLES, ColorMap, color_bar, readable, shortened, signed_color_map

_LARGEST, _SMALLEST, _LONGEST = 8.0, 5.5, 14
_CELL = 0.19  # inches


def comparison_maps(
    compared: xr.Dataset,
    *,
    panel: str | None = None,
    ax: AxesLike | None = None,
    figsize: FigureSize | None = None,
    cmap: ColorMap | None = None,
) -> PanelAxes:
    """Draw how much more of each word the second of two analyses takes, by weight and by norm.

    Parameters
    ----------
    compared
        What ``analysis.compare(other)`` returns.
    panel
        "weight" or "norm", to draw it alone. Default: both, on one scale.
    ax
        Axes to draw into, one per panel. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches. Default: what the words need.
    cmap
        Color map. Default: vermilion for less, white, blue for more.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        ``(panel,)``. Labels name both words where these differ.

    Raises
    ------
    InvalidInput
        If the data are no comparison, there is no such panel, or `ax` doesn't have one axes per panel.
    """
    if "weight_change" not in compared or "norm_change" not in compared:
        raise InvalidInput("The data hold no comparison; expected what analysis.compare(other) returns.")
    names = chosen_panels(panel, ("weight", "norm"))
    maps = {name: compared[f"{name}_change"].values for name in names}
    rows, columns = (labels_of(compared, side) for side in ("target", "source"))
    side = float(np.clip(_CELL * max(len(rows), len(columns)), 2.6, 6.5))
    with drawing(ax, names, (len(names) * (side + 0.9) + 1.2, side + 1.7), figsize, square=True, sharey=True) as panels:
        largest = max(float(np.nanmax(np.abs(values))) for values in maps.values())
        for axes, name in zip(panels.axes, names, strict=True):
            mesh = draw_cells(axes, maps[name], signed_color_map(cmap), largest=largest, signed=True)
            frame_cells(axes)
            _label(axes, rows, columns, left=panels.labels_left(axes))
            axes.set_title(f"{MEASURE_TITLES[name]}\nchange of the share", pad=8)
            color_bar(mesh, axes)
        panels.heading(_heading(compared))
    return panels.array


def labels_of(compared: xr.Dataset, side: str) -> list[str]:
    """The words along one side; of two texts, both where they differ."""
    pairs = zip(compared[f"{side}_token"].values, compared[f"other_{side}_token"].values, strict=True)
    return [
        one if one == other else f"{one} → {other}"
        for one, other in (
            (shortened(readable(str(x)), _LONGEST), shortened(readable(str(y)), _LONGEST)) for x, y in pairs
        )
    ]


def _heading(compared: xr.Dataset) -> str:
    models = compared.attrs.get("model", ""), compared.attrs.get("other_model", "")
    layer = compared.attrs.get("layer", "mean")
    what = f"{models[1]} less {models[0]}" if models[0] != models[1] else f"{models[0]}: second text less first"
    return f"{what}, {'mean over layers' if layer == 'mean' else f'layer {layer}'}"


def _label(axes: Axes, rows: list[str], columns: list[str], *, left: bool) -> None:
    width, height = size_of(axes)
    for axis, names, room in ((axes.yaxis, rows, height / len(rows)), (axes.xaxis, columns, width / len(columns))):
        step = max(1, math.ceil(1.1 * _SMALLEST / (72 * room)))
        places = range(0, len(names), step)
        label_ticks(axis, [place + 0.5 for place in places], [names[place] for place in places])
        axis.set_tick_params(length=0, labelsize=float(np.clip(0.8 * 72 * room, _SMALLEST, _LARGEST)), pad=2)
    axes.tick_params(axis="x", labelrotation=90)
    axes.tick_params(axis="y", labelleft=left)
    axes.set_xlabel("source")
    if left:
        axes.set_ylabel("target")
