"""The numbers of one text per layer and head, small enough to keep for every text of a corpus."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray

from normlens.engine.tracing.scopes import NORM_VARIABLES
from normlens.errors import InvalidInput
from normlens.statistics.collection import Key, Numbers
from normlens.statistics.frequency import TokenFrequency
from normlens.statistics.measures import (
    coefficient_of_variation,
    mean_of_members,
    mean_over_seeing_targets,
    mean_over_targets,
    rank_correlation,
    share,
)
from normlens.words import sources_by_category

ALL = "all"
"""The category of a number over all tokens."""

_PER_SCOPE = ("mixing_ratio", "mixing_ratio_weight", "conservation_error")


def text_numbers(data: xr.Dataset, frequency: TokenFrequency | None = None) -> Numbers:
    """Reduce one text's maps to numbers per layer and head.

    Parameters
    ----------
    data
        One group of an analysis, such as ``analysis["encoder"]``: `weight` ``(layer, head, target, source)``,
        `vector_norm` ``(layer, head, source)`` and `source_category`; further variables where present.
    frequency
        Ranks to correlate with; without them these numbers are absent.

    Returns
    -------
    dict
        ``(quantity, category)`` to an array ``(layer, head)`` or ``(layer,)``, NaN where a number is undefined. The
        categories are "special", "first token", "punctuation" and "other", which add up to the whole, except that a special
        first token is counted in both of the first two; "sink" and "own" belong to no source. For quantities by
        scope, the category is the scope.

    Raises
    ------
    InvalidInput
        If `weight`, `vector_norm` or `source_category` is missing.
    """
    _require(data, "weight", "vector_norm", "source_category")
    numbers: Numbers = {}
    numbers.update(_head_shares(data))
    numbers.update(_layer_shares(data))
    numbers.update(_vector_norms(data, frequency))
    numbers.update(_per_scope(data, frequency))
    return numbers


def received_weight(data: xr.Dataset) -> Float[np.ndarray, "layer head source"]:
    """Average the α of each source over the targets that can see it.

    Parameters
    ----------
    data
        One group of an analysis with `weight`.

    Returns
    -------
    array, ``(layer, head, source)``
    """
    return mean_over_seeing_targets(_values(data, "weight", "layer", "head", "target", "source"))


def source_ranks(data: xr.Dataset, frequency: TokenFrequency) -> Float[np.ndarray, " source"]:
    """Look up the frequency rank of each source.

    Parameters
    ----------
    data
        One group of an analysis with `source_id` and `source_category`.
    frequency
        The ranks.

    Returns
    -------
    array, ``(source,)``
        NaN for special tokens, whose frequency says nothing about language, and for tokens without a rank.
    """
    return _ranks(data, "source", frequency)


def _head_shares(data: xr.Dataset) -> Iterator[tuple[Key, NDArray[np.float64]]]:
    """Shares of α and ‖α f(x)‖, by head. The mean over targets of |α_ij| ‖f(x_j)‖ is ‖f(x_j)‖ times that of |α_ij|."""
    alpha = _values(data, "weight", "layer", "head", "target", "source")
    weight = mean_over_targets(alpha)
    magnitude = mean_over_targets(np.abs(alpha)) if (alpha < 0).any() else weight
    if "weighted_norm" in data:  # of words, where it isn't a product
        weighted_norm = mean_over_targets(np.abs(_values(data, "weighted_norm", "layer", "head", "target", "source")))
    else:
        weighted_norm = magnitude * _values(data, "vector_norm", "layer", "head", "source")
    sink: float | NDArray[np.float64] = 0.0
    if "sink_weight" in data:
        sink = _values(data, "sink_weight", "layer", "head", "target").mean(axis=-1, dtype=np.float64)
        yield ("weight_share", "sink"), sink / (weight.sum(axis=-1) + sink)
    for name, chosen in sources_by_category(data["source_category"]).items():
        yield ("weight_share", name), share(weight, chosen, elsewhere=sink)
        yield ("weighted_norm_share", name), share(weighted_norm, chosen)


def _layer_shares(data: xr.Dataset) -> Iterator[tuple[Key, NDArray[np.float64]]]:
    """Shares of the norm of the sum over heads, by layer and scope."""
    for variable in NORM_VARIABLES:
        if variable not in data:
            continue
        own_variable = variable.replace("norm", "own", 1)
        norm = mean_over_targets(_values(data, variable, "layer", "target", "source"))
        own: float | NDArray[np.float64] = 0.0
        if own_variable in data:
            own = _values(data, own_variable, "layer", "target").mean(axis=-1, dtype=np.float64)
            yield (f"{variable}_share", "own"), own / (norm.sum(axis=-1) + own)
        for name, chosen in sources_by_category(data["source_category"]).items():
            yield (f"{variable}_share", name), share(norm, chosen, elsewhere=own)


def _vector_norms(data: xr.Dataset, frequency: TokenFrequency | None) -> Iterator[tuple[Key, NDArray[np.float64]]]:
    """Size and dispersion of ‖f(x)‖, and its correlations with α and with frequency."""
    norm = _values(data, "vector_norm", "layer", "head", "source")
    for name, chosen in sources_by_category(data["source_category"]).items():
        yield ("vector_norm", name), mean_of_members(norm, chosen)
    yield ("vector_norm", ALL), norm.mean(axis=-1, dtype=np.float64)
    yield ("vector_norm_variation", ALL), coefficient_of_variation(norm)
    weight = received_weight(data)
    yield ("correlation_weight_vector_norm", ALL), rank_correlation(weight, norm)
    if frequency is not None and "source_id" in data.coords:
        ranks = source_ranks(data, frequency)
        yield ("correlation_weight_frequency", ALL), rank_correlation(weight, ranks)
        yield ("correlation_vector_norm_frequency", ALL), rank_correlation(norm, ranks)


def _per_scope(data: xr.Dataset, frequency: TokenFrequency | None) -> Iterator[tuple[Key, NDArray[np.float64]]]:
    """Means over targets of quantities by scope, and the correlation of the mixing ratio with frequency."""
    for variable in _PER_SCOPE:
        if variable not in data:
            continue
        values = _values(data, variable, "scope", "layer", "target").astype(np.float64)
        for scope, per_target in zip(data["scope"].values.tolist(), values, strict=True):
            yield (variable, scope), per_target.mean(axis=-1)
            if variable != "conservation_error" and frequency is not None and "target_id" in data.coords:
                ranks = _ranks(data, "target", frequency)
                yield (f"correlation_{variable}_frequency", scope), rank_correlation(per_target, ranks)


def _ranks(data: xr.Dataset, side: str, frequency: TokenFrequency) -> Float[np.ndarray, " token"]:
    """Frequency ranks of the tokens on one side, NaN for special ones."""
    special = data[f"{side}_category"].values.astype(str) == "special"
    return np.where(special, np.nan, frequency.ranks(data[f"{side}_id"].values))


def _values(data: xr.Dataset, name: str, *dimensions: str) -> NDArray[np.floating]:
    """Return the values of a variable with its axes in this order."""
    return np.asarray(
        data.variables[name].transpose(*dimensions).values
    )  # a bare variable: no coordinates to transpose


def _require(data: xr.Dataset, *names: str) -> None:
    """Raise `InvalidInput` unless the data set has all these variables."""
    missing = [name for name in names if name not in data.variables]
    if missing:
        raise InvalidInput(
            f"Statistics need {', '.join(missing)}, but the data set has {', '.join(map(str, data.variables))}. "
            "Pass one group of an analysis, such as analysis['encoder'], that was not reduced."
        )
