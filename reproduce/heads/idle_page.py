"""The page and the figures of the study of idle heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from normlens.figures.style import FAINT, NORM_COLOR, WEIGHT_COLOR, drawing_style, new_figure
from normlens.statistics import bootstrap_interval
from normlens.statistics.heads import head_scatter
from reproduce.study.page import fill

Result = Mapping[str, Any]
Estimate = tuple[float, float, float]

CRITERIA = {
    "output norm": "shortest output, relative to the layer",
    "displacement": "smallest displacement, relative to the layer",
    "norm": "most ‖α f(x)‖ from the first token",
    "weight": "most weight on the first token",
    "random": "random",
}
_COLORS = {
    "output norm": NORM_COLOR, "displacement": "#009E73", "norm": "#CC79A7", "weight": WEIGHT_COLOR, "random": FAINT,
}  # fmt: skip
QUANTITIES = {
    "loss": ("rise of the loss, in nats per token", 1.0, 3),
    "distance": ("1 − cosine with the whole model's embedding", 1.0, 3),
    "error": ("rise of the error of classification, in points", 100.0, 1),
}
_AXES = {"loss": "rise of the loss, in nats", "distance": "1 − cosine", "error": "rise of the error, in points"}
_NAMES = {"smollm2-135m": "SmolLM2-135M", "minilm-l6": "MiniLM"}


def page(kept: Mapping[str, Result]) -> str:
    """All kept results, in sections that docs include by name."""
    return fill(
        "heads/idle.md.jinja",
        tables=[_table(name, quantity, result) for name, result in kept.items() for quantity in result["whole"]],
        sinks=[_sinks(name, result) for name, result in kept.items()],
        compared=[line for name, result in kept.items() for line in _against_weight(name, result)],
        sizes={_NAMES[name]: (result["heads"], result["texts"]) for name, result in kept.items()},
    )


def draw(kept: Mapping[str, Result]) -> dict[str, Figure]:
    """The rise by share of heads, and the scatter of heads."""
    with drawing_style():
        return {"rise": _rises(kept), "scatter": _scatters(kept)}


def shares_of(result: Result) -> list[float]:
    """The shares of heads that were zeroed."""
    return sorted({float(name.rpartition(" ")[2]) for name in result["zeroed"]})


def rises(result: Result, quantity: str, criterion: str, share: float) -> np.ndarray:
    """The rise of each text; the mean over choices where they are random."""
    whole = np.array(result["whole"][quantity])
    chosen = [
        np.array(values[quantity])
        for name, values in result["zeroed"].items()
        if name.startswith(criterion) and float(name.rpartition(" ")[2]) == share
    ]
    return np.asarray(np.mean(chosen, axis=0) - (whole if quantity != "distance" else 0.0))


def _estimate(values: np.ndarray) -> Estimate:
    low, high = bootstrap_interval(values)
    return float(values.mean()), float(low), float(high)


def _shown(estimate: Estimate, factor: float, digits: int) -> str:
    value, low, high = (f"{factor * x:+.{digits}f}".replace("-", "−") for x in estimate)
    return f"{value} ({low} to {high})"


def _table(name: str, quantity: str, result: Result) -> dict[str, Any]:
    title, factor, digits = QUANTITIES[quantity]
    shares = shares_of(result)
    rows = [
        [text, *(_shown(_estimate(rises(result, quantity, criterion, share)), factor, digits) for share in shares)]
        for criterion, text in CRITERIA.items()
    ]
    return {"title": f"{_NAMES[name]}: {title}", "rows": rows, "shares": [f"{share:.0%}" for share in shares]}


def _against_weight(name: str, result: Result) -> list[str]:
    """The difference between zeroing by output norm and by weight on the first token, text by text."""
    lines = []
    for quantity in result["whole"]:
        title, factor, digits = QUANTITIES[quantity]
        differences = [
            f"{share:.0%}: "
            + _shown(
                _estimate(rises(result, quantity, "output norm", share) - rises(result, quantity, "weight", share)),
                factor,
                digits,
            )
            for share in shares_of(result)
        ]
        lines.append(f"{_NAMES[name]}, {title}: {'; '.join(differences)}")
    return lines


def _sinks(name: str, result: Result) -> list[str]:
    """The sink metric by weight and by norm, with the shares that it is made of."""
    overall = result["table"]["overall"]
    names = ("first_token_weight", "first_token_norm", "sink_by_weight", "sink_by_norm")
    return [_NAMES[name], *(_percent(overall[quantity]) for quantity in names)]


def _percent(estimate: Estimate) -> str:
    value, low, high = (f"{100 * x:.1f}" for x in estimate)
    return f"{value} % ({low} to {high})"


def _rises(kept: Mapping[str, Result]) -> Figure:
    panels = [(name, quantity, result) for name, result in kept.items() for quantity in result["whole"]]
    figure = new_figure(3.4 * len(panels) + 0.4, 3.4)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, quantity, result) in zip(row, panels, strict=True):
        _, factor, _ = QUANTITIES[quantity]
        shares = shares_of(result)
        for offset, (criterion, text) in enumerate(CRITERIA.items()):
            estimates = np.array([_estimate(rises(result, quantity, criterion, share)) for share in shares]) * factor
            at = 100 * np.array(shares) + 0.25 * (offset - 2)
            axes.errorbar(
                at, estimates[:, 0], yerr=np.abs(estimates[:, 1:].T - estimates[:, 0]), color=_COLORS[criterion],
                marker="o", markersize=4, linewidth=1.4, elinewidth=1, label=text,
            )  # fmt: skip
        axes.set(xlabel="heads zeroed, in %", ylabel=_AXES[quantity], title=_NAMES[name])
        axes.set_xticks([100 * share for share in shares])
        axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, title="heads chosen by")
    return figure


def _scatters(kept: Mapping[str, Result]) -> Figure:
    figure = new_figure(5.2 * len(kept), 4.2)
    row = figure.subplots(1, len(kept), squeeze=False)[0]
    for axes, (name, result) in zip(row, kept.items(), strict=True):
        table = pd.DataFrame(result["table"]["rows"], columns=["quantity", "layer", "head", "value"])
        head_scatter(table, ax=axes)
        axes.set_title(_NAMES[name])
    return figure
