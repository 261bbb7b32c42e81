"""How unequal the norms of the transformed vectors are, and whether large weights meet short vectors (2020, section 4).

The coefficient of variation (standard deviation / mean) of ‖f(x)‖ of each head over all tokens of the corpus, as the
authors compute it, and over those of one sentence at a time; and Spearman's correlation of α with ‖f(x)‖ within sentences.
Each with and without special and first tokens, since these may cause all of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from normlens.figures.tidy_table import layer_curves
from normlens.statistics import (
    ALL,
    coefficient_of_variation,
    mean_of_present,
    mean_over_seeing_targets,
    rank_correlation,
)
from reproduce.study.estimates import Key, layer_rows, pooled_variation, table
from reproduce.study.figures import Line, layer_panels
from reproduce.study.published import KOBAYASHI_2020
from reproduce.study.run import Entries, Entry, Finding, Reading

ORDINARY = "ordinary"
"""The category of numbers that leave special and first tokens out."""

QUANTITIES = {
    "variation_over_corpus": "variation of ‖f(x)‖ over the corpus",
    "variation_in_sentence": "variation of ‖f(x)‖ in a sentence",
    "correlation_weight_vector_norm": "Spearman of α with ‖f(x)‖",
}


def ordinary_sources(data: xr.Dataset) -> Bool[np.ndarray, " source"]:
    """Mask of the sources that are neither special nor first.

    Parameters
    ----------
    data
        One group of an analysis.
    """
    special = data["source_category"].values.astype(str) == "special"
    return np.asarray(~special & (np.arange(len(special)) > 0))


def sentence_numbers(data: xr.Dataset) -> dict[Key, Float[np.ndarray, " layer"]]:
    """Variation of ‖f(x)‖ and its correlation with α in one sentence, averaged over heads.

    Parameters
    ----------
    data
        One group of its analysis.
    """
    norm = data["vector_norm"].transpose("layer", "head", "source").values.astype(np.float64)
    weight = mean_over_seeing_targets(data["weight"].transpose("layer", "head", "target", "source").values)
    numbers = {}
    for category, mask in {ALL: np.ones(norm.shape[-1], dtype=bool), ORDINARY: ordinary_sources(data)}.items():
        variation = coefficient_of_variation(norm[..., mask])
        correlation = rank_correlation(weight[..., mask], norm[..., mask])
        numbers["variation_in_sentence", category] = mean_of_present(variation, axis=-1)
        numbers["correlation_weight_vector_norm", category] = mean_of_present(correlation, axis=-1)
    return numbers


def moments(data: xr.Dataset, mask: Bool[np.ndarray, " source"]) -> Float[np.ndarray, "3 layer head"]:
    """Number of tokens, sum and sum of squares of ‖f(x)‖, for each head.

    Parameters
    ----------
    data
        One group of an analysis.
    mask
        Sources to count.
    """
    norm = data["vector_norm"].transpose("layer", "head", "source").values.astype(np.float64)[..., mask]
    return np.stack([np.full(norm.shape[:-1], norm.shape[-1]), norm.sum(axis=-1), (norm**2).sum(axis=-1)])


def measure(reading: Reading) -> pd.DataFrame:
    """Measure variation and correlation on a corpus."""
    sentences: list[dict[Key, Float[np.ndarray, " layer"]]] = []
    sums: dict[str, list[Float[np.ndarray, "3 layer head"]]] = {ALL: [], ORDINARY: []}
    for data in reading:
        sentences.append(sentence_numbers(data))
        ordinary = ordinary_sources(data)
        for category, mask in {ALL: np.ones_like(ordinary), ORDINARY: ordinary}.items():
            sums[category].append(moments(data, mask))
    rows = []
    for category, collected in sums.items():
        pooled = pooled_variation(np.stack(collected), seed=reading.seed, resamples=reading.resamples)
        for place, numbers in enumerate(pooled.T):
            layer = place if place < pooled.shape[1] - 1 else None
            rows.append(("variation_over_corpus", category, layer, None, *numbers, len(sentences)))
    return pd.concat([table(rows), layer_rows(sentences, seed=reading.seed, resamples=reading.resamples)])


def numbers(entries: Entries) -> dict[str, Any]:
    """Our numbers, by their names in the template."""
    return {
        "source": KOBAYASHI_2020,
        "columns": [
            f"{entry.model}, {tokens}" for entry in entries.values() for tokens in ("all tokens", "ordinary tokens")
        ],
        "rows": [[title, "not read", *_cells(entries, quantity)] for quantity, title in QUANTITIES.items()],
        "agreement": [line for entry in entries.values() for line in agreement(entry)],
    }


def agreement(entry: Entry) -> list[str]:
    """State in how many layers α and ‖f(x)‖ correlate negatively, and in how many positively."""
    lines = []
    for category, who in ((ALL, "all tokens"), (ORDINARY, "ordinary tokens")):
        estimates = [entry.numbers.get("correlation_weight_vector_norm", category, k) for k in entry.numbers.layers]
        against = sum(1 for estimate in estimates if estimate and estimate.high < 0)
        along = sum(1 for estimate in estimates if estimate and estimate.low > 0)
        lines.append(
            f"{entry.model}, {who}: α and ‖f(x)‖ correlate negatively in {against} of {len(estimates)} layers and "
            f"positively in {along} (intervals that exclude zero)"
        )
    return lines


def draw(entries: Entries) -> dict[str, Figure]:
    """Variation and correlation by layer, with and without special and first tokens."""
    rows: dict[str, dict[str, list[Line]]] = {}
    for entry in entries.values():
        rows[entry.model] = {}
        for quantity, title in QUANTITIES.items():
            curves = layer_curves(entry.table, quantity)
            rows[entry.model][title] = [
                Line("all tokens", curves[ALL], "norm"),
                Line("without special and first tokens", curves[ORDINARY], "other", dashed=True),
            ]
    return {"": layer_panels(rows, "mean over heads")}


def _cells(entries: Entries, quantity: str) -> list[str]:
    estimates = [entry.numbers.get(quantity, category) for entry in entries.values() for category in (ALL, ORDINARY)]
    return [estimate.number() if estimate else "" for estimate in estimates]


FINDING = Finding("dispersion", "Dispersion of ‖f(x)‖, and α against ‖f(x)‖", measure, numbers, draw)
