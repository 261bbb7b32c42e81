"""How much each step of a block changes the map of its attention: rank correlations of the maps before and after."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from normlens.errors import InvalidInput
from normlens.statistics.measures import rank_correlation

STEPS = ("feedforward", "residual", "layernorm", "block")


def map_change(before: ArrayLike, after: ArrayLike) -> Float[np.ndarray, "*rest"]:
    """1 − Spearman's rank correlation of two maps over all their pairs of target and source (2024, section 4).

    Parameters
    ----------
    before, after
        Norms, ``(..., target, source)``. Pairs that are zero in both maps are left out: sources that a target can't see.

    Returns
    -------
    array, ``(...)``
        0: the same order; 1: nothing in common; up to 2. NaN where a map is absent, constant or smaller than three pairs.

    Raises
    ------
    InvalidInput
        If the maps differ in shape.

    Examples
    --------
    >>> float(map_change([[1.0, 2.0], [3.0, 4.0]], [[4.0, 3.0], [2.0, 1.0]]))
    2.0
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape or first.ndim < 2:
        raise InvalidInput(
            f"The maps have shapes {first.shape} and {second.shape}; expected two of the same shape, (..., target, source). "
            "Take both from one analysis."
        )
    pairs = (x.reshape(-1, x.shape[-2] * x.shape[-1]) for x in (first, second))
    changes = [_one_change(one, other) for one, other in zip(*pairs, strict=True)]
    return np.asarray(changes).reshape(first.shape[:-2])


def block_change(data: xr.Dataset) -> xr.DataArray:
    """The change of a layer's map by the feed-forward, its residual sum and its norm (Kobayashi et al. 2024).

    Parameters
    ----------
    data
        One group of an analysis that followed contributions through the block, such as
        ``lens.analyze(text, through="block")["encoder"].data``.

    Returns
    -------
    xarray.DataArray, ``(step, layer)``
        :func:`map_change` from before each step to after it. "feedforward": from the end of the attention block, a pre-norm
        feed-forward's own norm included; "residual": the sum with the residual stream; "layernorm": the norm after it,
        NaN where the block has none; "block": all of them together. NaN for layers without these scopes.

    Raises
    ------
    InvalidInput
        If the group has no such maps.

    References
    ----------
    Kobayashi, Kuribayashi, Yokoi, Inui: Analyzing Feed-Forward Blocks in Transformers through the Lens of Attention
    Maps. ICLR 2024.
    """
    needed = ("norm_residual", "norm_feedforward", "norm_feedforward_residual", "norm_block")
    missing = [name for name in needed if name not in data]
    if missing:
        reason = f": {data.attrs['absent']}" if "absent" in data.attrs else ""
        raise InvalidInput(
            f"This group has no {', '.join(missing)}{reason}. Expected a group of an analysis with through='block' that "
            "was not reduced."
        )
    residual, inner, summed, block = (_maps(data, name) for name in needed)
    normed = _maps(data, "norm_layernorm") if "norm_layernorm" in data else np.full_like(residual, np.nan)
    start = np.where(np.isnan(normed), residual, normed)
    after = np.where(np.isnan(normed), np.nan, block)
    changes = [
        map_change(start, inner),
        map_change(inner, summed),
        map_change(summed, after),
        map_change(start, block),
    ]
    return xr.DataArray(
        np.stack(changes),
        dims=("step", "layer"),
        coords={"step": list(STEPS), "layer": data["layer"].values},
        name="change",
        attrs={"measure": "1 - Spearman"},
    )


def _one_change(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if np.isnan(first).any() or np.isnan(second).any():
        return float(np.nan)
    seen = (first != 0) | (second != 0)
    return float(1 - rank_correlation(first[seen], second[seen]))


def _maps(data: xr.Dataset, name: str) -> NDArray[np.float64]:
    return np.asarray(data[name].transpose("layer", "target", "source").values, dtype=np.float64)
