"""What methods return: labeled arrays over targets and sources, with what was asked in their ``attrs``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from normlens.inputs.tokens import Tokens


def labels(side: str, tokens: Tokens) -> dict[str, Any]:
    """Coordinates of all positions of a sequence, named as in an analysis.

    Parameters
    ----------
    side
        Name of the dimension: "target" or "source".
    tokens
        The sequence.
    """
    columns = {
        "": np.arange(len(tokens)), "_token": tokens.labels, "_id": tokens.ids, "_word": tokens.words,
        "_category": tokens.categories, "_start": tokens.offsets[:, 0], "_end": tokens.offsets[:, 1],
    }  # fmt: skip
    return {side + suffix: (side, column) for suffix, column in columns.items()}


def joined_labels(sources: Sequence[tuple[str, Tokens]]) -> dict[str, Any]:
    """Coordinates of sources; where they aren't all of the first text, a coordinate ``side`` says of which they are.

    Parameters
    ----------
    sources
        "source" or "target" (a decoder's own text), and its tokens. Positions are counted through; words of the second
        text are numbered on behind those of the first, so that no word is of both.
    """
    parts = [labels("source", tokens) for _, tokens in sources]
    joined = {name: np.concatenate([part[name][1] for part in parts]) for name in parts[0]}
    joined["source"] = np.arange(len(joined["source"]))
    joined["source_word"] = _counted_through([tokens.words for _, tokens in sources])
    if len(sources) > 1 or sources[0][0] == "target":
        joined["side"] = np.repeat([side for side, _ in sources], [len(tokens) for _, tokens in sources])
    return {name: ("source", column) for name, column in joined.items()}


def _counted_through(words: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    counted, first = [], 0
    for numbers in words:
        counted.append(np.where(numbers < 0, numbers, numbers + first))
        first += int(numbers.max(initial=-1)) + 1
    return np.concatenate(counted)


def shares(values: ArrayLike, sources: Sequence[tuple[str, Tokens]], attrs: Mapping[str, Any]) -> xr.DataArray:
    """Signed shares of one scalar, ``(source,)``.

    Parameters
    ----------
    values
        One number per source, ``(source,)``.
    sources
        Side and tokens of the sources, in their order.
    attrs
        What the method knows.
    """
    return xr.DataArray(
        np.asarray(values), dims=("source",), coords=joined_labels(sources), attrs=dict(attrs), name="share"
    )


def flow_map(
    values: ArrayLike,
    target: Tokens,
    sources: Tokens | Sequence[tuple[str, Tokens]],
    attrs: Mapping[str, Any],
    layers: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """A map of what sources contribute to targets, ``(target, source)``; ``layer`` in front, ``feature`` behind.

    Parameters
    ----------
    values
        ``(target, source)``, ``(layer, target, source)`` if ``layers`` is given, ``(target, source, feature)`` for vectors.
    target
        Tokens of the targets.
    sources
        Tokens of the sources, or side and tokens of each text that they come from.
    attrs
        What the method knows.
    layers
        Coordinates of the dimension ``layer``, such as ``{"layer": numbers, "layer_path": paths}``.
    """
    array = np.asarray(values)
    parts = [("source", sources)] if isinstance(sources, Tokens) else list(sources)
    coords = {**labels("target", target), **joined_labels(parts)}
    dims: tuple[str, ...] = ("target", "source")
    if layers is not None:
        dims = ("layer", *dims)
        coords |= {name: ("layer", np.asarray(column)) for name, column in layers.items()}
    if array.ndim > len(dims):
        dims = (*dims, "feature")
    return xr.DataArray(array, dims=dims, coords=coords, attrs=dict(attrs), name="contribution")
