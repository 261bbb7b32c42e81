"""Highlighted text: each word on the color of its share, several methods one below the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_hex

from normlens.figures.highlights_layout import (
    BOX,
    HEAD,
    HEAD_SIZES,
    LINE,
    MARGIN,
    NOTE,
    NOTE_LINE,
    NUMBER,
    POINTS_PER_INCH,
    QUIET,
    SCALE,
    SCALE_STEP,
    SCALES,
    SMALL,
    WORD,
    PlacedText,
    TextLayout,
    below_name,
    has_special,
    numbered,
)
from normlens.figures.panels import FigureSize, checked_size, drawing, figure_of, size_of
from normlens.figures.scored_text import Row, ScoredText, ScoredWord, scored_texts
from normlens.figures.sheet import Sheet
from normlens.figures.style import FAINT, INK, MISSING, ColorMap, checked_color_map, signed_color_map

_RELATIVE = {-1.0: "−1", 0.0: "0", 1.0: "1"}


def highlight_colors(strength: float, *, signed: bool, cmap: ColorMap | None = None) -> tuple[str, str]:
    """Colors of the background and of the letters on it.

    Parameters
    ----------
    strength
        Relative to the largest number, −1 to 1; NaN for an undefined number.
    signed
        Whether numbers have signs: vermilion below zero, blue above; otherwise green.
    cmap
        Color map in place of these colors.

    Returns
    -------
    tuple of str
        As ``#rrggbb``.

    Examples
    --------
    >>> highlight_colors(0.0, signed=True)
    ('#ffffff', '#222222')
    """
    if strength != strength:
        return MISSING, INK
    red, green, blue, _ = _color_map(signed, cmap)((strength + 1) / 2 if signed else strength)
    return to_hex((red, green, blue)), "#ffffff" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.52 else INK


def highlights(
    results: xr.DataArray | Sequence[xr.DataArray],
    *,
    row: Row = None,
    title: str = "",
    ax: Axes | None = None,
    figsize: FigureSize | None = None,
    cmap: ColorMap | None = None,
) -> Axes:
    """Draw a text with each word on the color of its share; several attributions are drawn one below the other.

    The strongest words have their numbers below them. Special tokens have no color, only their number. A dashed box holds
    what belongs to no source. One attribution is colored in its own unit, several each relative to its largest number.

    Parameters
    ----------
    results
        What ``lens.attribute`` returned: shares ``(source,)`` or maps ``(target, source)``, of one text.
    row
        For maps: the target whose sources are shown, see :func:`scored_text`.
    title
        Heading. Default: what is explained.
    ax
        Axes to draw into; lines break at their width. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches. Default: what the text needs.
    cmap
        Color map of all numbers. Default: vermilion to white to blue for signed numbers, white to green for others.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidInput
        If there is nothing to show, a result has other dimensions, or the text doesn't fit into `ax` or `figsize`.
    """
    texts = scored_texts(results, row)
    layout = TextLayout.of(texts, title, _room(ax, figsize))
    size = layout.width / POINTS_PER_INCH, layout.height / POINTS_PER_INCH
    with drawing(ax, ["highlighted text"], size, figsize) as panels:
        [axes] = panels.axes
        if panels.is_new:
            figure_of(axes).set_layout_engine("none")
            axes.set_position((0, 0, 1, 1))
        axes.set_axis_off()
        _draw(axes, layout, cmap)
    return axes


def _room(ax: Axes | None, figsize: FigureSize | None) -> FigureSize | None:
    """Width and height of what the caller draws into, in points; None for a new figure that suits the text."""
    if figsize is not None:
        width, height = checked_size(figsize)
    elif isinstance(ax, Axes) and ax.figure is not None:
        width, height = size_of(ax)
    else:
        return None
    return width * POINTS_PER_INCH, height * POINTS_PER_INCH


def _draw(axes: Axes, layout: TextLayout, cmap: ColorMap | None) -> None:
    sheet = Sheet(axes)
    for line, (text, style) in enumerate(layout.head):
        _write_head(sheet, line, text, style)
    top = layout.top
    for block in layout.blocks:
        if layout.column:
            _label(sheet, block.text, top)
        _draw_block(sheet, block, MARGIN + layout.column, top, cmap)
        top += block.height
    _draw_scales(sheet, layout, top, cmap)


def _write_head(sheet: Sheet, line: int, text: str, style: Mapping[str, str]) -> None:
    sheet.write(MARGIN, MARGIN + HEAD * (line + 0.5), text, size=HEAD_SIZES[min(line, 1)], **style)


def _label(sheet: Sheet, text: ScoredText, top: float) -> None:
    sheet.write(MARGIN, top + BOX / 2, text.name.split()[0], size=9, weight="bold")
    sheet.write(MARGIN, top + BOX + 4, below_name(text), size=SMALL, color=QUIET)


def _draw_block(sheet: Sheet, block: PlacedText, left: float, top: float, cmap: ColorMap | None) -> None:
    text = block.text
    corners = [(left + box.left, top + LINE * box.line, box.width) for box in block.boxes]
    with_number, count = numbered(text), len(text.words)
    for k, (word, corner) in enumerate(zip(text.words, corners[:count], strict=True)):
        _draw_word(sheet, text, word, corner, cmap)
        if k in with_number:
            x, y, color = corner[0] + corner[2] / 2, corner[1] + BOX + 5, FAINT if word.is_special else QUIET
            sheet.write(x, y, text.written(word.share), size=NUMBER, ha="center", color=color)
    for (name, number), (x, y, width) in zip(text.apart, corners[count:], strict=True):
        sheet.box(x, y, width, BOX, facecolor="none", edgecolor=FAINT, linestyle=(0, (2, 1.5)), linewidth=0.8)
        words = f"{name} {text.written(number)}"
        sheet.write(x + width / 2, y + BOX / 2, words, size=SMALL + 1, ha="center", color=QUIET)


def _draw_word(
    sheet: Sheet, text: ScoredText, word: ScoredWord, corner: tuple[float, float, float], cmap: ColorMap | None
) -> None:
    """Write a word on its background; ``corner`` is left, top and width of its box."""
    x, y, width = corner
    strength = text.strength(word) if word.share == word.share else math.nan
    background, ink = highlight_colors(strength, signed=text.signed, cmap=cmap)
    if background != "#ffffff":
        sheet.box(x, y, width, BOX, facecolor=background, edgecolor="none")
    style = {"color": FAINT, "style": "italic"} if word.is_special else {"color": ink}
    sheet.write(x + width / 2, y + BOX / 2, word.text, size=WORD, ha="center", **style)


def _draw_scales(sheet: Sheet, layout: TextLayout, top: float, cmap: ColorMap | None) -> None:
    """Draw a scale for each kind of number, and the note on special tokens."""
    texts = [block.text for block in layout.blocks]
    left = MARGIN + 10
    for signed in sorted({text.signed for text in texts}, reverse=True):
        alike = [text for text in texts if text.signed == signed]
        whole = alike[0].largest if len(texts) == 1 else 1.0
        axes = sheet.inset(left, top + SCALES - 18, SCALE, 7)
        scale = ScalarMappable(Normalize(-whole if signed else 0.0, whole), _color_map(signed, cmap))
        bar = sheet.axes.figure.colorbar(scale, cax=axes, orientation="horizontal")
        bar.outline.set_visible(False)
        if bar.solids is not None:
            bar.solids.set(rasterized=False, edgecolor="face")
        ticks = [-whole, 0.0, whole] if signed else [0.0, whole]
        named = [alike[0].written(tick) if len(texts) == 1 else _RELATIVE[tick] for tick in ticks]
        bar.set_ticks(ticks, labels=["0" if tick == 0 else name for tick, name in zip(ticks, named, strict=True)])
        axes.tick_params(labelsize=7, length=0, pad=2)
        axes.set_title(_meaning(alike[0], several=len(texts) > 1), fontsize=SMALL, color=QUIET, loc="left", pad=3)
        left += SCALE_STEP
    if has_special(texts):
        x, align = (MARGIN, "left") if layout.note_below else (layout.width - MARGIN, "right")
        bottom = top + SCALES + (NOTE_LINE if layout.note_below else 0.0)
        sheet.write(x, bottom, NOTE, va="baseline", ha=align, size=SMALL, color=FAINT)


def _meaning(text: ScoredText, *, several: bool) -> str:
    """What a scale shows."""
    unit = "row's largest = 1" if several else "share of the row" if text.unit == "share" else text.unit
    return f"← against · for →   ({unit})" if text.signed else f"how much   ({unit})"


def _color_map(signed: bool, cmap: ColorMap | None) -> Colormap:
    if signed:
        return signed_color_map(cmap)
    if cmap is not None:
        return checked_color_map(cmap)
    return LinearSegmentedColormap.from_list("normlens-amount", ["#FFFFFF", "#BFE3D5", "#5CB899", "#00785A", "#003D2E"])
