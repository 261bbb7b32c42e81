"""A matrix as colored cells, its first row on top."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap
from numpy.typing import NDArray


def draw_cells(
    axes: Axes,
    values: NDArray[np.floating],
    colors: Colormap,
    *,
    largest: float | None = None,
    signed: bool = False,
    alpha: float | None = None,
) -> QuadMesh:
    """Draw one cell per number; a number that isn't finite has the color of missing ones.

    Parameters
    ----------
    axes
        Where to draw; its y axis then runs downward.
    values
        Numbers, ``(row, column)``.
    colors
        From zero, or from −`largest` if `signed`, to `largest`.
    largest
        End of the scale. Default: the largest absolute value.
    signed
        Whether the scale has negative numbers too.
    alpha
        Opacity, for cells above a picture. Default: opaque, with edges in the color of their cell.
    """
    if largest is None:
        largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    end = largest or 1.0
    edges = {"edgecolors": "face", "linewidth": 0.2} if alpha is None else {"alpha": alpha}
    mesh = axes.pcolormesh(np.ma.masked_invalid(values), cmap=colors, vmin=-end if signed else 0.0, vmax=end, **edges)
    axes.set_ylim(values.shape[0], 0)
    return mesh


def frame_cells(axes: Axes) -> None:
    """Make cells square, with a line around all of them."""
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(True)
