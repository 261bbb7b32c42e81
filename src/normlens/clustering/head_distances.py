"""Distances between attention heads: the mean √JSD between the rows of their maps, over a corpus."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from normlens.clustering.divergence import negentropies, root_divergences
from normlens.errors import InvalidInput

# Entries of the maps processed at a time: their sums and logarithms should stay in the cache.
_ENTRIES_AT_ONCE = 65_536


class HeadDistances:
    """Distances between heads, accumulated text by text.

    The distance of two heads on one target is √JSD between their rows, each divided by its sum, with logarithms to base 2:
    0 for equal shares, 1 for no source in common. The distance of two heads is the mean over all targets of all texts, which
    is a metric, as every mean of metrics is. To compare heads of different layers, concatenate the maps of the layers.

    Memory holds the maps of one text and the sums, ``(head, head)``; time is head² · target · source / 2.

    Parameters
    ----------
    heads
        Number of heads.

    Raises
    ------
    InvalidInput
        For fewer than two.

    References
    ----------
    Endres and Schindelin 2003, "A new metric for probability distributions": √JSD is a metric.

    Examples
    --------
    >>> distances = HeadDistances(2)
    >>> distances.add([[[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [5.0, 5.0]]])
    >>> distances.add([[[1.0, 0.0]], [[0.0, 1.0]]])
    >>> distances.matrix().round(6).tolist(), distances.targets
    ([[0.0, 0.333333], [0.333333, 0.0]], 3)
    """

    def __init__(self, heads: int) -> None:
        if heads < 2:
            raise InvalidInput(
                f"The number of heads is {heads}; expected two or more, since distances are between heads."
            )
        self.heads = heads
        self.targets = 0
        self._sums = np.zeros((heads, heads))

    @classmethod
    def over(cls, texts: Iterable[ArrayLike]) -> "HeadDistances":
        """Accumulate the maps ``(head, target, source)`` of several texts, one after the other."""
        distances: HeadDistances | None = None
        for maps in texts:
            array = np.asarray(maps)
            distances = distances or cls(len(array))
            distances.add(array)
        if distances is None:
            raise InvalidInput("There are no texts to compare heads on; expected the maps of at least one.")
        return distances

    def add(self, maps: ArrayLike) -> None:
        """Add one text.

        Parameters
        ----------
        maps
            Attention weights α or norms ‖α f(x)‖ of all heads, ``(head, target, source)``, non-negative; each row is
            divided by its sum.

        Raises
        ------
        InvalidInput
            If the shape doesn't fit, an entry is NaN or negative, or all of a row is zero.
        """
        rows = self._rows(maps)
        entries, starts = _packed(rows)
        self._sums += _sums_of_roots(entries, starts)
        self.targets += rows.shape[1]

    def matrix(self) -> Float[np.ndarray, "head head"]:
        """Return the mean distances over all texts added, ``(head, head)``, between 0 and 1.

        Raises
        ------
        InvalidInput
            If no text has been added.
        """
        if not self.targets:
            raise InvalidInput("No text has been added, so there are no distances. Call add() first.")
        return np.asarray(self._sums / self.targets)

    def _rows(self, maps: ArrayLike) -> Float[np.ndarray, "head target source"]:
        """The maps in float64, rows divided by their sums."""
        array = np.asarray(maps, dtype=np.float64)
        if array.ndim != 3 or len(array) != self.heads or 0 in array.shape:
            raise InvalidInput(
                f"The maps have shape {array.shape}; expected ({self.heads}, target, source), the heads of all layers "
                "concatenated."
            )
        bad = ~(np.isfinite(array) & (array >= 0))
        if bad.any():
            head, target, source = np.argwhere(bad)[0]
            raise InvalidInput(
                f"Head {head} has {array[head, target, source]} at target {target}, source {source}; expected zero or more. "
                "Leave out heads that their layer doesn't have (NaN), and pass weights or norms, not logits."
            )
        sums = array.sum(axis=-1, keepdims=True)
        if not sums.all():
            head, target, _ = np.argwhere(sums == 0)[0]
            raise InvalidInput(
                f"Head {head} moves nothing to target {target}: its row is zero, so there are no shares to compare. Leave "
                "out the head, or the padding of the text."
            )
        return np.asarray(array / sums)


def _packed(rows: Float[np.ndarray, "head target source"]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Pack the maps for comparison: entries ``(head, entry)``, and the index of each target's first entry.

    Sources to which no head attends are left out (half of them in causal maps), and so are targets with a single source,
    on which all heads agree.
    """
    somewhere = rows.max(axis=0) > 0
    somewhere &= somewhere.sum(axis=1, keepdims=True) > 1
    counts = somewhere.sum(axis=1)
    counts = counts[counts > 0]
    return np.ascontiguousarray(rows[:, somewhere]), np.asarray(np.cumsum(counts) - counts, dtype=np.intp)


def _sums_of_roots(entries: NDArray[np.float64], starts: NDArray[np.intp]) -> Float[np.ndarray, "head head"]:
    """√JSD summed over targets for each pair of heads, in blocks of targets and of heads."""
    heads, count = entries.shape
    sums = np.zeros((heads, heads))
    ends = np.append(starts[1:], count)
    first = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + _ENTRIES_AT_ONCE // 4, side="right")))
        block = np.ascontiguousarray(entries[:, starts[first] : ends[last - 1]])
        sums += _block_sums(block, starts[first:last] - starts[first])
        first = last
    return np.asarray(sums + sums.T)


def _block_sums(block: NDArray[np.float64], starts: NDArray[np.intp]) -> Float[np.ndarray, "head head"]:
    """√JSD of some targets, summed, above the diagonal."""
    heads, width = block.shape
    step = max(1, _ENTRIES_AT_ONCE // width)
    entropies = negentropies(block, starts)
    sums = np.zeros((heads, heads))
    for one in range(heads - 1):
        for start in range(one + 1, heads, step):
            others = slice(start, start + step)
            divergences = root_divergences(block[one], block[others], starts, entropies[one], entropies[others])
            sums[one, others] = divergences.sum(axis=1)
    return sums
