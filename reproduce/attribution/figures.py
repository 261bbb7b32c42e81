"""The figures of the study of attribution: AOPC of every method, the drop of the probability, maps against gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from normlens.faithfulness import BASELINES
from normlens.figures.style import FAINT, INK, NORM_COLOR, WEIGHT_COLOR, drawing_style, new_figure
from normlens.statistics.report.estimates import Estimate
from reproduce.attribution.page import COMPARED, TASKS, shown, sorted_rows
from reproduce.study.figures import estimates_beside_published
from reproduce.study.published import DECOMPX_SST2, GLOBENC_SST2

Entry = Mapping[str, Any]

CURVES = {
    "DecompX": NORM_COLOR,
    "DecompX, averaged": "#E69F00",
    "integrated gradients": "#009E73",
    "ALTI": "#AA3377",
    "GlobEnc (N-Enc)": INK,
    "gradient × input": "#56B4E9",
    "random": "#8C8C8C",
    "leave_one_out": WEIGHT_COLOR,
}
"""The methods whose probability drop is drawn, and their colors."""

ERASURES = {"mask": "words masked", "delete": "words deleted"}


def figures_of(kept: Mapping[str, Entry]) -> dict[str, Figure]:
    """All figures, by the suffix of their file names."""
    figures = {}
    for task, entry in kept.items():
        if "table" in entry:
            figures[task] = methods_by_aopc(entry, TASKS[task])
            figures[f"{task}_curves"] = falls(entry, TASKS[task])
        if "saliency" in entry:
            figures[f"{task}_saliency"] = maps_and_gradients(entry, TASKS[task])
    return figures


def methods_by_aopc(entry: Entry, title: str) -> Figure:
    """AOPC of every method with its interval, the best on top; random order as a band.

    Parameters
    ----------
    entry
        A task's numbers.
    title
        Title of the task.
    """
    rows = sorted_rows(entry)
    with drawing_style():
        figure = new_figure(7.6, 0.27 * len(rows) + 1.3)
        panels = figure.subplots(1, len(ERASURES), sharex=True, sharey=True)
        for axes, (erasure, label) in zip(panels, ERASURES.items(), strict=True):
            _draw_aopc(axes, entry, rows, erasure)
            axes.set_title(f"{title}, {label}", fontsize=9)
            axes.set_xlabel("AOPC (higher is better)")
        panels[0].set_yticks(range(len(rows)), [shown(row) for row in rows])
        panels[0].set_ylim(len(rows) - 0.5, -0.5)
        for tick, row in zip(panels[0].get_yticklabels(), rows, strict=True):
            tick.set_color(_color(row))
            tick.set_fontstyle("italic" if row in BASELINES else "normal")
        _draw_published(panels[0], rows)
        figure.legend(loc="outside upper center", ncols=3)
    return figure


def falls(entry: Entry, title: str) -> Figure:
    """The drop of the predicted class's probability, step by step.

    Parameters
    ----------
    entry
        A task's numbers.
    title
        Title of the task.
    """
    names = [name for name in CURVES if name in entry["curves"]]
    steps = np.array([0.0, *entry["steps"]])
    with drawing_style():
        figure = new_figure(7.6, 3.2)
        for axes, (erasure, label) in zip(figure.subplots(1, 2, sharey=True), ERASURES.items(), strict=True):
            for name in names:
                style = ":" if name in BASELINES else "-"
                fall = np.array([0.0, *entry["curves"][name][erasure]])
                axes.plot(
                    steps, fall, style, color=CURVES[name], marker="o", markersize=2.5,
                    label=shown(name) if erasure == "mask" else None,
                )  # fmt: skip
            axes.set_title(f"{title}, most important {label}", fontsize=9)
            axes.set_xlabel(f"share of {label}")
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
            axes.grid(color="#E6E6E6", linewidth=0.6)
            axes.axhline(0, color=FAINT, linewidth=0.8)
        figure.axes[0].set_ylabel("fall of the probability")
        figure.legend(loc="outside right center")
    return figure


def maps_and_gradients(entry: Entry, title: str) -> Figure:
    """Correlation of each kind of map with gradients, and GlobEnc's.

    Parameters
    ----------
    entry
        A task's numbers.
    title
        Title of the task.
    """
    names = {"all tokens": f"MiniLM, {title}", "words": f"MiniLM, {title}, without [CLS], [SEP]"}
    ours = {
        label: {
            row["kind"]: Estimate(row["value"], row["low"], row["high"], row["n_texts"])
            for row in entry["saliency"]
            if row["tokens"] == tokens
        }
        for tokens, label in names.items()
    }
    theirs = {"BERT-base, SST-2": GLOBENC_SST2} if title == TASKS["sst"] else {}
    return estimates_beside_published(list(GLOBENC_SST2), ours, theirs, "Spearman with gradient saliency")


def _draw_aopc(axes: Axes, entry: Entry, rows: list[str], erasure: str) -> None:
    by_method = {row["method"]: row for row in entry["table"] if row["erasure"] == erasure and row["measure"] == "aopc"}
    band = by_method.get("random")
    if band:
        axes.axvspan(band["low"], band["high"], color="#DDDDDD", zorder=0)
    for place, name in enumerate(rows):
        row = by_method[name]
        reach = [[max(0.0, row["value"] - row["low"])], [max(0.0, row["high"] - row["value"])]]
        axes.errorbar([row["value"]], [place], xerr=reach, fmt="o", markersize=4, capsize=2, color=_color(name))
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_published(axes: Axes, rows: list[str]) -> None:
    """Published values of BERT-base as hollow diamonds; drawn for the rows that have one."""
    places = [(rows.index(name), aopc) for name, (_, aopc) in DECOMPX_SST2.items() if name in rows]
    if places and axes.get_title().startswith(TASKS["sst"]):
        heights, values = zip(*places, strict=True)
        axes.plot(
            values,
            heights,
            "D",
            markersize=4,
            fillstyle="none",
            color=FAINT,
            label="BERT-base, SST-2 (published)",
        )
    axes.plot([], [], "o", color=INK, markersize=4, label="MiniLM (ours)")
    axes.fill_between([], [], color="#DDDDDD", label="random order")


def _color(name: str) -> str:
    if name in COMPARED:
        return CURVES[name]
    return WEIGHT_COLOR if name == "leave_one_out" else "#8C8C8C" if name in BASELINES else INK
