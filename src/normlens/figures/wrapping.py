"""Words on lines: how wide they are when drawn, and where they stand."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from normlens.figures.style import fonts

_POINTS_PER_INCH = 72.0
_FINENESS = 10.0  # dots per point: letters are measured finely, since widths come as whole dots


@dataclass(frozen=True)
class Box:
    """Where a box stands.

    Attributes
    ----------
    line
        From 0, downwards.
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
        Of the letters, in points.
    bold
        Whether it is drawn bold.

    Returns
    -------
    float
        In points.
    """
    font = FontProperties(family=fonts(), size=size, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that no font has are told of when the picture is saved
        dots = _renderer().get_text_width_height_descent(text, font, False)[0]  # type: ignore[no-untyped-call]
    return float(dots) / _FINENESS


def wrapped(widths: Sequence[float], gaps: Sequence[float], room: float, starts: Sequence[bool]) -> list[Box]:
    """Place boxes on lines, from left to right; one that doesn't fit begins the next line.

    Parameters
    ----------
    widths
        Of the boxes, in points.
    gaps
        Space before each box, unless it begins a line.
    room
        Width of a line; a wider box has a line to itself.
    starts
        True for boxes that begin a line in any case.

    Examples
    --------
    >>> [(place.line, place.left) for place in wrapped([5, 4, 4], [0, 1, 1], 10, [False] * 3)]
    [(0, 0.0), (0, 6.0), (1, 0.0)]
    """
    places: list[Box] = []
    line, reached = 0, 0.0
    for width, gap, start in zip(widths, gaps, starts, strict=True):
        left = reached + gap if reached else 0.0
        if reached and (start or left + width > room):
            line, left = line + 1, 0.0
        places.append(Box(line, left, width))
        reached = left + width
    return places


@cache
def _renderer() -> RendererAgg:
    """What measures letters."""
    return RendererAgg(1, 1, _POINTS_PER_INCH * _FINENESS)  # type: ignore[no-untyped-call]
