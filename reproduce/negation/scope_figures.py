"""The figures of the scope study: heads by weight against heads by norm, and inside against outside by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from normlens.figures.style import FAINT, INK, NORM_COLOR, WEIGHT_COLOR, drawing_style, new_figure

Result = Mapping[str, Any]
TITLES = {"minilm-l6": "MiniLM", "smollm2-135m": "SmolLM2-135M", "random": "MiniLM, random weights"}
_RULES: Mapping[str, tuple[float, tuple[float, ...]]] = {
    "to the next punctuation mark": (0.0, (4.0, 2.0)),
    "between punctuation marks": (0.0, (1.0, 2.0)),
}
"""Rules with the dashes of their lines."""


def drawn(kept: Mapping[str, Result]) -> dict[str, Figure]:
    """All figures that the kept parts allow."""
    models = {name: kept[f"scope {name}"] for name in TITLES if f"scope {name}" in kept}
    if not models or "scope rules" not in kept:
        return {}
    return {"heads": _heads(models, kept["scope rules"]), "inside": _inside(models)}


def _heads(models: Mapping[str, Result], rules: Result) -> Figure:
    """A point for each head: token F1 on test by weight against by norm, at the direction and threshold best on train.

    The diamond is the answer: the head chosen on dev by weight, against the one chosen by norm.
    """
    with drawing_style():
        figure = new_figure(2.7 * len(models) + 0.4, 3.7)
        panels = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, numbers) in zip(panels, models.items(), strict=True):
            _draw_heads(axes, numbers)
            axes.set_title(TITLES[name])
            for rule, line in _RULES.items():
                f1 = rules["scores"][rule]["token"][0]
                axes.axhline(f1, color=FAINT, linestyle=line, linewidth=0.9)
                axes.axvline(f1, color=FAINT, linestyle=line, linewidth=0.9)
            axes.set_xlabel("token F1 by weight")
        panels[0].set_ylabel("token F1 by norm")
        handles = [
            Line2D([], [], color=INK, marker="o", linestyle="", markersize=4, alpha=0.5, label="a head"),
            Line2D([], [], color=NORM_COLOR, marker="D", linestyle="", markersize=6, label="the heads chosen on dev"),
            *(Line2D([], [], color=FAINT, linestyle=line, label=rule) for rule, line in _RULES.items()),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _draw_heads(axes: Axes, numbers: Result) -> None:
    scores = {name: np.array([head["test"] for head in numbers["every_head"][name]]) for name in ("weight", "norm")}
    low = min(values.min() for values in scores.values())
    axes.plot([low, 1], [low, 1], color="#E6E6E6", linewidth=0.8, zorder=0)
    axes.plot(scores["weight"], scores["norm"], "o", color=INK, alpha=0.35, markersize=3.5, markeredgewidth=0)
    chosen = (numbers["chosen"][name]["token"][0] for name in ("weight", "norm"))
    axes.plot(*chosen, "D", color=NORM_COLOR, markersize=6.5)
    axes.set_xlim(0.53, 0.83)
    axes.set_ylim(0.53, 0.83)
    axes.set_aspect("equal")


def _inside(models: Mapping[str, Result]) -> Figure:
    """Area under the curve within strata by layer: the mean and the best head, by weight and by norm."""
    directions = ("from the cue", "to the cue")
    with drawing_style():
        figure = new_figure(2.9 * len(models) + 0.5, 4.6)
        grid = figure.subplots(len(directions), len(models), sharey=True, squeeze=False)
        for row, direction in zip(grid, directions, strict=True):
            for axes, (name, numbers) in zip(row, models.items(), strict=True):
                of = numbers["contrast"][f"{direction}, distance and clause"]
                for measure, color in (("weight", WEIGHT_COLOR), ("norm", NORM_COLOR)):
                    auc = np.array(of[measure]["auc"]).reshape(numbers["layers"], numbers["heads"])
                    axes.plot(auc.max(axis=1), color=color, label=f"best head by {measure}")
                    axes.plot(auc.mean(axis=1), color=color, linestyle="--", label=f"mean over heads by {measure}")
                axes.axhline(0.5, color=FAINT, linewidth=0.8)
                axes.set_title(f"{TITLES[name]}\n{direction}", fontsize=9)
                axes.set_xlabel("layer")
            row[0].set_ylabel("inside above outside")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure
