"""Two directions combined: intersection, union, grow-diag and its final steps for links; agreement for soft alignments."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Collection, Iterator

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from normlens.bitext.links import Cell
from normlens.errors import InvalidInput

Symmetrization = Callable[[Collection[Cell], Collection[Cell]], set[Cell]]
"""Takes the cells of the source-to-target and of the target-to-source direction, both as (source, target)."""

_NEIGHBORS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def intersection(forward: Collection[Cell], reverse: Collection[Cell]) -> set[Cell]:
    """Links that both directions have: few, and mostly right."""
    return set(forward) & set(reverse)


def union(forward: Collection[Cell], reverse: Collection[Cell]) -> set[Cell]:
    """Links that either direction has: many, and more of them wrong."""
    return set(forward) | set(reverse)


def grow_diag(forward: Collection[Cell], reverse: Collection[Cell], *, strict: bool = False) -> set[Cell]:
    """The intersection, grown by neighbors in the union (diagonal ones too) that align a word without a link.

    As in Moses, the current links are visited in order, source word first, including those just added, until none is
    added.

    Parameters
    ----------
    forward, reverse
        Links of both directions, as (source, target).
    strict
        Add a neighbor only if neither of its words has a link yet, as in some published baselines.

    References
    ----------
    Koehn, Och & Marcu 2003, "Statistical Phrase-Based Translation"; Koehn et al. 2005 for ``final`` and ``final-and``.

    Examples
    --------
    >>> sorted(grow_diag({(0, 0), (1, 1)}, {(0, 0), (3, 3)}))
    [(0, 0), (1, 1)]
    """
    either = union(forward, reverse)
    current = sorted(intersection(forward, reverse))
    sources, targets = {source for source, _ in current}, {target for _, target in current}
    added = True
    while added:
        added = False
        for source, target in _visited_in_order(current):
            for down, right in _NEIGHBORS:
                cell = source + down, target + right
                free = cell[0] not in sources, cell[1] not in targets
                if cell in either and (all(free) if strict else any(free)):
                    insort(current, cell)
                    sources.add(cell[0])
                    targets.add(cell[1])
                    added = True
    return set(current)


def grow_diag_final(forward: Collection[Cell], reverse: Collection[Cell]) -> set[Cell]:
    """`grow_diag`, then each direction's links that have a source **or** a target word without a link so far."""
    return _final(grow_diag(forward, reverse), forward, reverse, both=False)


def grow_diag_final_and(forward: Collection[Cell], reverse: Collection[Cell]) -> set[Cell]:
    """`grow_diag`, then each direction's links whose source **and** target word have no link so far."""
    return _final(grow_diag(forward, reverse), forward, reverse, both=True)


SYMMETRIZATIONS: dict[str, Symmetrization] = {
    "intersection": intersection,
    "union": union,
    "grow-diag": grow_diag,
    "grow-diag-final": grow_diag_final,
    "grow-diag-final-and": grow_diag_final_and,
}
"""Every method of symmetrization, by name."""


def symmetrize(forward: Collection[Cell], reverse: Collection[Cell], how: str) -> set[Cell]:
    """Symmetrize by name.

    Parameters
    ----------
    forward, reverse
        Links of both directions, as (source, target).
    how
        One of `SYMMETRIZATIONS`.

    Raises
    ------
    InvalidInput
        If there is no such method.
    """
    if how not in SYMMETRIZATIONS:
        raise InvalidInput(f"There is no symmetrization {how!r}; choose one of {', '.join(SYMMETRIZATIONS)}.")
    return SYMMETRIZATIONS[how](forward, reverse)


def agreement(forward: ArrayLike, reverse: ArrayLike) -> Float[np.ndarray, "target source"]:
    """Agreement of two soft alignments: the geometric mean of both directions' shares, cell by cell.

    Parameters
    ----------
    forward
        How much each target word takes from each source word and, last, from no word, ``(target, source + 1)``.
    reverse
        How much each source word takes from each target word and, last, from no word, ``(source, target + 1)``.

    Returns
    -------
    array, ``(target, source)``
        Between 0 and 1; 1 only where each word takes everything from the other.

    Raises
    ------
    InvalidInput
        If the shapes don't match.

    Examples
    --------
    >>> agreement([[0.9, 0.1]], [[0.4, 0.6]]).round(3).tolist()
    [[0.6]]
    """
    one, other = shares(forward), shares(reverse)
    if (one.shape[0], one.shape[1] - 1) != (other.shape[1] - 1, other.shape[0]):
        raise InvalidInput(
            f"The two directions have shapes {one.shape} and {other.shape}; expected (target, source + 1) and "
            "(source, target + 1) of the same two sentences."
        )
    return np.asarray(np.sqrt(one[:, :-1] * other[:, :-1].T))


def shares(values: ArrayLike) -> Float[np.ndarray, "row column"]:
    """Rows divided by their sums; an all-zero row stays zero.

    Parameters
    ----------
    values
        Non-negative weights or norms, ``(row, column)``; NaN counts as zero.
    """
    array = np.nan_to_num(np.asarray(values, dtype=np.float64))
    total = array.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(array, total, out=np.zeros_like(array), where=total > 0))


def _final(grown: set[Cell], forward: Collection[Cell], reverse: Collection[Cell], *, both: bool) -> set[Cell]:
    """Add links to words that have none yet: first from the forward direction, then from the reverse."""
    sources, targets = {source for source, _ in grown}, {target for _, target in grown}
    for direction in (forward, reverse):
        for source, target in sorted(direction):
            free = (source not in sources, target not in targets)
            if all(free) if both else any(free):
                grown.add((source, target))
                sources.add(source)
                targets.add(target)
    return grown


def _visited_in_order(cells: list[Cell]) -> Iterator[Cell]:
    """The cells of a sorted list, including those inserted after the current one meanwhile."""
    index = 0
    while index < len(cells):
        cell = cells[index]
        yield cell
        index = bisect_right(cells, cell)
