"""The figures of `reproduce.topk.table`: quality against k, one layer at a time, and sources needed by layer and head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from normlens.figures.style import FAINT, INK, NORM_COLOR, WEIGHT_COLOR, drawing_style, new_figure
from reproduce.topk.choices import choices_figure
from reproduce.topk.compared import right
from reproduce.topk.listops import Course, Trainings, grouped
from reproduce.topk.quality import CHOICES, DENOMINATORS, values

Result = Mapping[str, Any]

_LOOKS = {
    "weight": (WEIGHT_COLOR, "o", "the k largest α"),
    "norm": (NORM_COLOR, "s", "the k largest α‖f(x)‖"),
    "recent": ("#009E73", "^", "the k nearest"),
    "random": ("#8C8C8C", "v", "any k"),
}
_LEAST_EXCESS = 1e-4
_TITLES = {"renormalized": "kept weights sum to one again", "full": "kept weights stay as they were"}


def draw(kept: Result) -> dict[str, Figure]:
    """Draw the measurements; figures by the suffix of their file names."""
    drawn = {}
    if "predictions" in kept:
        drawn["predictions"] = _predictions(kept["predictions"])
    if "long predictions" in kept:
        drawn["long_predictions"] = _excess(kept["long predictions"])
    if "embeddings" in kept:
        drawn["embeddings"] = _encoder(kept["embeddings"], kept.get("classifier"))
    for name, result in kept.items():
        if name.startswith("layers of "):
            drawn[f"layers_{result['model']}"] = _layers(result)
        if name.startswith("needed "):
            drawn[f"needed_{result['model']}"] = _needed(result)
    if choices := {result["model"]: result for name, result in kept.items() if name.startswith("choices of ")}:
        drawn["choices"] = choices_figure(choices)
    if "listops" in kept and grouped(kept["listops"]):
        drawn["listops"] = _listops(kept["listops"])
    return drawn


def _predictions(result: Result) -> Figure:
    dense = float(np.exp(np.mean([row["dense"]["nll"] for row in result["rows"]])))
    with drawing_style():
        figure = new_figure(8.4, 3.6)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, denominator in zip(panels, DENOMINATORS, strict=True):
            _curves(axes, result["ks"], denominator, lambda name: _cell(result, name, "nll", np.exp))
            axes.axhline(dense, color=INK, linewidth=0.9, linestyle="--", label="dense")
            axes.set(yscale="log", title=_TITLES[denominator])
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        panels[0].set_ylabel(f"perplexity of {result['model']}")
        _legend(figure, panels[0])
    return figure


def _excess(result: Result) -> Figure:
    """Relative increase of perplexity over the dense model; the line is at 1 %."""
    dense = np.mean([row["dense"]["nll"] for row in result["rows"]])
    with drawing_style():
        figure = new_figure(8.4, 3.6)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, denominator in zip(panels, DENOMINATORS, strict=True):
            _curves(
                axes,
                result["ks"],
                denominator,
                lambda name: _cell(result, name, "nll", lambda nll: max(np.expm1(nll - dense), _LEAST_EXCESS)),
            )
            axes.axhline(0.01, color=INK, linewidth=0.9, linestyle="--", label="1 %")
            axes.set(yscale="log", title=_TITLES[denominator])
            axes.set_xticks(result["ks"], [str(k) for k in result["ks"]])
            axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        panels[0].set_ylabel(f"{result['model']}, {result['tokens']:,} tokens:\nperplexity above dense")
        _legend(figure, panels[0])
    return figure


def _percent(share: float, _: int) -> str:
    return f"{'≤ ' if share <= _LEAST_EXCESS else ''}{100 * share:,g} %"


def _encoder(result: Result, classifier: Result | None) -> Figure:
    rows = 1 if classifier is None else 2
    with drawing_style():
        figure = new_figure(8.4, 2.8 * rows + 0.5)
        grid = figure.subplots(rows, 2, sharey="row", squeeze=False)
        for place, denominator in enumerate(DENOMINATORS):
            axes = grid[0, place]
            _curves(axes, result["ks"], denominator, lambda name: _cell(result, name, "cosine"))
            axes.set_title(_TITLES[denominator])
            if classifier is not None:
                _accuracies(grid[1, place], denominator, classifier)
        grid[0, 0].set_ylabel("cosine with dense embedding")
        if classifier is not None:
            grid[1, 0].set_ylabel("accuracy on SST")
        _legend(figure, grid[-1, 0])
    return figure


def _accuracies(axes: Axes, denominator: str, classifier: Result) -> None:
    _curves(
        axes,
        classifier["ks"],
        denominator,
        lambda name: float(right(classifier, name).mean()) if name in classifier["right"] else None,
    )
    axes.axhline(right(classifier, "dense").mean(), color=INK, linewidth=0.9, linestyle="--", label="dense")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _cell(result: Result, name: str, number: str, of: Callable[[Any], Any] = float) -> float | None:
    return float(of(values(result, name, number).mean())) if name in result["rows"][0]["cells"] else None


def _curves(axes: Axes, ks: Sequence[int], denominator: str, value: Callable[[str], float | None]) -> None:
    """One curve for each selection, over k."""
    for by in reversed(CHOICES):
        color, marker, label = _LOOKS[by]
        points = [(k, y) for k in ks if (y := value(f"{by} {denominator} {k}")) is not None]
        axes.plot([k for k, _ in points], [y for _, y in points], color=color, marker=marker, markersize=4, label=label)
    _finish(axes, ks)


def _finish(axes: Axes, ks: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(ks, [str(k) if place % 2 == 0 or len(ks) < 8 else "" for place, k in enumerate(ks)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("k, sources per target")
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(
        range(len(labels)),
        key=lambda place: [*(look[2] for look in _LOOKS.values()), "dense", "1 %"].index(labels[place]),
    )
    figure.legend(
        [handles[k] for k in order], [labels[k] for k in order], loc="outside upper center", ncols=len(labels)
    )


def _layers(result: Result) -> Figure:
    decoder = "divergence" in next(iter(result["rows"][0]["cells"].values()))
    with drawing_style():
        figure = new_figure(8.4, 3.2)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, denominator in zip(panels, DENOMINATORS, strict=True):
            for by in ("norm", "weight"):
                color, marker, label = _LOOKS[by]
                names = [f"{by} {denominator} {result['k']} layer {layer}" for layer in range(result["layers"])]
                means = np.array([values(result, name, "divergence" if decoder else "cosine").mean() for name in names])
                axes.plot(means if decoder else 1 - means, color=color, marker=marker, markersize=4, label=label)
            axes.set(
                title=_TITLES[denominator], xlabel=f"the only layer that keeps k = {result['k']} sources", yscale="log"
            )
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
        panels[0].set_ylabel("divergence from dense, nats" if decoder else "1 − cosine with dense")
        _legend(figure, panels[0])
    return figure


def _needed(result: Result) -> Figure:
    """Medians by layer and head, side by side: by weight and by norm, the whole denominator kept."""
    maps = {name: np.array(result["counts"][name]["median"]) for name in ("weight", "norm")}
    layers, heads = maps["weight"].shape
    most = max(count.max() for count in maps.values())
    with drawing_style():
        figure = new_figure(2 * (0.42 * heads + 0.5) + 0.9, 0.24 * layers + 1.5 if layers > 8 else 0.36 * layers + 1.5)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (name, count) in zip(panels, maps.items(), strict=True):
            image = axes.imshow(count, cmap="viridis", norm=LogNorm(1, max(2, most)), aspect="auto")
            for (layer, head), number in np.ndenumerate(count):
                shade = "white" if number < most**0.6 else INK
                axes.text(head, layer, f"{number:.0f}", ha="center", va="center", color=shade, fontsize=7)
            axes.set_title(_LOOKS[name][2], color=_LOOKS[name][0])
            axes.set(xlabel="head", xticks=range(heads))
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=16))
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
        panels[0].set_ylabel(f"layer of {result['model']}")
        bar = figure.colorbar(image, ax=list(panels), pad=0.02, fraction=0.04)
        bar.set_label("sources that half of the targets need")
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.outline.set_edgecolor(FAINT)
    return figure


def _listops(result: Result) -> Figure:
    groups = grouped(result)
    courses = _most_trained(groups)
    with drawing_style():
        figure = new_figure(4.4 * len(courses), 3.6)
        for axes, course in zip(figure.subplots(1, len(courses), squeeze=False)[0], courses, strict=True):
            length, epochs, texts, inside, layers = course
            for kind, trainings in groups.items():
                if kind.course == course:
                    _trained(axes, kind.how, trainings)
            if length in result.get("by_first_word", {}):
                axes.axhline(result["by_first_word"][length], color=FAINT, linewidth=4, zorder=0,
                             label="outermost operator alone")  # fmt: skip
            inner = " and parts" if inside else ""
            axes.set(title=f"{length}: {texts:,} texts{inner}, {epochs} epochs, {layers} layers", ylim=(0, 0.6))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.legend(loc="lower right", fontsize=7)
        figure.axes[0].set_ylabel("ListOps: accuracy on the validation part")
    return figure


def _most_trained(groups: Trainings) -> list[Course]:
    """Of each length and number of texts the course with the most trainings."""
    counts = Counter({kind.course: 0 for kind in groups})
    for kind, trainings in groups.items():
        counts[kind.course] += len(trainings)
    texts = dict.fromkeys((length, number) for length, _, number, *_ in counts)
    return [
        max((course for course in counts if (course[0], course[2]) == one), key=counts.__getitem__) for one in texts
    ]


def _trained(axes: Axes, how: str, trainings: Sequence[Result]) -> None:
    """Points of trained models; for dense ones a line, and their accuracy at each k."""
    accuracies = [one["accuracy"] for one in trainings]
    settings = trainings[0]["settings"]
    if how != "dense":
        color, marker, _ = _LOOKS[settings["by"]]
        label = f"trained with k by {settings['by']}"
        shown = label in axes.get_legend_handles_labels()[1]
        axes.plot([settings["k"]] * len(accuracies), accuracies, marker, color=color, fillstyle="none",
                  label=None if shown else label)  # fmt: skip
        return
    axes.axhline(np.mean(accuracies), color=INK, linewidth=0.9, linestyle="--", label="trained dense")
    for by in ("weight", "norm"):
        own = [one["switched"][f"{by} renormalized"] for one in trainings]
        ks = [int(k) for k in own[0]]
        color, marker, _ = _LOOKS[by]
        axes.plot(ks, [np.mean([one[str(k)] for one in own]) for k in ks], color=color, marker=marker, markersize=3,
                  label=f"trained dense, switched, by {by}")  # fmt: skip
        _finish(axes, ks)
