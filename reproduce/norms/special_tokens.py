"""Special tokens get much of the weight and little of the norm (Kobayashi et al. 2020, finding (i)).

Sources are sorted as in the paper: each special token, period and comma, other; where a model has no special tokens (a
decoder) its first token is a category, since attention sinks are there. α and ‖αf(x)‖ are summed over the sources
of a category and averaged over targets, ‖f(x)‖ is averaged over its tokens; then over sentences, heads and layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from normlens.figures.tidy_table import layer_curves
from normlens.statistics import mean_of_members, mean_of_present, mean_over_targets, share
from reproduce.study.estimates import Key, layer_rows
from reproduce.study.figures import Line, layer_panels
from reproduce.study.published import CLARK_PORT, KOBAYASHI_2020, SEP_SHARE
from reproduce.study.run import Entries, Entry, Finding, Reading

Masks = dict[str, Bool[np.ndarray, " source"]]

MEASURES = {"weight_share": "α", "weighted_norm_share": "‖αf(x)‖ by head", "norm_share": "‖Σ αf(x)‖"}
FIRST, MARKS, OTHER = "first token", "period and comma", "other"


def categories(data: xr.Dataset) -> Masks:
    """Sort every source into one category: a special token's own, "first token", "period and comma" or "other".

    Parameters
    ----------
    data
        One group of an analysis.
    """
    tokens, special = data["source_token"].values.astype(str), data["source_category"].values.astype(str) == "special"
    first = (np.arange(len(tokens)) == 0) & ~special
    marks = np.isin(tokens, [".", ","]) & ~special & ~first
    masks = {token: special & (tokens == token) for token in dict.fromkeys(tokens[special])}
    if not masks:
        masks[FIRST] = first
    return {**masks, MARKS: marks, OTHER: ~special & ~marks & ~(first if not special.any() else special)}


def sentence_numbers(data: xr.Dataset, masks: Masks) -> dict[Key, Float[np.ndarray, " layer"]]:
    """Shares and vector norms of one sentence by category, averaged over heads.

    Parameters
    ----------
    data
        One group of its analysis.
    masks
        Sources of each category; a category may have none: its share is 0 and its vector norm is left out.
    """
    weight = mean_over_targets(data["weight"].transpose("layer", "head", "target", "source").values)
    vector_norm = data["vector_norm"].transpose("layer", "head", "source").values.astype(np.float64)
    norm = mean_over_targets(data["norm"].transpose("layer", "target", "source").values)
    numbers: dict[Key, Float[np.ndarray, " layer"]] = {}
    for name, mask in masks.items():
        numbers["weight_share", name] = mean_of_present(share(weight, mask), axis=-1)
        numbers["weighted_norm_share", name] = mean_of_present(share(weight * vector_norm, mask), axis=-1)
        numbers["norm_share", name] = share(norm, mask)
        numbers["weighted_norm", name] = mean_of_present((weight * vector_norm)[..., mask].sum(axis=-1), axis=-1)
        numbers["vector_norm", name] = mean_of_present(mean_of_members(vector_norm, mask), axis=-1)
    return numbers


def measure(reading: Reading) -> pd.DataFrame:
    """Measure shares by category; besides, by all punctuation, as Unicode and, where there are tags, a person has it."""
    return layer_rows(_sentences(reading), seed=reading.seed, resamples=reading.resamples)


def numbers(entries: Entries) -> dict[str, Any]:
    """Published numbers and ours, by their names in the template."""
    return {
        "source": KOBAYASHI_2020,
        "port": CLARK_PORT,
        "shares": [f"share of {name}" for name in MEASURES.values()],
        "summary": _summary(entries),
        "agreement": [line for entry in entries.values() for line in agreement(entry)],
        "by_layer": {
            entry.model: {"categories": _partition(entry), "rows": _by_layer(entry)} for entry in entries.values()
        },
    }


def agreement(entry: Entry) -> list[str]:
    """State in how many layers the finding holds."""
    lines = []
    for name in _focus(entry):
        pairs = [
            (entry.numbers.get("weight_share", name, layer), entry.numbers.get("weighted_norm_share", name, layer))
            for layer in entry.numbers.layers
        ]
        shares = [(weight.value, norm.value) for weight, norm in pairs if weight and norm]
        less = [layer for layer, (weight, norm) in enumerate(shares) if norm < weight]
        weights, norms = zip(*shares, strict=True)
        lines.append(
            f"{entry.model}, {name}: {_range(weights)} of the weight and {_range(norms)} of the norm, across layers; "
            f"the share of the norm is smaller in {len(less)} of {len(shares)} layers"
        )
    return lines


def draw(entries: Entries) -> dict[str, Figure]:
    """Share of weight and norm by layer, one panel per category."""
    rows = {}
    for entry in entries.values():
        curves = {name: layer_curves(entry.table, name) for name in MEASURES}
        rows[entry.model] = {
            name: [
                Line("share of weight α", curves["weight_share"][name], "weight"),
                Line("share of norm ‖αf(x)‖, by head", curves["weighted_norm_share"][name], "norm"),
                Line("share of norm ‖Σ αf(x)‖", curves["norm_share"][name], "norm", dashed=True),
            ]
            for name in _partition(entry)
        }
    return {"": layer_panels(rows, "share of what targets receive", percent=True)}


def _sentences(reading: Reading) -> Iterator[dict[Key, Float[np.ndarray, " layer"]]]:
    for place, data in enumerate(reading):
        masks = categories(data)
        masks["punctuation (Unicode)"] = data["source_category"].values.astype(str) == "punctuation"
        tagged = reading.corpus.tagged_punctuation(place, data)
        if tagged is not None:
            masks["punctuation (UPOS)"] = tagged
        yield sentence_numbers(data, masks)


def _partition(entry: Entry) -> list[str]:
    """Categories that partition the sources, special or first tokens first."""
    return [name for name in entry.numbers.categories("weight_share") if not name.startswith("punctuation")]


def _focus(entry: Entry) -> list[str]:
    return [name for name in _partition(entry) if name not in (MARKS, OTHER)]


def _summary(entries: Entries) -> list[list[str]]:
    rows = [["[SEP]", "BERT-base, layers 6–10 (theirs)", SEP_SHARE["weight"], SEP_SHARE["norm"], "", ""]]
    for entry in entries.values():
        for name in entry.numbers.categories("weight_share"):
            shares = [entry.numbers.get(measure, name) for measure in MEASURES]
            length = entry.numbers.get("vector_norm", name)
            cells = [estimate.percent() if estimate else "" for estimate in shares]
            rows.append([name, entry.model, *cells, length.number() if length else ""])
    return rows


def _by_layer(entry: Entry) -> list[list[str]]:
    rows = []
    for layer in entry.numbers.layers:
        cells = []
        for name in _partition(entry):
            estimates = [entry.numbers.get(measure, name, layer) for measure in MEASURES]
            cells.append(" → ".join(f"{100 * estimate.value:.0f}" for estimate in estimates if estimate) + " %")
        rows.append([str(layer), *cells])
    return rows


def _range(values: tuple[float, ...]) -> str:
    return f"{100 * min(values):.0f}–{100 * max(values):.0f} %"


FINDING = Finding("special_tokens", "Special tokens and sinks: weight against norm", measure, numbers, draw)
