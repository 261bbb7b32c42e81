"""How differently attention heads attend: the mean √JSD between the rows of their maps, over a corpus."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from normlens.clustering.divergence import negentropies, root_divergences
from normlens.errors import InvalidInput

# Entries of the maps that are worked on at once: their sums and logarithms should stay in the cache.
_ENTRIES_AT_ONCE = 65_536


class HeadDistances:
    """Distances between heads, accumulated text by text.

    The distance of two heads on one target is √JSD between their rows, each divided by its sum, with logarithms to base 2:
    0 for the same shares, 1 for no source in common. Their distance is the mean over all targets of all texts, which is a
    metric, as every mean of metrics is. Heads of different layers are compared in the same way: put the layers' maps one
    after the other.

    Memory is that of one text's maps and the sums, ``(head, head)``; time is head² · target · source / 2.

    Parameters
    ----------
    heads
        How many there are.

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
            raise InvalidInput(f"There is nothing to compare among {heads} heads: expected two or more.")
        self.heads = heads
        self.targets = 0
        self._sums = np.zeros((heads, heads))

    @classmethod
    def over(cls, texts: Iterable[ArrayLike]) -> "HeadDistances":
        """Accumulate the maps ``(head, target, source)`` of several texts, one after the other."""
        found: HeadDistances | None = None
        for maps in texts:
            given = np.asarray(maps)
            found = found or cls(len(given))
            found.add(given)
        if found is None:
            raise InvalidInput("There are no texts to compare heads on. Give the maps of one at least.")
        return found

    def add(self, maps: ArrayLike) -> None:
        """Take in one text.

        Parameters
        ----------
        maps
            Attention weights α or norms ‖α f(x)‖ of all heads, ``(head, target, source)``, zero or more; each row is
            divided by its sum.

        Raises
        ------
        InvalidInput
            If the shape doesn't fit, an entry is NaN or negative, or a row is zero throughout.
        """
        rows = self._rows(maps)
        entries, starts = _packed(rows)
        self._sums += _sums_of_roots(entries, starts)
        self.targets += rows.shape[1]

    def matrix(self) -> Float[np.ndarray, "head head"]:
        """Return the mean distances so far, ``(head, head)``, between 0 and 1.

        Raises
        ------
        InvalidInput
            If no text has been added.
        """
        if not self.targets:
            raise InvalidInput("No text has been added, so no distance is known. Call add() first.")
        return np.asarray(self._sums / self.targets)

    def _rows(self, maps: ArrayLike) -> Float[np.ndarray, "head target source"]:
        """The maps in float64, rows divided by their sums."""
        given = np.asarray(maps, dtype=np.float64)
        if given.ndim != 3 or len(given) != self.heads or 0 in given.shape:
            raise InvalidInput(
                f"The maps have shape {given.shape}; expected ({self.heads}, target, source), the layers' heads one after "
                "the other."
            )
        bad = ~(np.isfinite(given) & (given >= 0))
        if bad.any():
            head, target, source = np.argwhere(bad)[0]
            raise InvalidInput(
                f"Head {head} has {given[head, target, source]} at target {target}, source {source}; expected zero or more. "
                "Leave out heads that are absent from their layer (NaN), and pass weights or norms, not logits."
            )
        sums = given.sum(axis=-1, keepdims=True)
        if not sums.all():
            head, target, _ = np.argwhere(sums == 0)[0]
            raise InvalidInput(
                f"Head {head} gives nothing to target {target}: its row is zero, so there are no shares to compare. Leave "
                "the head out, or the text's padding."
            )
        return np.asarray(given / sums)


def _packed(rows: Float[np.ndarray, "head target source"]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Pack the maps for comparison: entries ``(head, entry)``, and where each target's begin.

    Sources that no head looks at are left out (in causal maps half of them), and so are targets with one source only, on
    which all heads agree.
    """
    somewhere = rows.max(axis=0) > 0
    somewhere &= somewhere.sum(axis=1, keepdims=True) > 1
    counts = somewhere.sum(axis=1)
    counts = counts[counts > 0]
    return np.ascontiguousarray(rows[:, somewhere]), np.asarray(np.cumsum(counts) - counts, dtype=np.intp)


def _sums_of_roots(entries: NDArray[np.float64], starts: NDArray[np.intp]) -> Float[np.ndarray, "head head"]:
    """√JSD summed over targets for every two heads, in blocks of targets and of heads."""
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
    known = negentropies(block, starts)
    sums = np.zeros((heads, heads))
    for one in range(heads - 1):
        for start in range(one + 1, heads, step):
            part = slice(start, start + step)
            sums[one, part] = root_divergences(block[one], block[part], starts, known[one], known[part]).sum(axis=1)
    return sums
