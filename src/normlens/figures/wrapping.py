"""Line wrapping of drawn words: their widths and positions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from normlens.figures.style import fonts

_POINTS_PER_INCH = 72.0
_FINENESS = 10.0  # dots per point: letters are measured at high resolution, since widths are whole dots


@dataclass(frozen=True)
class Box:
    """The position of a box.

    Attributes
    ----------
    line
        Line number, from 0 at the top.
    left, width
        In points.
    """

    line: int
    left: float
    width: float


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a text in the fonts of the pictures.

    Parameters
    ----------
    text
        One line.
    size
        Font size, in points.
    bold
        Whether the text is bold.

    Returns
    -------
    float
        In points.
    """
    font = FontProperties(family=fonts(), size=size, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing letters are reported when the picture is saved
        dots = _renderer().get_text_width_height_descent(text, font, False)[0]  # type: ignore[no-untyped-call]
    return float(dots) / _FINENESS


def wrapped(widths: Sequence[float], gaps: Sequence[float], line_width: float, starts: Sequence[bool]) -> list[Box]:
    """Place boxes on lines, from left to right; a box that doesn't fit begins the next line.

    Parameters
    ----------
    widths
        Widths of the boxes, in points.
    gaps
        Space before each box, unless it begins a line.
    line_width
        Width of a line; a wider box has a line to itself.
    starts
        True for boxes that always begin a line.

    Examples
    --------
    >>> [(box.line, box.left) for box in wrapped([5, 4, 4], [0, 1, 1], 10, [False] * 3)]
    [(0, 0.0), (0, 6.0), (1, 0.0)]
    """
    boxes: list[Box] = []
    line, right = 0, 0.0
    for width, gap, start in zip(widths, gaps, starts, strict=True):
        left = right + gap if right else 0.0
        if right and (start or left + width > line_width):
            line, left = line + 1, 0.0
        boxes.append(Box(line, left, width))
        right = left + width
    return boxes


@cache
def _renderer() -> RendererAgg:
    """The renderer that measures letters."""
    return RendererAgg(1, 1, _POINTS_PER_INCH * _FINENESS)  # type: ignore[no-untyped-call]
