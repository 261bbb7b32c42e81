"""Pictures of the four tests: adversaries beside seeds, divergence by largest weight, and what guides help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from normlens.errors import InvalidInput
from normlens.figures.panels import FigureSize, drawing
from normlens.figures.style import FAINT, NORM_COLOR, WEIGHT_COLOR

_LN2 = float(np.log(2))
_CLASS_COLORS = (WEIGHT_COLOR, NORM_COLOR, "#009E73", "#AA3377", "#E69F00", "#56B4E9")

Estimate = Mapping[str, float]
"""``value``, ``low`` and ``high``."""


def adversary_curve(
    adversaries: Sequence[Mapping[str, Any]],
    seeds: Sequence[Mapping[str, Any]],
    *,
    ax: Axes | None = None,
    figsize: FigureSize | None = None,
) -> Axes:
    """Draw how far attention moves (JSD) for how much change of the prediction (TVD): adversaries beside other seeds.

    Parameters
    ----------
    adversaries
        For each λ a mapping with ``strength``, and the estimates ``jsd`` (nats) and ``tvd``, each with ``value``, ``low``
        and ``high``.
    seeds
        For each other seed ``jsd`` and ``tvd``, two numbers.
    ax, figsize
        Axes to draw into, or the size of a new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes
        Adversaries to the right of the seeds at the height of the seeds have attention elsewhere for the same predictions.

    Raises
    ------
    InvalidInput
        If there is neither an adversary nor a seed.
    """
    if not adversaries and not seeds:
        raise InvalidInput("There is no adversary and no seed to draw; expected at least one of them.")
    with drawing(ax, ["adversaries and seeds"], (5.4, 3.6), figsize) as panels:
        [axes] = panels.axes
        if adversaries:
            _draw_adversaries(axes, sorted(adversaries, key=lambda row: row["strength"]))
        if seeds:
            points = np.array([[row["jsd"], row["tvd"]] for row in seeds])
            axes.plot(*points.T, "s", color=WEIGHT_COLOR, markersize=5, linestyle="none", label="other seeds")
        _draw_largest_divergence(axes)
        axes.set(xlim=(-0.01, 0.72), xlabel="JSD of attention to the base model, in nats", ylabel="TVD of predictions")
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])  # room for a marker at the top
        axes.set_title("same predictions, other attention?")
        panels.legend(loc="outside upper right", ncols=2)
    return axes


def divergence_violins(
    table: pd.DataFrame,
    classes: Sequence[str],
    *,
    title: str = "JSD of attention between seeds",
    ax: Axes | None = None,
    figsize: FigureSize | None = None,
) -> Axes:
    """Draw how divergences are spread, by the text's class and its largest weight.

    Parameters
    ----------
    table
        With the columns ``label``, ``bin`` (an interval of the largest weight) and ``divergence`` (nats), as
        `normlens.faithfulness.four_tests.by_largest_weight` returns it.
    classes
        Names of the labels.
    title
        Title of the panel.
    ax, figsize
        Axes to draw into, or the size of a new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes
        A violin for each bin and class with at least two texts, with its median; dots for fewer.
    """
    bins = sorted(table["bin"].unique())
    with drawing(ax, [title], (6.2, 3.2), figsize) as panels:
        [axes] = panels.axes
        width = 0.8 / len(classes)
        for number, name in enumerate(classes):
            color = _CLASS_COLORS[number % len(_CLASS_COLORS)]
            axes.plot([], [], "s", color=color, alpha=0.6, label=name)
            for place, interval in enumerate(bins):
                values = table.loc[(table["bin"] == interval) & (table["label"] == number), "divergence"].to_numpy()
                position = place + (number - (len(classes) - 1) / 2) * width
                _violin(axes, values, position, width, color)
        axes.set_xticks(range(len(bins)), [f"{max(0.0, float(b.left)):g}–{float(b.right):g}" for b in bins])
        axes.set(xlabel="largest weight of the text", ylabel="JSD, in nats", ylim=(0, 0.72))
        axes.set_xlim(-0.5, len(bins) - 0.5)
        axes.set_title(title)
        panels.legend(loc="outside upper right", ncols=min(4, len(classes)))
    return axes


def guide_estimates(
    guides: Sequence[Mapping[str, Any]], *, ax: Axes | None = None, figsize: FigureSize | None = None
) -> Axes:
    """Draw F1 of the diagnostic model by its guide, with intervals; a line marks equal weights.

    Parameters
    ----------
    guides
        For each guide its name, ``guide``, and the estimate ``f1``; one is called "uniform".
    ax, figsize
        Axes to draw into, or the size of a new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes
        The best guide on top.
    """
    rows = sorted(guides, key=lambda row: row["f1"]["value"])
    with drawing(ax, ["guides"], (5.6, 0.26 * len(rows) + 1.0), figsize) as panels:
        [axes] = panels.axes
        heights = np.arange(len(rows))
        colors = [
            NORM_COLOR if "norm" in row["guide"] else WEIGHT_COLOR if "weight" in row["guide"] else FAINT
            for row in rows
        ]
        low, high = _bars([{"f1": row["f1"]} for row in rows], "f1")
        for height, row, color, below, above in zip(heights, rows, colors, low, high, strict=True):
            axes.errorbar(row["f1"]["value"], height, xerr=[[below], [above]], fmt="o", markersize=4, color=color)
        uniform = next((row["f1"]["value"] for row in rows if row["guide"] == "uniform"), None)
        if uniform is not None:
            axes.axvline(uniform, color=FAINT, linestyle="--", linewidth=0.8)
        axes.set_yticks(heights, [row["guide"] for row in rows])
        axes.set_ylim(min(heights) - 0.5, max(heights) + 0.5)
        axes.set_xlabel("F1 of a model that reads each token alone")
        axes.set_title("which weights guide a model without context?")
    return axes


def _draw_adversaries(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """A point for each λ with its intervals, joined in the order of λ."""
    x, y = (np.array([row[name]["value"] for row in rows]) for name in ("jsd", "tvd"))
    across_bars, up_bars = (_bars(rows, name) for name in ("jsd", "tvd"))
    style: dict[str, Any] = {
        "color": NORM_COLOR,
        "marker": "o",
        "markersize": 4,
        "linewidth": 1,
        "label": "adversaries",
    }
    axes.errorbar(x, y, xerr=across_bars, yerr=up_bars, **style)
    for number, (across, up, label) in enumerate(_labels(rows, x, y)):
        above = number % 2 == 0
        axes.annotate(
            label, (across, up), (5, 6) if above else (-3, -6), textcoords="offset points", fontsize=7,
            va="bottom" if above else "top", ha="left" if above else "right",
        )  # fmt: skip


def _draw_largest_divergence(axes: Axes) -> None:
    """A line at ln 2, which no JSD exceeds."""
    axes.axvline(_LN2, color=FAINT, linestyle=":", linewidth=0.8)
    axes.annotate(
        "ln 2",
        (_LN2, 1),
        (-3, -9),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right",
        fontsize=7,
    )


def _labels(rows: Sequence[Mapping[str, Any]], x: np.ndarray, y: np.ndarray) -> list[tuple[float, float, str]]:
    """Places and labels of the adversaries; those at the same place share one."""
    groups: list[tuple[float, float, list[str]]] = []
    for row, across, up in zip(rows, x, y, strict=True):
        strength = f"{row['strength']:g}"
        near = [one for one in groups if abs(one[0] - across) < 0.03 and abs(one[1] - up) < 0.05 * y.max()]
        if near:
            near[0][2].append(strength)
        else:
            groups.append((float(across), float(up), [strength]))
    return [(across, up, f"λ = {', '.join(strengths)}") for across, up, strengths in groups]


def _bars(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """Lengths of the error bars below and above, ``(2, row)``."""
    value, low, high = (np.array([row[name][end] for row in rows]) for end in ("value", "low", "high"))
    return np.asarray(np.nan_to_num(np.maximum([value - low, high - value], 0)))


def _violin(axes: Axes, values: np.ndarray, position: float, width: float, color: str) -> None:
    if len(values) < 2 or np.ptp(values) == 0:
        axes.plot([position] * len(values), values, ".", color=color, markersize=3)
        return
    drawn: Any = axes.violinplot(values, [position], widths=0.9 * width, showextrema=False, showmedians=True)
    for body in drawn["bodies"]:
        body.set(facecolor=color, alpha=0.6)
    drawn["cmedians"].set(color=color, linewidth=1.2)
