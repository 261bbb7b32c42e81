"""Merging of sub-words into words in the dataset of one kind of attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from normlens.words.labels import merged_labels
from normlens.words.merging import groups, merge_map, merge_sources, merge_targets
from normlens.words.numbering import whitespace_words


def numbered_by_whitespace(data: xr.Dataset, texts: Mapping[str, str]) -> xr.Dataset:
    """Renumber the words of a dataset so that only whitespace separates them.

    Parameters
    ----------
    data
        One kind of attention.
    texts
        The texts of its "target" and "source".
    """
    for side in ("target", "source"):
        columns = [data[f"{side}_{name}"].values for name in ("word", "start", "end", "category")]
        words, starts, ends, categories = columns
        spans = np.stack([starts, ends], axis=1)
        numbers = whitespace_words(words, spans, categories == "special", texts[side])
        data = data.assign_coords({f"{side}_word": (side, numbers)})
    return data


def merged_dataset(data: xr.Dataset, texts: Mapping[str, str]) -> xr.Dataset:
    """Merge sub-words into words.

    Maps are summed over a source word's pieces and averaged over a target word's, other measures are averaged, and of the
    conservation errors the largest is kept. So contribution weights of words still add up to one.

    Parameters
    ----------
    data
        One kind of attention, with ``weighted_norm``.
    texts
        The texts of its "target" and "source".
    """
    targets, sources = data["target_word"].values, data["source_word"].values
    merged: dict[str, tuple[tuple[Any, ...], Any]] = {}
    for name, x in data.data_vars.items():
        x = x.transpose(..., *(side for side in ("target", "source") if side in x.dims))
        if {"target", "source"} <= set(x.dims):
            merged[str(name)] = (x.dims, merge_map(x.values, targets, sources))
        elif "source" in x.dims:
            pieces = merge_sources(np.ones(len(sources)), sources)
            merged[str(name)] = (x.dims, merge_sources(x.values, sources) / pieces)
        elif name == "conservation_error":
            merged[str(name)] = (x.dims, np.stack([x.values[..., m].max(-1) for m in _members(targets)], axis=-1))
        elif "target" in x.dims:
            merged[str(name)] = (x.dims, merge_targets(x.values, targets))
    kept = {c: v for c, v in data.coords.items() if not {"target", "source"} & set(v.dims)}
    labels: dict[str, Any] = {}
    for side in ("target", "source"):
        labels |= merged_labels(data, side, [texts[side]] * data.sizes[side])
    return xr.Dataset(merged, coords={**kept, **labels}, attrs=data.attrs)


def _members(words: Any) -> list[Any]:
    return [np.flatnonzero(groups(words) == k) for k in range(int(groups(words).max()) + 1)]
