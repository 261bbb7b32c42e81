"""The page and the figure of the study of contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from normlens.figures.style import FAINT, NORM_COLOR, WEIGHT_COLOR, drawing_style, new_figure
from normlens.statistics import bootstrap_interval
from normlens.statistics.measures import rank_correlation
from reproduce.contexts.sentence_scores import LEAVE_ONE_OUT, SPLIT
from reproduce.study.decoders import NAMES
from reproduce.study.page import fill

Result = Mapping[str, Any]
Estimate = tuple[float, float, float]

METHODS = {
    "occlusion": "leaving each sentence out",
    "contextcite": "ContextCite",
    "decompx": "exact split (DecompX)",
    "gradient_input": "gradient × input",
    "norm_rollout": "norms, rolled out",
    "mean_norm": "norms, mean over layers",
    "rollout": "weights, rolled out",
    "mean_weight": "weights, mean over layers",
    "words_shared": "words shared with the question (no model)",
}
CHANCE = "any sentence (chance)"


def by_model(kept: Mapping[str, Result]) -> dict[str, list[Result]]:
    """The questions of each model."""
    models = dict.fromkeys(name.partition(", ")[0] for name in kept)
    return {model: [one for name, one in kept.items() if name.startswith(f"{model}, ")] for model in models}


def top(scores: Sequence[float]) -> Float[np.ndarray, " sentence"]:
    """The probability that each sentence is the first by its score: shared among those of the highest score."""
    values = np.asarray(scores, dtype=np.float64)
    highest = values == values.max()
    return np.asarray(highest / highest.sum())


def found(one: Result, method: str) -> float:
    """Whether the highest score is the gold sentence's; sentences of equal score share it."""
    return float(top(one["scores"][method])[one["gold"]])


def fall(one: Result, method: str) -> float:
    """How much the answer's log-probability falls without the sentence of the highest score, in nats."""
    return float(top(one["scores"][method]) @ np.array(one["scores"][LEAVE_ONE_OUT]))


def agreement(one: Result, method: str) -> float:
    """Rank correlation with leaving each sentence out; NaN if all scores are equal."""
    return float(rank_correlation(one["scores"][method], one["scores"][LEAVE_ONE_OUT]))


def estimate(values: Sequence[float]) -> Estimate:
    """Mean over questions with a 95 % bootstrap interval; questions where it is undefined are left out."""
    array = np.array(values, dtype=np.float64)
    if not np.isfinite(array).any():
        return (float("nan"),) * 3
    low, high = bootstrap_interval(array)
    return float(np.nanmean(array)), float(low), float(high)


def page(kept: Mapping[str, Result]) -> str:
    """All kept results, in sections that docs include by name."""
    tables = [_table(model, several) for model, several in by_model(kept).items()]
    return fill("contexts/page.md.jinja", tables=tables)


def draw(kept: Mapping[str, Result]) -> dict[str, Figure]:
    """Gold sentences by method, one panel per model."""
    with drawing_style():
        return {"gold": _drawn(by_model(kept))}


def _table(model: str, several: Sequence[Result]) -> dict[str, Any]:
    rows = [
        [
            title,
            _shown(estimate([found(one, method) for one in several]), 100, 0, "%"),
            "–" if method == SPLIT else _shown(estimate([_ahead(one, method) for one in several]), 100, 0, "%"),
            _shown(estimate([fall(one, method) for one in several]), 1, 2),
            "1" if method == LEAVE_ONE_OUT else _shown(estimate([agreement(one, method) for one in several]), 1, 2),
            _cost(method, several),
        ]
        for method, title in METHODS.items()
    ]
    chance = [float(np.mean(one["scores"][LEAVE_ONE_OUT])) for one in several]
    rows.append(
        [
            CHANCE,
            _shown(estimate([1 / one["sentences"] for one in several]), 100, 0, "%"),
            "–",
            _shown(estimate(chance), 1, 2),
            "0",
            "–",
        ]
    )
    counted = {
        "questions": len(several),
        "sentences": f"{np.mean([one['sentences'] for one in several]):.1f}",
        "tokens": f"{np.mean([one['tokens'] for one in several]):.0f}",
        "value": f"{np.mean([one['log_probability'] for one in several]):.1f}".replace("-", "−"),
    }
    return {"title": NAMES.get(model, model), "rows": rows, **counted}


def _ahead(one: Result, method: str) -> float:
    """By how much a method finds the gold sentence more surely than the exact split does."""
    return found(one, method) - found(one, SPLIT)


def _cost(method: str, several: Sequence[Result]) -> str:
    """Median seconds, relative to the exact split's, and the runs of the model if they are counted."""
    if method not in several[0]["seconds"]:
        return "–"
    ratios = [one["seconds"][method] / one["seconds"]["decompx"] for one in several]
    runs = [one["runs"][method] for one in several if method in one["runs"]]
    return f"{np.median(ratios):.1f}" + (f" ({np.mean(runs):.0f} runs)" if runs else "")


def _shown(value: Estimate, factor: float, digits: int, unit: str = "") -> str:
    if value[0] != value[0]:
        return "–"
    middle, low, high = (f"{factor * x:.{digits}f}".replace("-", "−") for x in value)
    return f"{middle}{f' {unit}' if unit else ''} ({low} to {high})"


def _drawn(models: Mapping[str, Sequence[Result]]) -> Figure:
    figure = new_figure(4.6 * len(models) + 2.2, 3.4)
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, (model, several) in zip(panels, models.items(), strict=True):
        for place, method in enumerate(METHODS):
            middle, low, high = (100 * x for x in estimate([found(one, method) for one in several]))
            color = (
                NORM_COLOR if "norm" in method else WEIGHT_COLOR if method in ("rollout", "mean_weight") else "#222222"
            )
            axes.errorbar(middle, place, xerr=[[middle - low], [high - middle]], fmt="o", color=color, capsize=2)
        axes.axvline(100 * np.mean([1 / one["sentences"] for one in several]), color=FAINT, linestyle="--", linewidth=1)
        axes.set_yticks(range(len(METHODS)), list(METHODS.values()))
        axes.set(xlabel="gold sentence has the highest score, in %", title=NAMES.get(model, model), xlim=(0, 100))
    panels[0].invert_yaxis()
    return figure
