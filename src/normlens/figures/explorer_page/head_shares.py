"""Shares of heads: how much of a head's weight, and of what it moves, goes to which sources."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike, NDArray

from normlens.words import sources_by_category

EMPTY_SOURCES = "first or special"
"""Sources in which sinks are: the first token and the special tokens."""
ITSELF, BEFORE = "itself", "the one before"
_FEW = 8  # targets whose numbers are added in the precision of the maps


def source_sets(categories: ArrayLike) -> dict[str, Bool[np.ndarray, " source"]]:
    """The sets of sources of one text, by name.

    Parameters
    ----------
    categories
        "special", "punctuation" or "other" for each token, ``(source,)``.
    """
    members = sources_by_category(categories)
    return {EMPTY_SOURCES: members["special"] | members["first token"], **members}


class HeadShares:
    """Sums over one layer's maps, from which the shares of each head follow.

    Parameters
    ----------
    members
        Sets of sources, by name.
    crossed
        Whether targets and sources are different sequences, so that a target has no position among its sources.
    """

    def __init__(self, members: Mapping[str, Bool[np.ndarray, " source"]], *, crossed: bool) -> None:
        self._members, self._crossed = members, crossed
        self._offsets = {} if crossed else {ITSELF: 0, BEFORE: -1}
        self._weight: dict[str, NDArray[np.float64]] = {}
        self._moved: dict[str, NDArray[np.float64]] = {}
        self._norm: dict[str, float] = {}
        self._targets = 0

    def add(
        self,
        start: int,
        weight: Float[np.ndarray, "head target source"],
        vector_norm: Float[np.ndarray, "head source"],
        norm: Float[np.ndarray, "target source"],
        sink_weight: Float[np.ndarray, "head target"] | None,
        moved: Float[np.ndarray, "head target source"] | None = None,
    ) -> None:
        """Add a slice of targets that begins at ``start``.

        Parameters
        ----------
        start
            The first target.
        weight, vector_norm
            α and ‖f(x)‖.
        norm
            The norm of the sum over heads, ‖Σ_h α f(x)‖.
        sink_weight
            Weight that goes to no source; None if there is none.
        moved
            ‖α f(x)‖; None if it is α ‖f(x)‖.
        """
        alpha = _summed_sizes(weight)
        length = alpha * vector_norm if moved is None else _summed_sizes(moved)
        elsewhere = 0.0 if sink_weight is None else np.asarray(sink_weight.sum(axis=1, dtype=np.float64))
        self._increase("", alpha.sum(-1) + elsewhere, length.sum(-1))
        self._norm[""] = self._norm.get("", 0.0) + float(norm.sum(dtype=np.float64))
        for name, chosen in self._members.items():
            self._increase(name, alpha[:, chosen].sum(-1), length[:, chosen].sum(-1))
            self._norm[name] = self._norm.get(name, 0.0) + float(norm[:, chosen].sum(dtype=np.float64))
        for name, offset in self._offsets.items():
            rows = np.arange(weight.shape[1])
            sources = rows + start + offset
            rows, sources = rows[sources >= 0], sources[sources >= 0]
            along = np.abs(weight[:, rows, sources])
            beside = along * vector_norm[:, sources] if moved is None else np.abs(moved[:, rows, sources])
            self._increase(name, along.sum(-1, dtype=np.float64), beside.sum(-1, dtype=np.float64))
        self._targets += weight.shape[1]

    def shares(self) -> dict[str, tuple[Float[np.ndarray, " head"], Float[np.ndarray, " head"]]]:
        """For each set of sources, its share of every head's weight, and of its weighted norms ‖α f(x)‖ (0 of 0 is NaN)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                name: (self._weight[name] / self._weight[""], self._moved[name] / self._moved[""])
                for name in (*self._members, *self._offsets)
            }

    def amount(self) -> Float[np.ndarray, " head"]:
        """Σ_j ‖α f(x)‖ of each head, averaged over targets: how much it moves."""
        return self._moved[""] / max(self._targets, 1)

    def of_layer(self) -> dict[str, tuple[float, float]]:
        """For each of the sets, its share of the mean weight, and of the norms of the sum over heads."""
        weight, norm = float(self._weight[""].sum()), self._norm[""]
        return {
            name: (float(self._weight[name].sum()) / (weight or np.nan), self._norm[name] / (norm or np.nan))
            for name in self._members
        }

    def _increase(self, name: str, weight: NDArray[np.float64], moved: NDArray[np.float64]) -> None:
        self._weight[name] = self._weight.get(name, 0) + weight
        self._moved[name] = self._moved.get(name, 0) + moved


def _summed_sizes(maps: Float[np.ndarray, "head target source"]) -> Float[np.ndarray, "head source"]:
    """Σ_i |x_ij| in double precision; of a few targets in the precision of the maps, which is fast and costs no digit."""
    sizes = maps if maps.min(initial=0) >= 0 else np.abs(maps)
    whole = sizes.shape[1] // _FEW * _FEW
    by_few = sizes[:, :whole].reshape(len(sizes), -1, _FEW, sizes.shape[2]).sum(axis=2)
    rest = sizes[:, whole:].sum(axis=1, dtype=np.float64)
    return np.asarray(by_few.sum(axis=1, dtype=np.float64) + rest)
