"""How much of a position's new vector comes from other positions (Kobayashi et al. 2021, table 1).

Five ratios: by weight and by norm for attention alone (Attn-W, Attn-N) and with the residual (AttnRes-W, AttnRes-N), and
by norm with the LayerNorm as well (AttnResLn-N); a model without a LayerNorm after the residual lacks the last.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from normlens import figures
from normlens.figures.panels import figure_of
from normlens.statistics import CorpusStatistics
from normlens.statistics.report.estimates import Estimate
from reproduce.study.figures import estimates_beside_published
from reproduce.study.published import (
    KOBAYASHI_2021,
    MIXING_RATIO,
    MIXING_RATIO_BY_SIZE,
    NOTEBOOK_2021,
    NOTEBOOK_WEIGHT_RATIO,
    RATIOS,
)
from reproduce.study.run import Entries, Entry, Finding, Reading

PLACES = {
    "Attn-W": ("mixing_ratio_weight", "attention"),
    "Attn-N": ("mixing_ratio", "attention"),
    "AttnRes-W": ("mixing_ratio_weight", "residual"),
    "AttnRes-N": ("mixing_ratio", "residual"),
    "AttnResLn-N": ("mixing_ratio", "layernorm"),
}
"""Quantity and scope of each of the paper's ratios."""


def measure(reading: Reading) -> pd.DataFrame:
    """Collect the mixing ratios of a corpus."""
    statistics = CorpusStatistics()
    for data in reading:
        statistics.add(data)
    table = statistics.table(seed=reading.seed, resamples=reading.resamples)
    return table[table["quantity"].isin(["mixing_ratio", "mixing_ratio_weight"])]


def numbers(entries: Entries) -> dict[str, Any]:
    """Published numbers and ours, by their names in the template."""
    theirs = {f"{model} (theirs)": values for model, values in MIXING_RATIO.items()}
    return {
        "source": KOBAYASHI_2021,
        "columns": [*theirs, *entries],
        "rows": [
            [
                name,
                *(f"{values[name]:.1f} %" for values in theirs.values()),
                *(_cell(e, name) for e in entries.values()),
            ]
            for name in RATIOS
        ],
        "agreement": [line for entry in entries.values() for line in agreement(entry)],
        "sizes": ", ".join(f"{model} {value:.1f} %" for model, value in MIXING_RATIO_BY_SIZE.items()),
        "notebook": {
            "source": NOTEBOOK_2021,
            "ratios": ", ".join(f"{name} {value:.2f} %" for name, value in NOTEBOOK_WEIGHT_RATIO.items()),
        },
    }


def agreement(entry: Entry) -> list[str]:
    """State whether the ratios have the paper's order."""
    values = {name: estimate.value for name, estimate in ratios(entry).items()}
    falls = ("Attn-W", "Attn-N"), ("AttnRes-W", "AttnRes-N"), ("AttnRes-N", "AttnResLn-N")
    lines = []
    for larger, smaller in falls:
        if smaller not in values:
            lines.append(f"{entry.model}: {smaller} is absent, because no LayerNorm follows the residual")
        else:
            verdict = "as in the paper" if values[smaller] < values[larger] else "unlike the paper"
            lines.append(
                f"{entry.model}: from {larger} to {smaller} the ratio changes from {100 * values[larger]:.1f} % to "
                f"{100 * values[smaller]:.1f} %, {verdict}"
            )
    return lines


def ratios(entry: Entry) -> dict[str, Estimate]:
    """The paper's ratios that a model has, means over layers."""
    estimates = {name: entry.numbers.get(*place) for name, place in PLACES.items()}
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}


def draw(entries: Entries) -> dict[str, Figure]:
    """Means and the published ones, and each model's ratios by layer."""
    ours = {entry.model: _percent(ratios(entry)) for entry in entries.values()}
    beside = estimates_beside_published(RATIOS, ours, MIXING_RATIO, "mean mixing ratio, %")
    return {"": beside, **{entry.model: figure_of(figures.mixing_ratios(entry.table)) for entry in entries.values()}}


def _percent(estimates: dict[str, Estimate]) -> dict[str, Estimate]:
    return {name: Estimate(100 * e.value, 100 * e.low, 100 * e.high, e.n_texts) for name, e in estimates.items()}


def _cell(entry: Entry, name: str) -> str:
    estimate = ratios(entry).get(name)
    if estimate is None:
        return "absent"
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f}–{100 * estimate.high:.1f})"


FINDING = Finding("mixing_ratio", "Mixing ratios: how much comes from other positions", measure, numbers, draw)
