"""The page and the figure of the ScoNe study: accuracy by cell, and the sign of each negation's share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normlens.figures.style import FAINT, NORM_COLOR, WEIGHT_COLOR, drawing_style, new_figure
from normlens.statistics import mean_of_present
from reproduce.data.contrast_sets import CELLS, REVERSED
from reproduce.negation.contrast_cues import KINDS
from reproduce.negation.resampling import interval, mean_draws
from reproduce.study.page import fill

Result = Mapping[str, Any]
Row = Mapping[str, Any]
Cell = tuple[float, float, float]
Values = Float[np.ndarray, "seed set"]

ASKED = [
    ("one_scoped", "scoped"),
    ("one_scoped_one_not_scoped", "scoped"),
    ("one_scoped_one_not_scoped", "not scoped"),
    ("one_not_scoped", "not scoped"),
    ("two_not_scoped", "not scoped"),
    ("two_scoped", "inner"),
    ("two_scoped", "outer"),
]
"""Negations whose share is reported: their cell and kind."""

COMPARED = [(cell, kind) for kind in ("deciding word", "other word") for cell in ("no_negation", "one_scoped")]
TURNING = {("one_scoped", "scoped"), ("one_scoped_one_not_scoped", "scoped")}
"""The negations that reverse the label, so that their share should be below zero."""


def page(kept: Mapping[str, Result]) -> str:
    """All kept results, in sections that docs include by name."""
    seeds = {name: numbers["pairs"] for name, numbers in kept.items()}
    return fill(
        "negation/scone.md.jinja",
        training=[_training(name, numbers) for name, numbers in kept.items()],
        accuracy=[_accuracy(seeds, cell) for cell in (*CELLS, None)],
        seeds=list(seeds),
        shares=[_shares(seeds, cell, kind) for cell, kind in ASKED],
        compared=[_shares(seeds, cell, kind) for cell, kind in COMPARED],
        apart=_apart(seeds),
        whole_sets=_shown(_estimate(_by_set(seeds, _all_right))),
        versions=next(iter(kept.values()))["versions"],
    )


def _training(name: str, numbers: Result) -> list[str]:
    training = numbers["training"]
    return [
        name,
        f"{training['settings']['epochs']}",
        f"{training['learning_rate']:g}",
        ", ".join(f"{accuracy:.3f}" for accuracy in numbers["dev_by_epoch"]),
        f"{training['test_accuracy']:.3f}",
        f"{training['cpu_seconds'] / 60:.0f} min",
    ]


def _accuracy(seeds: Mapping[str, Sequence[Row]], cell: str | None) -> list[str]:
    def right(row: Row) -> float:
        return float(row["right"]) if cell in (None, row["cell"]) else np.nan

    each = [f"{np.nanmean([right(row) for row in rows]):.3f}" for rows in seeds.values()]
    reverses = "" if cell is None else "reversed" if cell in REVERSED else "as without negation"
    return [cell or "all", reverses, _shown(_estimate(_by_set(seeds, _each(right)))), *each]


def _shares(seeds: Mapping[str, Sequence[Row]], cell: str, kind: str) -> list[str]:
    """Mean share and effect of a kind of words in a cell, and how often each is below zero."""
    cells = []
    for name in ("shares", "effects"):
        values = _by_set(seeds, _each(_value(name, cell, kind)))
        turned = _by_set(seeds, _each(_turned(name, cell, kind)))
        cells += [_shown(_estimate(values), "+.3f" if name == "shares" else "+.2f"), _shown(_estimate(turned), ".2f")]
    return [cell, KINDS[kind], *cells]


def _value(name: str, cell: str, kind: str, *, right: bool = False) -> Callable[[Row], float]:
    def value(row: Row) -> float:
        asked = row["cell"] == cell and kind in row[name] and (row["right"] or not right)
        return float(row[name][kind]) if asked else np.nan

    return value


def _turned(name: str, cell: str, kind: str, *, right: bool = False) -> Callable[[Row], float]:
    value = _value(name, cell, kind, right=right)
    return lambda row: np.nan if np.isnan(value(row)) else float(value(row) < 0)


def _apart(seeds: Mapping[str, Sequence[Row]]) -> list[list[str]]:
    """How well shares tell negations with scope from those without, over all pairs and over those that are right."""
    rows = []
    for name, title in (("shares", "share, pull back"), ("effects", "effect of deletion")):
        for right in (False, True):
            signs = _by_set(seeds, _each(_turned(name, "one_scoped", "scoped", right=right)))
            without = [_turned(name, cell, "not scoped", right=right) for cell in ("one_not_scoped", "two_not_scoped")]
            kept = 1 - np.stack([_by_set(seeds, _each(turned)) for turned in without])
            balanced = (signs + mean_of_present(kept, axis=0)) / 2
            lower = _by_set(seeds, _each(_lower(name, right=right)))
            pairs = "where the model is right" if right else "all pairs"
            rows.append([title, pairs, _shown(_estimate(balanced)), _shown(_estimate(lower))])
    return rows


def _lower(name: str, *, right: bool) -> Callable[[Row], float]:
    """Whether of the two negations of one sentence the one with scope has the lower number."""

    def lower(row: Row) -> float:
        asked = row["cell"] == "one_scoped_one_not_scoped" and (row["right"] or not right)
        return float(row[name]["scoped"] < row[name]["not scoped"]) if asked else np.nan

    return lower


def _all_right(rows: Sequence[Row]) -> float:
    return float(all(row["right"] for row in rows))


def _each(value: Callable[[Row], float]) -> Callable[[Sequence[Row]], float]:
    """The mean of what is present over the pairs of a set."""

    def mean(rows: Sequence[Row]) -> float:
        values = [value(row) for row in rows]
        present = [one for one in values if not np.isnan(one)]
        return float(np.mean(present)) if present else np.nan

    return mean


def _by_set(seeds: Mapping[str, Sequence[Row]], of_set: Callable[[Sequence[Row]], float]) -> Values:
    """A number for each seed and each two contrast sets that mirror each other: the mean over the two."""
    every = []
    for rows in seeds.values():
        numbers: dict[int, list[float]] = {}
        sets: dict[int, list[Row]] = {}
        for row in rows:
            sets.setdefault(row["set"], []).append(row)
        for number, of in sets.items():
            numbers.setdefault(number // 2, []).append(of_set(of))
        every.append([float(mean_of_present(values, axis=0)) for _, values in sorted(numbers.items())])
    return np.array(every)


def _estimate(values: Values) -> Cell:
    """The mean, and its 95 % interval over pairs of sets and over seeds."""
    made = interval(mean_draws(values))
    return made["value"], made["low"], made["high"]


def _shown(cell: Iterable[float], form: str = ".3f") -> str:
    value, low, high = (format(number, form).replace("-", "−") for number in cell)
    return f"{value} ({low} to {high})"


def drawn(kept: Mapping[str, Result]) -> dict[str, Figure]:
    """Share and effect of every negation, with intervals."""
    seeds = {name: numbers["pairs"] for name, numbers in kept.items()}
    titles = {"shares": "share of the decision (pull back)", "effects": "change of the margin by deletion (logits)"}
    with drawing_style():
        figure = new_figure(8.2, 3.0)
        grid = figure.subplots(1, 2, sharey=True)
        for axes, (name, title) in zip(grid, titles.items(), strict=True):
            _draw(axes, seeds, name)
            axes.set_xlabel(title)
        labels = [f"{cell.replace('_', ' ')}: {kind}" for cell, kind in ASKED]
        grid[0].set_yticks(range(len(ASKED)), labels)
        grid[0].set_ylim(len(ASKED) - 0.5, -0.5)
        figure.suptitle("below zero: turns what would be right without negation", fontsize=9)
    return {"shares": figure}


def _draw(axes: Axes, seeds: Mapping[str, Sequence[Row]], name: str) -> None:
    axes.axvline(0, color=FAINT, linewidth=0.8)
    for height, (cell, kind) in enumerate(ASKED):
        value, low, high = _estimate(_by_set(seeds, _each(_value(name, cell, kind))))
        color = NORM_COLOR if (cell, kind) in TURNING else WEIGHT_COLOR
        axes.plot([low, high], [height, height], color=color, linewidth=1.4)
        axes.plot(value, height, "o", color=color, markersize=5)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
