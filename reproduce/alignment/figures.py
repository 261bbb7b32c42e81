"""The figures of `reproduce.alignment.table`: AER by layer, and along training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from normlens.figures.alignment_panels import aer_curves
from normlens.figures.panels import figure_of
from normlens.figures.style import MEASURE_COLORS, drawing_style, new_figure
from reproduce.alignment.models import best
from reproduce.study.published import FAST_ALIGN_AER

KINDS = {"unguided": "-", "guided": "--"}
LABEL_HEIGHT = 3.6
"""Height of a name beside a curve, in points of AER."""

OUTLINE = withStroke(linewidth=2, foreground="white")
"""Outline of text that is written across lines."""


def draw(kept: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw the measurements; figures by the suffix of their file names."""
    drawn = {}
    for kind in KINDS:
        rows = [
            {**row, "aer": row["aer"] / 100}
            for name, result in kept.items()
            if name.startswith("model ") and kind_of(result["training"]["settings"]) == kind and from_german(result)
            for row in result["table"]
            if row["head"] is None
        ]
        if rows:
            drawn[f"layers_{kind}"] = figure_of(aer_curves(pd.DataFrame(rows), _references(kept)))
    curves = {name.removeprefix("curve "): result for name, result in kept.items() if name.startswith("curve ")}
    curves = {
        name: result
        for name, result in curves.items()
        if result["settings"]["direction"] == "de-en" and result["points"]
    }
    if curves:
        drawn["curve"] = _along_training(curves, _references(kept))
    return drawn


def kind_of(settings: Mapping[str, Any]) -> str:
    """Whether a training was guided by another aligner's links."""
    return "guided" if settings.get("guide") else "unguided"


def from_german(result: Mapping[str, Any]) -> bool:
    """Whether a model translates from German, as in the paper."""
    return bool(result["training"]["settings"]["direction"] == "de-en")


def _references(kept: Mapping[str, Any]) -> dict[str, float]:
    rates = {"fast_align": FAST_ALIGN_AER["forward"] / 100}
    for texts in ("all", "free"):
        if result := kept.get(f"eflomal {texts}"):
            runs = [row["aer"] for table in result["tables"] for row in table if row["how"] == "forward"]
            return {**rates, "eflomal": sum(runs) / len(runs) / 100}
    return rates


def _along_training(curves: Mapping[str, Any], references: Mapping[str, float]) -> Figure:
    with drawing_style():
        figure = new_figure(6.4, 3.9)
        axes = figure.subplots()
        ends = []
        for name, result in curves.items():
            minutes = [point["minutes"] for point in result["points"]]
            line = KINDS[kind_of(result["settings"])]
            for measure, color in MEASURE_COLORS.items():
                rates = [best(point["table"], measure, "awi")["aer"] for point in result["points"]]
                axes.plot(minutes, rates, line, color=color, marker="os"[measure == "norm"], markersize=3.5)
            ends.append((rates[-1], minutes[-1], name))
        height, last = 0.0, max(minute for _, minute, _ in ends)
        for rate, minute, name in sorted(ends):
            height = max(rate, height + LABEL_HEIGHT)
            axes.annotate(
                name, (minute, rate), xytext=(1.06 * last, height), va="center", fontsize=7.5, path_effects=[OUTLINE],
                arrowprops={"arrowstyle": "-", "color": "#BBBBBB", "linewidth": 0.6},
            )  # fmt: skip
        axes.set_xlim(0, 1.45 * last)
        for name, value in references.items():
            axes.axhline(100 * value, color="#999999", linewidth=1, linestyle=":")
            axes.annotate(
                name, (1, 100 * value), xycoords=("axes fraction", "data"),
                xytext=(-4, -9),
                ha="right", textcoords="offset points", fontsize=7.5, color="#666666",
            )  # fmt: skip
        axes.set(xlabel="processor minutes of training", ylabel="AER in %, best layer in AWI", ylim=(0, 100))
        axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
        handles = [
            axes.plot([], [], KINDS[kind], color=MEASURE_COLORS[measure], label=f"{kind}, by {measure}")[0]
            for kind in KINDS
            for measure in MEASURE_COLORS
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=7.5)
    return figure
