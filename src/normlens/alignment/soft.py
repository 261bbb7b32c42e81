"""Soft alignments (the share that each target word takes from each source word), and the links read from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from normlens.alignment.symmetrization import agreement, intersection, shares, symmetrize
from normlens.bitext.links import Cell, Link
from normlens.words.three_lines import Summarized, counted, first_few

END = "</s>"
"""Label of the last column, for everything that belongs to no source word."""


@dataclass(frozen=True, repr=False)
class SoftAlignment(Summarized):
    """How much each target word takes from each source word.

    Attributes
    ----------
    source, target
        The words of both sentences.
    values
        Weights, or norms in the model's units, ``(target, source + 1)``; the last column is the end of the sentence.
        NaN for target words without a token.
    """

    source: Sequence[str]
    target: Sequence[str]
    values: Float[np.ndarray, "target source+1"]

    @property
    def data(self) -> xr.DataArray:
        """The values as a labeled array with dimensions ``target`` and ``source``."""
        coordinates = {
            "target": np.arange(len(self.target)),
            "source": np.arange(len(self.source) + 1),
            "target_word": ("target", np.asarray(self.target, dtype=np.str_)),
            "source_word": ("source", np.asarray([*self.source, END], dtype=np.str_)),
        }
        return xr.DataArray(self.values, coordinates, ("target", "source"), name="alignment")

    def shares(self, balance: float = 0.0) -> Float[np.ndarray, "target source+1"]:
        """Rows that add up to one: the share that each target word takes from each source word.

        Parameters
        ----------
        balance
            Divide each column by this power of its total first, which down-weights source words that every target word
            attends to (0: off, 1: fully).
        """
        rows = shares(self.values)
        if not balance:
            return rows
        mass = rows.sum(axis=0, keepdims=True)
        return shares(np.divide(rows, mass**balance, out=np.zeros_like(rows), where=mass > 0))

    def links(self, threshold: float = 0.0, balance: float = 0.0) -> list[Link]:
        """One link per target word, to the source word from which it takes most.

        A target word has no link if the end of the sentence has the largest share, or if the share is below the threshold.

        Parameters
        ----------
        threshold
            Smallest share of a link, 0 to 1.
        balance
            As in :meth:`shares`.

        Returns
        -------
        list of Link
            The score of a link is its share; links with a share of one half or more are sure.
        """
        rows = self.shares(balance)
        return [
            Link(source, target, float(rows[target, source]), bool(rows[target, source] >= 0.5))
            for source, target in row_links(rows)
            if rows[target, source] >= threshold
        ]

    def _summary(self) -> tuple[str, str, str]:
        sizes = f"{counted(len(self.target), 'target word')} × {counted(len(self.source), 'source word')} and the end"
        largest = [f"{self.target[i]!r} from {self.source[j]!r} {share:.2f}" for j, i, share, _ in self.links()]
        return (
            f"<SoftAlignment: {sizes} of the sentence>",
            f"Largest shares: {first_few(largest) or 'all at the end of the sentence'}",
            "Next: .links(), .shares(), .data (labeled array), figures.alignment_matrices(None, ….values, source, target)",
        )


def averaged(alignments: Sequence[SoftAlignment]) -> SoftAlignment:
    """Mean of the shares of several soft alignments of one pair; a single one is returned unchanged."""
    first = alignments[0]
    if len(alignments) == 1:
        return first
    return SoftAlignment(first.source, first.target, np.mean([one.shares() for one in alignments], axis=0))


def row_links(rows: Float[np.ndarray, "target source+1"]) -> list[Cell]:
    """Source and target word for each row whose largest value isn't in the last column; ties go to the first."""
    if not rows.size:
        return []
    best = rows.argmax(axis=1)
    linked = (best < rows.shape[1] - 1) & (rows.max(axis=1) > 0)
    return [(int(best[target]), int(target)) for target in np.flatnonzero(linked)]


def joint_links(
    forward: SoftAlignment, reverse: SoftAlignment, how: str, threshold: float = 0.0, balance: float = 0.0
) -> list[Link]:
    """Combine the links of two directions.

    Parameters
    ----------
    forward
        From the model from source to target: how much each target word takes from each source word.
    reverse
        From the model from target to source, for the same pair: how much each source word takes from each target word.
    how
        "agreement", or a name of :data:`~normlens.alignment.symmetrization.SYMMETRIZATIONS`.
    threshold
        Smallest score of a link, 0 to 1.
    balance
        As in :meth:`SoftAlignment.shares`.

    Returns
    -------
    list of Link
        The score of a link is the mean of both directions' shares (for "agreement", their geometric mean); a link is sure
        if both directions have it.
    """
    one, other = forward.shares(balance), reverse.shares(balance)
    ahead, back = row_links(one), [(source, target) for target, source in row_links(other)]
    if how == "agreement":
        scores = agreement(one, other)
        cells = {(int(j), int(i)) for i, j in np.argwhere((scores >= threshold) & (scores > 0))}
    else:
        scores = (one[:, :-1] + other[:, :-1].T) / 2
        cells = symmetrize(ahead, back, how)
    both = intersection(ahead, back)
    links = (Link(j, i, float(scores[i, j]), (j, i) in both) for j, i in sorted(cells))
    return [link for link in links if link.score >= threshold]


def two_way(alignment: SoftAlignment) -> SoftAlignment:
    """The reverse direction read from the same map: how much each source word gives to each target word.

    One model thus serves as two. The end of the sentence is left out, and no target position means "no word".

    Parameters
    ----------
    alignment
        From the model from source to target.

    Returns
    -------
    SoftAlignment
        From target to source; its last column is zero.
    """
    rows = shares(alignment.values)[:, :-1]
    return SoftAlignment(alignment.target, alignment.source, np.pad(rows.T, ((0, 0), (0, 1))))
