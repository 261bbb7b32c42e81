"""Links between the words of two sentences, by number; one sentence pair's links at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

Cell = tuple[int, int]
"""Number of a source word and of a target word, from 0."""


class Link(NamedTuple):
    """A source word and a target word that translate each other.

    Attributes
    ----------
    source, target
        Word numbers, from 0.
    score
        How much speaks for it: the share of what the target word receives (of both directions' shares, the mean), 0 to 1.
    sure
        Whether it is a sure link or only a possible one.
    """

    source: int
    target: int
    score: float = 1.0
    sure: bool = True


@dataclass(frozen=True)
class LinkSets:
    """The links of one sentence pair as people annotate them.

    Attributes
    ----------
    sure
        Links that belong to a good alignment.
    possible
        Links that an alignment may have; the sure ones are among them.
    """

    sure: frozenset[Cell]
    possible: frozenset[Cell]

    @classmethod
    def of(cls, sure: Iterable[Cell], possible: Iterable[Cell] = ()) -> LinkSets:
        """Both sets, from the links marked sure and those marked possible."""
        certain = frozenset(sure)
        return cls(certain, certain | frozenset(possible))
