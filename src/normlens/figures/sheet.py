"""A sheet: axes on which text and boxes are placed in points from their upper left corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Affine2D, Affine2DBase, ScaledTranslation, Transform

from normlens.figures.style import fonts

_ROUNDING = 2.5
_POINTS_PER_INCH = 72.0


@dataclass(frozen=True)
class Sheet:
    """Axes with positions in points, which stay valid when the layout changes the axes later.

    Attributes
    ----------
    axes
        Where to draw.
    """

    axes: Axes

    @property
    def points(self) -> Transform:
        """From points right of and below the upper left corner to the screen."""
        return Affine2D().scale(1, -1) + self._points_upwards

    @property
    def _points_upwards(self) -> Transform:
        assert self.axes.figure is not None  # a sheet is in a figure
        inches = self.axes.figure.dpi_scale_trans
        scale = Affine2D().scale(1 / _POINTS_PER_INCH)
        return scale + inches + ScaledTranslation(0, 1, cast("Affine2DBase", self.axes.transAxes))

    def box(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        """Draw a box with rounded corners; `x` and `y` are its upper left corner."""
        shape = f"round,pad=0,rounding_size={_ROUNDING}"
        patch = FancyBboxPatch((x, y), width, height, boxstyle=shape, transform=self.points, **style)
        self.axes.add_artist(patch)

    def write(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write a line of text, `y` being its middle unless the style says otherwise."""
        middle = "center_baseline" if style.get("ha") == "center" else "center"
        self.axes.text(x, y, text, transform=self.points, fontfamily=fonts(), **{"va": middle, **style})

    def inset(self, x: float, y: float, width: float, height: float) -> Axes:
        """Return axes inside these; `x` and `y` are their upper left corner."""
        return self.axes.inset_axes((x, -y - height, width, height), transform=self._points_upwards)
