"""What each head looks at, what it moves, and how much: numbers of one text, from reductions of its maps."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from normlens.errors import InvalidInput
from normlens.statistics.collection import Numbers
from normlens.statistics.text import ALL
from normlens.words import sources_by_category

MEASURES = ("weighted_norm", "displacement", "output_norm")
"""What has to be measured for `head_sums`."""

EPSILON = 0.3
"""Share above which the first token is a sink of a head (Gu et al. 2025)."""

QUANTITIES = {
    "first_token_weight": "share of α that the first token receives",
    "first_token_norm": "share of ‖α f(x)‖ that the first token receives",
    "special_weight": "share of α that special tokens receive",
    "special_norm": "share of ‖α f(x)‖ that special tokens receive",
    "sink_by_weight": f"share of texts in which the first token receives more than {EPSILON} of α",
    "sink_by_norm": f"share of texts in which the first token receives more than {EPSILON} of ‖α f(x)‖",
    "sink_targets_by_weight": f"share of targets for which the first token has more than {EPSILON} of α",
    "sink_targets_by_norm": f"share of targets for which the first token has more than {EPSILON} of ‖α f(x)‖",
    "output_norm": "length of the head's output ‖o‖",
    "relative_output_norm": "length of the head's output, relative to the mean over the heads of its layer",
    "displacement": "sum over sources of α ‖f(x) − o‖",
    "distance_by_weight": "mean distance between target and source in tokens, by α",
    "distance_by_norm": "mean distance between target and source in tokens, by ‖α f(x)‖",
}
"""The quantities of a head, each a mean over the targets of a text."""

_DISTANCES = ("distance_by_weight", "distance_by_norm")


def head_sums(data: xr.Dataset) -> xr.Dataset:
    """Reduce one layer's maps to numbers of each head and target, ``(head, target)``.

    Parameters
    ----------
    data
        A layer, or a slice of its targets, with `weight`, `vector_norm`, `displacement` and `output_norm`; the ``reduce`` of
        :meth:`normlens.Lens.stream`.
    """
    weight, norm = _maps(data)
    sink = data["sink_weight"].values if "sink_weight" in data else 0.0
    seen, moved = weight.sum(-1), norm.sum(-1)
    output = data["output_norm"].values.astype(np.float64)
    distance = np.abs(data["target"].values[:, None] - data["source"].values).astype(np.float64)
    by_target = {
        "distance_by_weight": _ratio((weight * distance).sum(-1), seen),
        "distance_by_norm": _ratio((norm * distance).sum(-1), moved),
        "relative_output_norm": _ratio(output, output.mean(0, keepdims=True)),
        "displacement": data["displacement"].values.sum(-1, dtype=np.float64),
    }
    members = sources_by_category(data["source_category"])
    for name, chosen in (("first_token", members["first token"]), ("special", members["special"])):
        if chosen.any():
            by_target[f"{name}_weight"] = _ratio(weight[..., chosen].sum(-1), seen + sink)
            by_target[f"{name}_norm"] = _ratio(norm[..., chosen].sum(-1), moved)
    result = data.drop_vars([name for name, x in data.variables.items() if "source" in x.dims])
    return result.assign({name: (("head", "target"), values) for name, values in by_target.items()})


def _maps(data: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """|α| and ‖α f(x)‖, ``(head, target, source)``."""
    weight = np.abs(data["weight"].values.astype(np.float64))
    return weight, weight * data["vector_norm"].values[:, None]


def head_numbers(data: xr.Dataset) -> Numbers:
    """The numbers of one text: means over targets of the quantities of each head.

    Parameters
    ----------
    data
        One group of an analysis that was reduced by `head_sums`.

    Returns
    -------
    dict
        ``(quantity, "all")`` to an array ``(layer, head)``; the quantities are those of `QUANTITIES`. Distances are left
        out of cross-attention, whose targets and sources are different texts, and shares of special tokens where there are
        none.

    Raises
    ------
    InvalidInput
        If the group wasn't reduced by `head_sums`.
    """
    missing = [name for name in ("first_token_weight", "relative_output_norm") if name not in data.variables]
    if missing:
        raise InvalidInput(
            f"Statistics of heads need {', '.join(missing)}, but the data set has {', '.join(map(str, data.variables))}. "
            "Analyze the text with reduce=head_sums and measures=MEASURES of normlens.statistics.heads."
        )
    left_out = _DISTANCES if data.attrs.get("kind") == "cross" else ()
    names = [name for name in QUANTITIES if name in data.variables and name not in left_out]
    by_target = {name: data[name].transpose("layer", "head", "target").values.astype(np.float64) for name in names}
    numbers: Numbers = {(name, ALL): values.mean(axis=-1) for name, values in by_target.items()}
    for measure in ("weight", "norm"):
        share, mean = by_target[f"first_token_{measure}"], numbers[f"first_token_{measure}", ALL]
        numbers[f"sink_by_{measure}", ALL] = _above(mean)
        numbers[f"sink_targets_by_{measure}", ALL] = _above(share).mean(axis=-1)
    return numbers


def _above(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where a share is above `EPSILON`, else 0; NaN where there is no share."""
    return np.where(np.isnan(shares), np.nan, (shares > EPSILON).astype(np.float64))


def _ratio(values: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """A ratio; NaN where the total is zero."""
    return np.divide(values, total, out=np.full_like(values, np.nan), where=total > 0)
