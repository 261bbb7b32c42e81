"""The pictures: sentiment against the number of negations, and words in the plane of domain and value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from normlens.figures.style import FAINT, INK, NORM_COLOR, WEIGHT_COLOR, drawing_style, new_figure
from reproduce.negation.trees.contestants import CONTESTANTS

_COLORS = {"positive": WEIGHT_COLOR, "negative": NORM_COLOR}
_TIMES = ("x", "not x", "not not x", "not³ x", "not⁴ x")
_DIFFERENT = ("#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#D55E00")
_STAGES: Mapping[str, Any] = {
    "x": {"markersize": 7},
    "not x": {"markersize": 7, "fillstyle": "none"},
    "not not x": {"markersize": 3},
}
_APART = 0.17  # distance of labels of words, in units of sentiment


def draw(results: Mapping[str, Any]) -> dict[str, Figure]:
    """All figures of the kept parts, by name."""
    if "cues" not in results:
        return {}
    return {"negations": negations(results["cues"]["repeated"]), "plane": plane(results["cues"]["plane"])}


def negations(models: Mapping[str, Any]) -> Figure:
    """Draw the mean sentiment of positive and of negative words under "not" applied 0 to 4 times, a panel for each model.

    Parameters
    ----------
    models
        Model to its numbers, as :func:`reproduce.negation.trees.learned_cues.repeated` returns them.
    """
    with drawing_style():
        figure = new_figure(2.1 * len(models) + 0.4, 3.2)
        grid = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axes, (name, numbers) in zip(grid, models.items(), strict=True):
            for sign, curve in numbers["curves"].items():
                _curve(axes, curve, _COLORS[sign])
            axes.axhline(0, color=FAINT, linewidth=0.8)
            axes.set_xticks(range(len(_TIMES)), _TIMES, rotation=60)
            axes.set_title(CONTESTANTS[name].title)
        grid[0].set_ylabel("sentiment, from −2 to 2")
        handles = [Line2D([], [], color=color, marker="o", label=f"{sign} words") for sign, color in _COLORS.items()]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def _curve(axes: Axes, curve: Sequence[Mapping[str, float]], color: str) -> None:
    times = np.arange(len(curve))
    value, low, high = (np.array([point[end] for point in curve]) for end in ("value", "low", "high"))
    axes.fill_between(times, low, high, color=color, alpha=0.2, linewidth=0)
    axes.plot(times, value, marker="o", markersize=4, color=color)


def plane(words: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw words, "not x" (hollow) and "not not x" (small) by domain and sentiment, joined by a line.

    Parameters
    ----------
    words
        As :func:`reproduce.negation.trees.learned_cues.plane` returns them.
    """
    with drawing_style():
        figure = new_figure(6.6, 4.2)
        axes = figure.subplots()
        for number, word in enumerate(words):
            color = _DIFFERENT[number % len(_DIFFERENT)]
            axes.plot(word["domain"], word["value"], color=color, linewidth=0.9, alpha=0.7)
            for point, style in enumerate(_STAGES.values()):
                axes.plot(word["domain"][point], word["value"][point], "o", color=color, **style)
        for word, height in zip(words, _label_heights(words), strict=True):
            side = "bottom" if word["value"][0] > 0 else "top"
            axes.text(word["domain"][0], height, word["word"], fontsize=8, ha="center", va=side, in_layout=False)
        axes.axhline(0, color=FAINT, linewidth=0.8)
        axes.set(xlabel="domain: first principal component of the words'", ylabel="sentiment, read from the value")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.08, y=0.2)
        handles = [
            Line2D([], [], color=INK, marker="o", linestyle="none", label=name, **style)
            for name, style in _STAGES.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _label_heights(words: Sequence[Mapping[str, Any]]) -> list[float]:
    """Heights of labels above positive and below negative words, moved apart where words are close."""
    reach = max(abs(x) for word in words for x in word["domain"]) or 1.0
    heights: list[float] = []
    for number, word in enumerate(words):
        sign = 1.0 if word["value"][0] > 0 else -1.0
        height = word["value"][0] + 0.08 * sign
        for other, placed in sorted(zip(words[:number], heights, strict=True), key=lambda pair: sign * pair[1]):
            near = abs(other["domain"][0] - word["domain"][0]) < 0.25 * reach
            if near and abs(placed - height) < _APART:
                height = placed + sign * _APART
        heights.append(height)
    return heights
