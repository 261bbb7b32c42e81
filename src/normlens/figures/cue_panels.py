"""Scope maps: what a cue of negation contributes to every other word, layer by layer, by weight beside norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from normlens.errors import InvalidInput
from normlens.figures.colored_cells import draw_cells
from normlens.figures.panels import AxesLike, FigureSize, PanelAxes, chosen_panels, drawing, label_ticks
from normlens.figures.style import (
    INK,
    MEASURE_TITLES,
    ColorMap,
    color_bar,
    color_map,
    drawing_style,
    new_figure,
    readable,
    shortened,
)
from normlens.figures.wrapping import text_width

_VARIABLES = {"weight": "weight_mean", "norm": "summed_norm_share"}
_MOST_MAPS = 12
_LONGEST_LABEL = 16
_CELL = 0.17  # inches


def scope_map(
    reach: xr.Dataset,
    *,
    marked: Sequence[int] = (),
    panel: Literal["weight", "norm"] | None = None,
    ax: AxesLike | None = None,
    figsize: FigureSize | None = None,
    cmap: ColorMap | None = None,
) -> PanelAxes:
    """Draw which words a cue reaches: layers down and words across, its share in what each word receives.

    Parameters
    ----------
    reach
        One result of :func:`normlens.negation.cue_reach`.
    marked
        Numbers of words to underline, such as an annotated scope.
    panel
        Draw this panel alone. Default: both.
    ax
        Axes to draw into, one per panel. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches. Default: what the words need.
    cmap
        Color map of all panels. Default: white to blue for weights, white to vermilion for norms.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        ``(panel,)``: the mean of α over heads, and the norm of the sum over heads as a share of the word's row. The cue is
        bold, and gray as is every word that it can't reach because it comes first in a decoder.

    Raises
    ------
    InvalidInput
        If there is no such panel, or `ax` doesn't have one axes per panel.
    """
    names = chosen_panels(panel, _VARIABLES)
    width, height = _size(reach)
    with drawing(ax, names, (len(names) * width + 0.3, height), figsize) as panels:
        for axes, measure in zip(panels.axes, names, strict=True):
            _draw(axes, reach, measure, marked, cmap)
            axes.set_ylabel("layer")
    return panels.array


def scope_maps(reaches: Sequence[xr.Dataset]) -> Figure:
    """Draw the map of each of several cues, one below the other, in a new figure.

    Parameters
    ----------
    reaches
        Results of :func:`normlens.negation.cue_reach`, at most twelve.

    Raises
    ------
    InvalidInput
        If there is no cue, or more than a page holds.
    """
    if not 1 <= len(reaches) <= _MOST_MAPS:
        raise InvalidInput(
            f"There are {len(reaches)} cues to draw; expected 1 to {_MOST_MAPS}. Choose fewer sentences, or write JSON."
        )
    widths, heights = zip(*map(_size, reaches), strict=True)
    with drawing_style():
        figure = new_figure(2 * max(widths) + 0.3, sum(heights))
        grid = figure.subplots(len(reaches), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
        for reach, row in zip(reaches, grid, strict=True):
            scope_map(reach, ax=row)
    return figure


def _size(reach: xr.Dataset) -> FigureSize:
    """Width and height of a panel with its labels, in inches."""
    longest = max(text_width(label, 8) for label in _labels(reach)) / 72
    height = max(0.8, _CELL * min(reach.sizes["layer"], 30))
    return max(2.2, _CELL * reach.sizes["word"]) + 0.85, height + longest + 0.75


def _draw(axes: Axes, reach: xr.Dataset, measure: str, marked: Sequence[int], cmap: ColorMap | None) -> None:
    values = reach[_VARIABLES[measure]].sel(direction="from_cue").transpose("layer", "word").values
    mesh = draw_cells(axes, values, color_map(measure, cmap))
    words, layers = reach["word"].values, reach["layer"].values
    texts = label_ticks(axes.xaxis, [number + 0.5 for number in words], _labels(reach))
    for number, text in zip(words, texts, strict=True):
        if reach["in_cue"].values[number]:
            text.set_fontweight("bold")
    for number in marked:
        axes.plot([number + 0.1, number + 0.9], [len(layers) - 0.06] * 2, color=INK, linewidth=2, solid_capstyle="butt")
    axes.tick_params(axis="x", labelrotation=90, length=0, pad=2)
    places = [int(place) for place in MaxNLocator(integer=True, nbins=7).tick_values(0, len(layers) - 1)]
    inside = [place for place in places if 0 <= place < len(layers)]
    label_ticks(axes.yaxis, [place + 0.5 for place in inside], [str(layers[place]) for place in inside])
    cue = readable(str(reach.attrs.get("cue", "the cue")))
    axes.set_title(f"{MEASURE_TITLES[measure]}: share of “{cue}”", fontsize=9)
    color_bar(mesh, axes).ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")


def _labels(reach: xr.Dataset) -> list[str]:
    return [shortened(readable(str(word)), _LONGEST_LABEL) for word in reach["word_text"].values]
