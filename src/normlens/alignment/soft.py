"""Soft alignments: what each target word takes from each source word; and the hard links read off them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from normlens.alignment.links import Cell, Link
from normlens.alignment.symmetrisation import agreement, intersection, shares, symmetrise

END = "</s>"
"""Label of the last column, which holds what belongs to no source word."""


@dataclass(frozen=True)
class SoftAlignment:
    """How much each target word takes from each source word.

    Attributes
    ----------
    source, target
        The words of both sentences.
    values
        Weights, or norms in the model's units, ``(target, source + 1)``; the last column is the end of the sentence.
        NaN for target words of which the model read nothing.
    """

    source: Sequence[str]
    target: Sequence[str]
    values: Float[np.ndarray, "target source+1"]

    @property
    def data(self) -> xr.DataArray:
        """The same as a labelled array with dimensions ``target`` and ``source``."""
        coordinates = {
            "target": np.arange(len(self.target)),
            "source": np.arange(len(self.source) + 1),
            "target_word": ("target", np.asarray(self.target, dtype=np.str_)),
            "source_word": ("source", np.asarray([*self.source, END], dtype=np.str_)),
        }
        return xr.DataArray(self.values, coordinates, ("target", "source"), name="alignment")

    def shares(self, balance: float = 0.0) -> Float[np.ndarray, "target source+1"]:
        """Rows that add up to one: what share each target word takes from where.

        Parameters
        ----------
        balance
            Divide each column by this power of its total first, so that source words from which every target takes
            something lose by it: 0 not at all, 1 fully.
        """
        rows = shares(self.values)
        if not balance:
            return rows
        mass = rows.sum(axis=0, keepdims=True)
        return shares(np.divide(rows, mass**balance, out=np.zeros_like(rows), where=mass > 0))

    def links(self, threshold: float = 0.0, balance: float = 0.0) -> list[Link]:
        """One link for each target word: to the source word from which it takes most.

        There is none where the end of the sentence gives most, or where the share is below the threshold.

        Parameters
        ----------
        threshold
            Smallest share of a link, 0 to 1.
        balance
            As in :meth:`shares`.

        Returns
        -------
        list of Link
            Its score is its share; it is sure from one half on.
        """
        rows = self.shares(balance)
        return [
            Link(source, target, float(rows[target, source]), bool(rows[target, source] >= 0.5))
            for source, target in row_links(rows)
            if rows[target, source] >= threshold
        ]


def averaged(alignments: Sequence[SoftAlignment]) -> SoftAlignment:
    """Mean of the shares of soft alignments of one pair; a single one stays as it is."""
    first = alignments[0]
    if len(alignments) == 1:
        return first
    return SoftAlignment(first.source, first.target, np.mean([one.shares() for one in alignments], axis=0))


def row_links(rows: Float[np.ndarray, "target source+1"]) -> list[Cell]:
    """Source word and target word for each row whose largest value isn't in its last column; first of equals wins."""
    if not rows.size:
        return []
    best = rows.argmax(axis=1)
    linked = (best < rows.shape[1] - 1) & (rows.max(axis=1) > 0)
    return [(int(best[target]), int(target)) for target in np.flatnonzero(linked)]


def joint_links(
    forward: SoftAlignment, reverse: SoftAlignment, how: str, threshold: float = 0.0, balance: float = 0.0
) -> list[Link]:
    """Links of two directions.

    Parameters
    ----------
    forward
        Of the model from source to target: each target word takes from source words.
    reverse
        Of the model from target to source, for the same pair: each source word takes from target words.
    how
        "agreement", or a name of :data:`~normlens.alignment.symmetrisation.SYMMETRISATIONS`.
    threshold
        Smallest score of a link, 0 to 1.
    balance
        As in :meth:`SoftAlignment.shares`.

    Returns
    -------
    list of Link
        Its score is the mean of both directions' shares (for "agreement", their geometric mean); it is sure if both
        directions have it.
    """
    one, other = forward.shares(balance), reverse.shares(balance)
    ahead, back = row_links(one), [(source, target) for target, source in row_links(other)]
    if how == "agreement":
        scores = agreement(one, other)
        cells = {(int(j), int(i)) for i, j in np.argwhere((scores >= threshold) & (scores > 0))}
    else:
        scores = (one[:, :-1] + other[:, :-1].T) / 2
        cells = symmetrise(ahead, back, how)
    both = intersection(ahead, back)
    found = (Link(j, i, float(scores[i, j]), (j, i) in both) for j, i in sorted(cells))
    return [link for link in found if link.score >= threshold]


def two_way(alignment: SoftAlignment) -> SoftAlignment:
    """The other direction read off the same map: what each source word gives to each target word.

    One model thus stands for two. What the end of the sentence gives is left out, and no target word stands for "none".

    Parameters
    ----------
    alignment
        Of the model from source to target.

    Returns
    -------
    SoftAlignment
        From target to source; its last column is zero.
    """
    rows = shares(alignment.values)[:, :-1]
    return SoftAlignment(alignment.target, alignment.source, np.pad(rows.T, ((0, 0), (0, 1))))
