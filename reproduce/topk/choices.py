"""Every choice of k sources beside the choice by weight, renormalized: table and figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from normlens.figures.style import FAINT, INK, NORM_COLOR, WEIGHT_COLOR, drawing_style, new_figure
from normlens.statistics import bootstrap_interval
from reproduce.topk.controls import KEPT, LEFT_OUT, SCALED
from reproduce.topk.quality import values

Result = Mapping[str, Any]

KS = (2, 4, 8, 16)
"""Measured numbers of sources."""

_ROWS = {
    "weight renormalized": "weight, renormalized",
    "displacement renormalized": "displacement, renormalized",
    "norm renormalized": "norm, renormalized",
    f"{KEPT} renormalized": "norm, sinks always kept, renormalized",
    f"{SCALED} renormalized": "norm, scaled as by weight",
    f"{LEFT_OUT} renormalized": "weight, sinks never kept, renormalized",
    "joint renormalized": "jointly, renormalized",
    "weight full": "weight, full denominator",
    "displacement full": "displacement, full denominator",
    "norm full": "norm, full denominator",
    "joint full": "jointly, full denominator",
}
_REFERENCE = "weight renormalized"
_CURVES = {
    "weight": (WEIGHT_COLOR, "o", "-"),
    "displacement": ("#009E73", "^", "-"),
    "norm": (NORM_COLOR, "s", "-"),
    KEPT: (NORM_COLOR, "s", ":"),
    SCALED: (NORM_COLOR, "s", "--"),
    "joint": ("#7A3E9D", "D", "-"),
}
_RESAMPLES = 2000


def losses(result: Result, name: str) -> np.ndarray:
    """How much a setting loses in each passage: the rise in nats per token, or 1 − cosine with the dense embedding."""
    if "nll" in result["rows"][0]["dense"]:
        rise: np.ndarray = values(result, name, "nll") - [row["dense"]["nll"] for row in result["rows"]]
        return rise
    return np.asarray(1 - values(result, name, "cosine"))


def is_decoder(result: Result) -> bool:
    """Whether the losses are in nats."""
    return "nll" in result["rows"][0]["dense"]


def shown(result: Result) -> dict[str, Any]:
    """The numbers of a model: the loss by choice and k, with the interval of its difference from the weight's."""
    rows = []
    for name, title in _ROWS.items():
        row = [title]
        for k in result["ks"]:
            own = losses(result, f"{name} {k}")
            low, high = bootstrap_interval(own - losses(result, f"{_REFERENCE} {k}"), resamples=_RESAMPLES, seed=0)
            interval = f" ({low:+.3f} to {high:+.3f})" if name != _REFERENCE and low == low else ""
            row.append(f"{own.mean():.3f}{interval}")
        rows.append(row)
    return {
        **{key: result[key] for key in ("model", "passages", "tokens", "text")},
        "loss": "Rise of the loss over the dense model, nats per token" if is_decoder(result) else
        "1 − cosine of the embedding with the dense model's",
        "sinks": "the first token" if is_decoder(result) else "the first and the last token, [CLS] and [SEP]",
        "ks": [f"k = {k}" for k in result["ks"]],
        "rows": rows,
    }  # fmt: skip


def choices_figure(results: Mapping[str, Result]) -> Figure:
    """The renormalized choices of each model against k."""
    with drawing_style():
        figure = new_figure(8.4, 3.9)
        for axes, (model, result) in zip(
            figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True
        ):
            for by, (color, marker, line) in _CURVES.items():
                means = [losses(result, f"{by} renormalized {k}").mean() for k in result["ks"]]
                axes.plot(
                    result["ks"], means, color=color, marker=marker, linestyle=line, label=_label(by), markersize=5
                )
            axes.set(xscale="log", yscale="log", title=model, xlabel="k, sources per target")
            axes.set_xticks(result["ks"], [str(k) for k in result["ks"]])
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.minorticks_off()
            axes.set_ylabel("rise of the loss, nats" if is_decoder(result) else "1 − cosine with dense")
            axes.grid(color=FAINT, linewidth=0.5)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, labelcolor=INK)
    return figure


def _label(by: str) -> str:
    return _ROWS[f"{by} renormalized"].removesuffix(", renormalized")
