"""Links to compare with where nobody annotated any: the consensus of an aligner, and links over a third language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from normlens.alignment import LinkSets, read_links
from reproduce.alignment.models import Cells

Directions = tuple[Cells, Cells]


def directions_of_file(ahead: Path, back: Path, pairs: int) -> list[Directions]:
    """Both directions of the first pairs."""
    both = [[set(links.possible) for links in list(read_links(path, base=0))[:pairs]] for path in (ahead, back)]
    return list(zip(*both, strict=True))


def consensus(runs: Sequence[Sequence[Directions]]) -> list[LinkSets]:
    """Sure: links of both directions in every run. Possible: links of any direction in any run.

    Examples
    --------
    >>> (links,) = consensus([[({(0, 0), (1, 1)}, {(0, 0)})], [({(0, 0)}, {(0, 0), (0, 1)})]])
    >>> sorted(links.sure), sorted(links.possible)
    ([(0, 0)], [(0, 0), (0, 1), (1, 1)])
    """
    sets = []
    for of_pair in zip(*runs, strict=True):
        every = [cells for directions in of_pair for cells in directions]
        sets.append(LinkSets.from_links(set.intersection(*every), set.union(*every)))
    return sets


def pivot(first: Sequence[Directions], second: Sequence[Directions]) -> list[LinkSets]:
    """Links over a third language, all of them sure: source to bridge and bridge to target, each in both directions.

    Examples
    --------
    >>> (links,) = pivot([({(0, 1), (2, 2)}, {(0, 1)})], [({(1, 3), (2, 0)}, {(1, 3), (2, 0)})])
    >>> sorted(links.sure)
    [(0, 3)]
    """
    sets = []
    for one, other in zip(first, second, strict=True):
        left, right = one[0] & one[1], other[0] & other[1]
        sets.append(LinkSets.from_links({(i, j) for i, bridge in left for middle, j in right if bridge == middle}))
    return sets


def within(cells: Cells, reference: LinkSets) -> Cells:
    """The links whose two words the reference links, to any word.

    Examples
    --------
    >>> sorted(within({(0, 0), (0, 1), (2, 1)}, LinkSets.from_links({(0, 1), (1, 0)})))
    [(0, 0), (0, 1)]
    """
    sources, targets = {i for i, _ in reference.sure}, {j for _, j in reference.sure}
    return {(i, j) for i, j in cells if i in sources and j in targets}
