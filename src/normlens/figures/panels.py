"""The panels of a figure: the caller's axes, or those of a new figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text
from numpy.typing import NDArray

from normlens.errors import InvalidInput
from normlens.figures.style import callers_style, drawing_style, make_readable, new_figure

PanelAxes: TypeAlias = NDArray[np.object_]
"""Matplotlib axes, ``(panel,)``."""

AxesLike: TypeAlias = Axes | Sequence[Axes] | PanelAxes
"""What a figure with several panels takes as `ax`: one axes per panel, in any shape that ``plt.subplots`` returns."""

FigureSize: TypeAlias = tuple[float, float]
"""Width and height in inches."""


@dataclass(frozen=True)
class Panels:
    """Axes to draw into, one per panel.

    Attributes
    ----------
    axes
        In the order of the panels.
    is_new
        Whether they belong to a new figure. The caller's figure gets no heading and no legend of its own.
    """

    axes: tuple[Axes, ...]
    is_new: bool

    @property
    def figure(self) -> Figure | SubFigure:
        """The figure or subfigure of the axes."""
        figure = self.axes[0].figure
        assert figure is not None  # checked when the panels were made
        return figure

    @property
    def array(self) -> PanelAxes:
        """The axes as an array, ``(panel,)``."""
        array = np.empty(len(self.axes), dtype=object)
        array[:] = self.axes
        return array

    def labels_left(self, axes: Axes) -> bool:
        """Whether a panel has its own labels on the left: a panel that shares its vertical axis with the first has none."""
        first = self.axes[0]
        return axes is first or not first.get_shared_y_axes().joined(first, axes)

    def heading(self, text: str) -> None:
        """Write a heading above a new figure, or above the title of each of the caller's axes; an empty one is left out."""
        if not text:
            return
        if self.is_new:
            self.figure.suptitle(text, fontsize=11, fontweight="bold")
            return
        for axes in self.axes:
            draw_letter_by_letter([axes.title])
            axes.title.set_text("\n".join(line for line in (text, axes.get_title()) if line))

    def legend(self, handles: Sequence[Artist] | None = None, *, loc: str, ncols: int = 1, **options: Any) -> None:
        """Put the legend outside a new figure's panels (`loc`), or into the last of the caller's axes.

        Parameters
        ----------
        handles
            What it explains. Default: every artist with a label.
        loc, ncols
            Position and columns in a new figure.
        **options
            Passed on to matplotlib.
        """
        chosen: dict[str, Any] = options if handles is None else {"handles": list(handles), **options}
        if self.is_new:
            chosen = {"loc": loc, "ncols": ncols, **chosen}
            self.figure.legend(**chosen)
        else:
            self.axes[-1].legend(**chosen)


@contextmanager
def drawing(
    ax: AxesLike | None,
    names: Sequence[str],
    size: FigureSize,
    figsize: FigureSize | None,
    *,
    square: bool = False,
    sharey: bool = False,
    **subplots: Any,
) -> Iterator[Panels]:
    """Draw inside the block: into the caller's axes, or into a new figure with its panels side by side.

    Parameters
    ----------
    ax
        The caller's axes, one per panel; None for a new figure.
    names
        What the panels show, one name per panel.
    size
        Width and height of a new figure in inches, if the caller has no wish.
    figsize
        The caller's wish.
    square, sharey, **subplots
        Of a new figure: whether cells stay square, whether panels share their vertical axis, and what else
        ``Figure.subplots`` takes.

    Raises
    ------
    InvalidInput
        If `ax` doesn't have one axes per panel, or `figsize` isn't a size, or both are set.
    """
    if ax is not None:
        if figsize is not None:
            raise InvalidInput(
                f"Both ax and figsize={figsize!r} were passed, but figsize is the size of a new figure. Leave out one."
            )
        panels = Panels(_callers_axes(ax, names), is_new=False)
        with callers_style():
            yield panels
            for axes in panels.axes:
                make_readable(axes)
        return
    with drawing_style():
        figure = new_figure(*(size if figsize is None else checked_size(figsize)), square=square)
        grid = figure.subplots(1, len(names), sharey=sharey, squeeze=False, **subplots)
        yield Panels(tuple(grid[0]), is_new=True)


def checked_size(figsize: FigureSize) -> FigureSize:
    """Return a figure's width and height in inches.

    Raises
    ------
    InvalidInput
        Unless these are two positive numbers.
    """
    try:
        width, height = (float(length) for length in figsize)
    except (TypeError, ValueError):
        width = height = math.nan
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise InvalidInput(f"figsize is {figsize!r}; expected width and height in inches, such as (8, 4).")
    return width, height


def chosen_panels(panel: str | None, names: Iterable[str]) -> list[str]:
    """Return the panels to draw: the one that the caller chose, or all.

    Raises
    ------
    InvalidInput
        If there is no such panel.
    """
    everything = list(names)
    if panel is None:
        return everything
    if panel not in everything:
        expected = " or ".join(map(repr, everything))
        raise InvalidInput(f"There is no panel {panel!r}; expected {expected}, or None for all of them.")
    return [panel]


def label_ticks(axis: Axis, positions: Sequence[float], labels: Sequence[str]) -> list[Text]:
    """Put tokens or words at the ticks of an axis, letter by letter, and return the labels.

    The ticks of the caller's axes may exist already, with another font and with dollar signs read as mathematics.
    """
    texts = [text for tick in axis.set_ticks(positions, labels) for text in (tick.label1, tick.label2)]
    draw_letter_by_letter(texts)
    return texts[::2]


def draw_letter_by_letter(texts: Iterable[Text]) -> None:
    """Let texts that exist already be drawn with the fonts in use, and a dollar sign as a dollar sign."""
    for text in texts:
        text.set_parse_math(False)
        text.set_usetex(False)
        text.set_fontfamily(mpl.rcParams["font.family"])


def size_of(axes: Axes) -> FigureSize:
    """Width and height of axes in inches, once the layout of their figure is settled."""
    root = figure_of(axes)
    if root.get_layout_engine() is not None:
        root.draw_without_rendering()
    extent = axes.get_window_extent()
    return extent.width / root.dpi, extent.height / root.dpi


def figure_of(drawn: Figure | AxesLike) -> Figure:
    """Return the figure of axes; the whole figure even if they are in a subfigure.

    Raises
    ------
    InvalidInput
        If there is none, or more than one.
    """
    if isinstance(drawn, Figure):
        return drawn
    several = [drawn] if isinstance(drawn, Axes) else list(np.ravel(np.asarray(drawn, dtype=object)))
    figures = {id(one.figure): one.figure.figure for one in several if isinstance(one, Axes) and one.figure is not None}
    if len({id(figure) for figure in figures.values()}) != 1:
        raise InvalidInput(
            f"Expected a matplotlib figure, or axes of one figure; got {type(drawn).__name__} with {len(figures)} figures. "
            "Pass what a function of normlens.figures returned."
        )
    return next(iter(figures.values()))


def _callers_axes(ax: AxesLike, names: Sequence[str]) -> tuple[Axes, ...]:
    several = (ax,) if isinstance(ax, Axes) else tuple(np.ravel(np.asarray(ax, dtype=object)))
    strangers = [type(one).__name__ for one in several if not isinstance(one, Axes) or one.figure is None]
    if strangers:
        raise InvalidInput(
            f"ax holds {', '.join(strangers)}; expected matplotlib axes that are in a figure, such as plt.subplots()[1]."
        )
    if len(several) != len(names) or len(set(map(id, several))) < len(several):
        count, panels = len(set(map(id, several))), len(names)
        raise InvalidInput(
            f"ax holds {count} different axes; expected {panels}, one per panel: {', '.join(names)}. "
            f"Pass {'one axes' if panels == 1 else f'those of plt.subplots(1, {panels}), or draw fewer panels'}."
        )
    return several
