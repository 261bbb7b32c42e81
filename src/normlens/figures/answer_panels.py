"""Pictures of a whole answer: each of its words by each source; and shares of passages as bars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from normlens.errors import InvalidInput
from normlens.figures.colored_cells import draw_cells
from normlens.figures.panels import FigureSize, drawing, label_ticks, size_of
from normlens.figures.style import (
    FAINT,
    INK,
    NORM_COLOR,
    WEIGHT_COLOR,
    ColorMap,
    color_bar,
    readable,
    shortened,
    signed_color_map,
)
from normlens.figures.wrapping import text_width

_LETTERS, _SMALLEST = 7.5, 5.0
_CELL = 0.2  # inches
_WIDEST, _TALLEST = 15.0, 11.0
_LONGEST, _LONGEST_SPAN = 16, 44
_MOST_BARS = 40
_FEW_CELLS = 60  # rows times columns in which numbers are written


def answer_map(
    result: xr.DataArray,
    *,
    ax: Axes | None = None,
    figsize: FigureSize | None = None,
    cmap: ColorMap | None = None,
) -> Axes:
    """Draw what each word of an answer owes to each source: the answer's words down, sources across.

    Parameters
    ----------
    result
        Shares of an answer, ``(target, source)``, as ``lens.attribute(prompt, generate=…)`` returns them: of tokens, words
        or spans.
    ax
        Axes to draw into. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches. Default: what the words need.
    cmap
        Color map. Default: vermilion below zero, white, blue above.

    Returns
    -------
    matplotlib.axes.Axes
        Row labels carry the probability of each word; a line divides prompt and answer among the sources. If the largest
        share is far larger than the others, colors end at the 99.5th percentile, and the color bar says so.

    Raises
    ------
    InvalidInput
        If the array holds no shares of an answer.
    """
    if set(result.dims) != {"target", "source"} or "target_probability" not in result.coords:
        raise InvalidInput(
            f"The array has dimensions ({', '.join(map(str, result.dims))}) and no probabilities of an answer's words; "
            "expected what lens.attribute(prompt, generate=…) returns, without whole=True."
        )
    values = result.transpose("target", "source").values
    rows, columns = row_labels(result), column_labels(result)
    with drawing(ax, ["answer"], _size(values.shape, rows, columns), figsize) as panels:
        [axes] = panels.axes
        largest, cut_off = _scale(values)
        mesh = draw_cells(axes, values, signed_color_map(cmap), largest=largest, signed=True)
        mesh.set_rasterized(values.size > 128 * 128)
        _label(axes, rows, columns, values.shape)
        _divide(axes, result)
        if values.size <= _FEW_CELLS:
            _write_numbers(axes, values, largest)
        color_bar(mesh, axes)
        unit = "log-probability, in nats" if result.attrs.get("score") == "logprob" else "logit"
        axes.set_title(f"shares of each word's {unit}" + (" (colors end at the 99.5th percentile)" if cut_off else ""))
    return axes


def source_bars(
    result: xr.DataArray, *, ax: Axes | None = None, figsize: FigureSize | None = None, most: int = _MOST_BARS
) -> Axes:
    """Draw shares of passages, or of any sources, as bars: what speaks for the target to the right, in blue.

    Parameters
    ----------
    result
        Signed shares, ``(source,)``; of an answer, ``(target, source)``, summed over its words.
    ax
        Axes to draw into. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches.
    most
        Largest number of bars; of more sources, those with the largest shares are drawn, in the order of the text.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidInput
        If the array has no sources.
    """
    if "source" not in result.dims or "source_token" not in result.coords:
        raise InvalidInput("Shares of sources were expected, as lens.attribute returns them.")
    shares = result.sum([name for name in result.dims if name != "source"], keep_attrs=True)
    shown = np.sort(np.argsort(-np.abs(shares.values), kind="stable")[:most])
    names = [_cut(readable(str(token)), _LONGEST_SPAN) for token in shares["source_token"].values[shown]]
    numbers = shares.values[shown]
    left = max(text_width(name, 8) for name in names) / 72
    with drawing(ax, ["shares"], (left + 4.2, 0.9 + 0.24 * len(shown)), figsize) as panels:
        [axes] = panels.axes
        places = np.arange(len(shown))
        colors = np.where(numbers >= 0, WEIGHT_COLOR, NORM_COLOR)
        if "units" in shares.attrs:  # what lies in no passage isn't one
            colors[shares["source_category"].values[shown].astype(str) == "special"] = FAINT
        axes.barh(places, numbers, color=colors, height=0.72)
        axes.axvline(0, color=INK, linewidth=0.8)
        label_ticks(axes.yaxis, list(places), names)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.margins(x=0.14)
        digits = _digits(numbers)
        for place, number in zip(places.tolist(), numbers.tolist(), strict=True):
            axes.annotate(
                f"{number:+.{digits}f}".replace("-", "−"), (number, place), xytext=(3 if number >= 0 else -3, 0),
                textcoords="offset points", va="center", ha="left" if number >= 0 else "right", fontsize=7, color=INK,
            )  # fmt: skip
        axes.set_xlabel(_cut(f"share of the {shares.attrs.get('target', 'target')}", 60))
        axes.spines["left"].set_visible(False)
    return axes


def row_labels(result: xr.DataArray) -> list[str]:
    """The words of an answer with their probabilities, ``(target,)``."""
    tokens, probabilities = result["target_token"].values, result["target_probability"].values
    return [
        f"{shortened(readable(str(token)), _LONGEST)}  {percent(probability)}"
        for token, probability in zip(tokens, probabilities, strict=True)
    ]


def column_labels(result: xr.DataArray) -> list[str]:
    """The sources, shortened, ``(source,)``."""
    longest = _LONGEST_SPAN if result.attrs.get("units") == "spans" else _LONGEST
    return [_cut(readable(str(token)), longest) for token in result["source_token"].values]


def percent(probability: float) -> str:
    """A probability in percent.

    Examples
    --------
    >>> percent(0.964), percent(0.002), percent(0.00001)
    ('96%', '0.2%', '<0.1%')
    """
    if probability < 0.001:
        return "<0.1%"
    return f"{100 * probability:.0f}%" if probability >= 0.0095 else f"{100 * probability:.1f}%"


def _cut(label: str, longest: int) -> str:
    return label if len(label) <= longest else label[: longest - 1].rstrip() + "…"


def _digits(numbers: np.ndarray) -> int:
    largest = float(np.abs(numbers).max(initial=0.0)) or 1.0
    return min(max(0, 2 - math.floor(math.log10(largest))), 6)


def _size(shape: tuple[int, ...], rows: list[str], columns: list[str]) -> FigureSize:
    left = max(text_width(name, _LETTERS) for name in rows) / 72
    below = max(text_width(name, _LETTERS) for name in columns) / 72
    width, height = (max(_CELL * count, 1.6) for count in (shape[1], shape[0]))
    return min(width + left + 1.3, _WIDEST), min(height + below + 0.6, _TALLEST)


def _scale(values: np.ndarray) -> tuple[float, bool]:
    """The end of the color scale, and whether larger numbers are cut off."""
    sizes = np.abs(values[np.isfinite(values)])
    largest = float(sizes.max(initial=0.0))
    usual = float(np.percentile(sizes, 99.5)) if sizes.size > 400 else largest
    return (usual, True) if usual and largest > 2 * usual else (largest, False)


def _label(axes: Axes, rows: list[str], columns: list[str], shape: tuple[int, ...]) -> None:
    width, height = size_of(axes)
    for axis, names, room in ((axes.yaxis, rows, height / shape[0]), (axes.xaxis, columns, width / shape[1])):
        size = float(np.clip(0.8 * 72 * room, _SMALLEST, _LETTERS))
        step = max(1, math.ceil(1.1 * _SMALLEST / (72 * room)))
        places = list(range(0, len(names), step))
        label_ticks(axis, [place + 0.5 for place in places], [names[place] for place in places])
        axis.set_tick_params(length=0, labelsize=size, pad=2)
    axes.tick_params(axis="x", labelrotation=90)
    axes.set_ylabel("answer, with probabilities")
    for spine in axes.spines.values():
        spine.set_visible(True)


def _divide(axes: Axes, result: xr.DataArray) -> None:
    """A line between the sources of the prompt and those of the answer."""
    if "source_role" not in result.coords:
        return
    roles = result["source_role"].values.astype(str)
    for place in np.flatnonzero(roles[1:] != roles[:-1]):
        axes.axvline(float(place + 1), color=FAINT, linewidth=0.9)


def _write_numbers(axes: Axes, values: np.ndarray, largest: float) -> None:
    digits = _digits(values)
    options: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6.5}
    for (row, column), number in np.ndenumerate(values):
        ink = "white" if abs(number) > 0.42 * largest else INK
        axes.text(column + 0.5, row + 0.5, f"{number:.{digits}f}".replace("-", "−"), color=ink, **options)
