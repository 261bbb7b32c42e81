"""The figures of `reproduce.clustering.table`: recovery of planted clusterings, and maps of attention heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from normlens import figures
from normlens.clustering.model_heads import HABITS
from normlens.figures.panels import figure_of
from normlens.figures.style import drawing_style, new_figure
from reproduce.clustering.heads import MEASURES
from reproduce.clustering.planted import ALPHAS, NEED_K, SAMPLED

_METHODS = {
    "search": ("#D55E00", "-", "o"),
    "k-means": ("#0072B2", "--", "s"),
    "average linkage": ("#009E73", "--", "^"),
    "single linkage": ("#56B4E9", "--", "v"),
    "spectral": ("#AA3377", "--", "D"),
    "HDBSCAN": ("#555555", "-", "P"),
}
_SHADES = {1.1: "#F2B68C", 1.2: "#E8935A", 1.3: "#D55E00", 1.5: "#943F00", 2.0: "#4A1F00"}


def draw(kept: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw the measurements; figures by the suffix of their file names."""
    drawn = {}
    if "planted" in kept:
        drawn["recovery"] = _recovery(kept["planted"])
    for key, measured in kept.items():
        if key.startswith("heads of "):
            model = key.removeprefix("heads of ")
            for name in MEASURES:
                drawn[f"{model}_{name}"] = _map(model, name, measured)
    return drawn


def _recovery(measured: Mapping[str, Any]) -> Figure:
    settings = measured["settings"]
    with drawing_style():
        figure = new_figure(9.2, 3.9)
        methods, samples = figure.subplots(1, 2, sharey=True)
        for name, (color, line, marker) in _METHODS.items():
            rates = [setting["exact"].get(name, np.nan) for setting in settings]
            label = f"{name} (true k)" if name in NEED_K else name
            methods.plot(ALPHAS, rates, line, color=color, marker=marker, markersize=4, label=label)
        methods.set_xscale("log")
        methods.set_xticks(ALPHAS, [f"{alpha:g}" for alpha in ALPHAS])
        methods.xaxis.set_minor_locator(NullLocator())
        methods.set(title="planted clustering recovered exactly", xlabel="α of the planted clustering")
        for setting in settings:
            if setting["alpha"] in _SHADES:
                rates = [setting["sampled"][str(count)] for count in SAMPLED]
                label = f"α = {setting['alpha']:g}"
                samples.plot(SAMPLED, rates, color=_SHADES[setting["alpha"]], marker="o", markersize=4, label=label)
        samples.set(title="recovered from a correctly partitioned sample", xlabel="sampled points of each cluster")
        for axes in (methods, samples):
            _finish(axes)
        methods.set_ylabel("share of instances")
    return figure


def _finish(axes: Axes) -> None:
    axes.set_ylim(-0.03, 1.05)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right")


def _map(model: str, name: str, measured: Mapping[str, Any]) -> Figure:
    clustered = measured["maps"][name]
    said = f"α* {clustered['alpha']:.3f}" + ("" if clustered["found"] else ", not certified at α = 1.05")
    axes = figures.cluster_map(
        clustered["matrix"],
        clustered["labels"],
        names=measured["names"],
        kinds=clustered["kinds"],
        certified=[(members, alpha) for members, alpha in clustered["certified"]],
        title=f"{model}: heads by {name}, {len(clustered['sizes'])} clusters, {said}",
        unit="mean √JSD",
        aside=HABITS[-1],
    )
    return figure_of(axes)
