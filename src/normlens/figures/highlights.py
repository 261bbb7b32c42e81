"""Highlighted text: each word on the color of its share, several methods under each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from normlens.figures.scored_text import Row, ScoredText, ScoredWord, scored_texts
from normlens.figures.style import FAINT, INK, MISSING, drawing_style, new_figure, signed_color_map
from normlens.figures.wrapping import Box, text_width, wrapped

_NARROWEST, _WIDEST = 400.0, 640.0  # of the picture; all lengths are points
_MARGIN = 14.0
_WORD, _NUMBER, _SMALL = 11.0, 7.0, 7.5  # sizes of letters
_HEAD, _BOX, _LINE = 15.0, 17.0, 31.0  # height of a heading, of a word's box, and from line to line
_PADDING, _GAP, _JOINED_GAP, _APART_GAP = 5.0, 4.0, 0.6, 14.0
_LEGEND, _SCALE_STEP = 36.0, 190.0  # height of the scales, and from one to the next
_MOST_NUMBERS, _LEAST = 4, 0.02  # words whose numbers stand under them, and from which strength on
_QUIET = "#666666"
_NOTE = "gray, slanted: special tokens, not colored"
_RELATIVE = {-1.0: "−1", 0.0: "0", 1.0: "1"}


def highlight_colors(strength: float, *, signed: bool) -> tuple[str, str]:
    """Colors of the ground and of the letters on it.

    Parameters
    ----------
    strength
        Relative to the largest number, −1 to 1; NaN for none.
    signed
        Whether numbers have signs: vermilion below zero, blue above; otherwise green.

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
    red, green, blue, _ = _color_map(signed)((strength + 1) / 2 if signed else strength)
    return to_hex((red, green, blue)), "#ffffff" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.52 else INK


def highlights(results: xr.DataArray | Sequence[xr.DataArray], *, row: Row = None, title: str = "") -> Figure:
    """Draw a text with each word on the color of its share; several attributions stand under each other.

    The strongest words' numbers stand under them. Special tokens have no color, only their number. What belongs to no
    source stands apart in a dashed box. One attribution is colored in its own unit, several each relative to its largest.

    Parameters
    ----------
    results
        What ``lens.attribute`` returned: shares ``(source,)`` or maps ``(target, source)``, of one text.
    row
        For maps: the target whose sources are shown, see :func:`scored_text`.
    title
        Above everything. Default: what is explained.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InvalidInput
        If there is nothing to show, or a result has other dimensions.
    """
    texts = scored_texts(results, row)
    with drawing_style():
        column = _column(texts) if len(texts) > 1 else 0.0
        head = _heading(texts, title)
        room = _WIDEST - 2 * _MARGIN - column
        blocks = [_Block.of(text, _reserved(texts, text), room) for text in texts]
        wide = [_legend_width(texts), *(column + block.width for block in blocks)]
        used = max(wide + [text_width(line, 10.5, bold=True) for line, _ in head])
        width = min(max(used + 2 * _MARGIN, _NARROWEST), _WIDEST)
        height = 2 * _MARGIN + _HEAD * len(head) + 6 + sum(block.height for block in blocks) + _LEGEND
        figure = new_figure(width / 72, height / 72)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        for line, (text, style) in enumerate(head):
            _write(axes, _MARGIN, _MARGIN + _HEAD * (line + 0.5), text, size=10.5 if line == 0 else 8.5, **style)
        top = _MARGIN + _HEAD * len(head) + 6
        for block in blocks:
            if column:
                _label(axes, block.text, top)
            block.draw(axes, _MARGIN + column, top)
            top += block.height
        _legend(figure, texts, width, height)
    return figure


@dataclass(frozen=True)
class _Block:
    """One text with its words placed; the boxes that stand apart follow them."""

    text: ScoredText
    places: list[Box]

    @classmethod
    def of(cls, text: ScoredText, reserved: Mapping[int, float], room: float) -> _Block:
        """Place words and what stands apart; ``reserved`` words are at least so wide, for the number under them."""
        widths = [
            max(text_width(word.text, _WORD) + _PADDING, reserved.get(k, 0.0)) for k, word in enumerate(text.words)
        ]
        widths += [text_width(f"{name} {text.written(x)}", _SMALL + 1) + 2 * _PADDING for name, x in text.apart]
        gaps = [_JOINED_GAP if word.joined else _GAP for word in text.words] + [_APART_GAP] * len(text.apart)
        starts = [k > 0 and word.side != text.words[k - 1].side for k, word in enumerate(text.words)]
        return cls(text, wrapped(widths, gaps, room, starts + [False] * len(text.apart)))

    @property
    def width(self) -> float:
        """Of the widest line."""
        return max((place.left + place.width for place in self.places), default=0.0)

    @property
    def height(self) -> float:
        """From the top of the first line to that of the next block."""
        return _LINE * (max((place.line for place in self.places), default=0) + 1) + 4

    def draw(self, axes: Axes, left: float, top: float) -> None:
        """Draw all boxes."""
        corners = [(left + place.left, top + _LINE * place.line, place.width) for place in self.places]
        numbered, count = _numbered(self.text), len(self.text.words)
        for k, (word, corner) in enumerate(zip(self.text.words, corners[:count], strict=True)):
            _draw_word(axes, self.text, word, corner)
            if k in numbered:
                x, y, color = corner[0] + corner[2] / 2, corner[1] + _BOX + 5, FAINT if word.is_special else _QUIET
                _write(axes, x, y, self.text.written(word.share), size=_NUMBER, ha="center", color=color)
        for (name, number), (x, y, width) in zip(self.text.apart, corners[count:], strict=True):
            _box(axes, x, y, width, facecolor="none", edgecolor=FAINT, linestyle=(0, (2, 1.5)), linewidth=0.8)
            words = f"{name} {self.text.written(number)}"
            _write(axes, x + width / 2, y + _BOX / 2, words, size=_SMALL + 1, ha="center", color=_QUIET)


def _draw_word(axes: Axes, text: ScoredText, word: ScoredWord, corner: tuple[float, float, float]) -> None:
    """Write a word on its ground; ``corner`` is left, top and width of its box."""
    x, y, width = corner
    ground, ink = highlight_colors(text.strength(word) if word.share == word.share else math.nan, signed=text.signed)
    if ground != "#ffffff":
        _box(axes, x, y, width, facecolor=ground, edgecolor="none")
    style = {"color": FAINT, "style": "italic"} if word.is_special else {"color": ink}
    _write(axes, x + width / 2, y + _BOX / 2, word.text, size=_WORD, ha="center", **style)


def _numbered(text: ScoredText) -> set[int]:
    """Words whose numbers stand under them: the strongest, unless they are next to nothing, and special tokens."""
    strongest = [k for k in text.strongest(_MOST_NUMBERS) if abs(text.strength(text.words[k])) >= _LEAST]
    return {*strongest, *(k for k, word in enumerate(text.words) if word.is_special)}


def _reserved(texts: Sequence[ScoredText], text: ScoredText) -> dict[int, float]:
    """Room for numbers under words, by any method's measure, so that the same words stand below each other."""
    names = [word.text for word in text.words]
    alike = [other for other in texts if [word.text for word in other.words] == names]
    return {
        k: max(text_width(other.written(other.words[k].share), _NUMBER) for other in alike) + 2
        for k in {k for other in alike for k in _numbered(other)}
    }


def _heading(texts: Sequence[ScoredText], title: str) -> list[tuple[str, dict[str, str]]]:
    """Lines above the words, each with its style."""
    explained = [text.explained for text in texts if text.balance] or [texts[0].explained]
    lines: list[tuple[str, dict[str, str]]] = [(line, {}) for line in (title, explained[0]) if line]
    if len(texts) == 1:
        lines.append(
            (f"{texts[0].name}: {texts[0].balance or texts[0].note or 'sources of this position'}", {"color": _QUIET})
        )
    first, style = lines[0]
    return [(first, {**style, "weight": "bold"}), *lines[1:]]


def _column(texts: Sequence[ScoredText]) -> float:
    """Width of the methods' names beside the words."""
    names = [text_width(text.name.split()[0], 9, bold=True) for text in texts]
    return min(max([*names, *(text_width(_below_name(text), _SMALL) for text in texts)]), 140.0) + 14


def _below_name(text: ScoredText) -> str:
    """What a method explains, in short: the value, or whose sources they are."""
    if text.balance:
        return f"{text.written(text.value, sign=False)} {text.unit}"
    scope = text.name.partition(" ")[2].strip("()").removeprefix("scope ")
    return ", ".join([*([scope] if scope else []), text.explained.split(" (")[0]])


def _label(axes: Axes, text: ScoredText, top: float) -> None:
    _write(axes, _MARGIN, top + _BOX / 2, text.name.split()[0], size=9, weight="bold")
    _write(axes, _MARGIN, top + _BOX + 4, _below_name(text), size=_SMALL, color=_QUIET)


def _legend(figure: Figure, texts: Sequence[ScoredText], width: float, height: float) -> None:
    """A scale for each kind of number that is shown."""
    left = _MARGIN + 10
    for signed in sorted({text.signed for text in texts}, reverse=True):
        alike = [text for text in texts if text.signed == signed]
        whole = alike[0].largest if len(texts) == 1 else 1.0
        what = _meaning(alike[0], several=len(texts) > 1)
        axes = figure.add_axes((left / width, (_MARGIN + 11) / height, 140 / width, 7 / height))
        scale = ScalarMappable(Normalize(-whole if signed else 0.0, whole), _color_map(signed))
        bar = figure.colorbar(scale, cax=axes, orientation="horizontal")
        bar.outline.set_visible(False)
        if bar.solids is not None:
            bar.solids.set(rasterized=False, edgecolor="face")
        ticks = [-whole, 0.0, whole] if signed else [0.0, whole]
        named = [alike[0].written(tick) if len(texts) == 1 else _RELATIVE[tick] for tick in ticks]
        bar.set_ticks(ticks, labels=["0" if tick == 0 else name for tick, name in zip(ticks, named, strict=True)])
        bar.ax.tick_params(labelsize=7, length=0, pad=2)
        axes.set_title(what, fontsize=_SMALL, color=_QUIET, loc="left", pad=3)
        left += _SCALE_STEP
    if _has_special(texts):
        figure.text(1 - _MARGIN / width, _MARGIN / height, _NOTE, ha="right", fontsize=_SMALL, color=FAINT)


def _has_special(texts: Sequence[ScoredText]) -> bool:
    return any(word.is_special for text in texts for word in text.words)


def _legend_width(texts: Sequence[ScoredText]) -> float:
    """Room for the scales, and for what is said of special tokens."""
    scales = 10 + _SCALE_STEP * len({text.signed for text in texts})
    return scales + (text_width(_NOTE, _SMALL) if _has_special(texts) else 0.0)


def _meaning(text: ScoredText, *, several: bool) -> str:
    """What a scale shows."""
    unit = "row's largest = 1" if several else "share of the row" if text.unit == "share" else text.unit
    return f"← against · for →   ({unit})" if text.signed else f"how much   ({unit})"


def _color_map(signed: bool) -> Colormap:
    if signed:
        return signed_color_map()
    return LinearSegmentedColormap.from_list("normlens-amount", ["#FFFFFF", "#BFE3D5", "#5CB899", "#00785A", "#003D2E"])


def _box(axes: Axes, x: float, y: float, width: float, **style: Any) -> None:
    axes.add_patch(FancyBboxPatch((x, y), width, _BOX, boxstyle="round,pad=0,rounding_size=2.5", **style))


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    axes.text(x, y, text, va="center_baseline" if style.get("ha") == "center" else "center", **style)
