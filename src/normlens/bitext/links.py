"""Links between the words of a sentence pair, by word number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

Cell = tuple[int, int]
"""Numbers of a source word and a target word, from 0."""


class Link(NamedTuple):
    """A source word and a target word that translate each other.

    Attributes
    ----------
    source, target
        Word numbers, from 0.
    score
        The share of what the target word receives (the mean of both directions' shares), 0 to 1.
    sure
        Whether the link is sure or only possible.
    """

    source: int
    target: int
    score: float = 1.0
    sure: bool = True


@dataclass(frozen=True)
class LinkSets:
    """The links of one sentence pair, as annotators mark them.

    Attributes
    ----------
    sure
        Links that a good alignment has.
    possible
        Links that an alignment may have; they include the sure ones.
    """

    sure: frozenset[Cell]
    possible: frozenset[Cell]

    @classmethod
    def from_links(cls, sure: Iterable[Cell], possible: Iterable[Cell] = ()) -> LinkSets:
        """Make both sets from the links marked sure and those marked possible."""
        certain = frozenset(sure)
        return cls(certain, certain | frozenset(possible))
