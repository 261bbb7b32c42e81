"""The design of an evaluation: what is erased, how, and the baselines; checked once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from normlens.errors import InvalidInput
from normlens.faithfulness.erasure.baselines import BASELINES, check_baselines
from normlens.faithfulness.erasure.erasing import DECILES, ERASER_BINS, ERASURES, counts_of_shares
from normlens.faithfulness.erasure.units import units_named


@dataclass(frozen=True)
class Design:
    """How faithfulness is measured.

    Attributes
    ----------
    by
        "word" or "token": the unit that is erased. The scores of the tokens of a word are summed.
    erasures
        "mask", "delete" or both.
    replacement
        Token that replaces erased ones: "mask", "unk", "pad" or a token of the vocabulary. Default: the first of these
        three that the tokenizer has.
    shares
        Shares of the units that AOPC and accuracy erase, above 0, at most 1; each rounded up to whole units.
    counts
        Numbers of units to erase instead of shares, each at least 1; None for shares.
    bins
        Shares that comprehensiveness erases and sufficiency keeps.
    by_magnitude
        Names of the methods whose units are ranked by the absolute value of their score; the others by the signed value,
        highest first.
    baselines
        Some of "random", "first", "last", "length" and "leave_one_out".
    draws
        Number of random orders averaged by the random baseline.
    seed
        Random seed of these orders, and of the order of equal scores.

    Raises
    ------
    InvalidInput
        If an option is out of range.
    """

    by: str = "word"
    erasures: tuple[str, ...] = ERASURES
    replacement: str | None = None
    shares: tuple[float, ...] = DECILES
    counts: tuple[int, ...] | None = None
    bins: tuple[float, ...] = ERASER_BINS
    by_magnitude: Collection[str] = ()
    baselines: tuple[str, ...] = BASELINES
    draws: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        units_named(self.by)
        check_baselines(self.baselines, [])
        if not self.erasures or not set(self.erasures) <= set(ERASURES):
            raise InvalidInput(f"erasures is {self.erasures!r}; expected some of {', '.join(ERASURES)}.")
        for name, shares in (("shares", self.shares), ("bins", self.bins)):
            if not shares or not all(_is_number(share) and 0 < share <= 1 for share in shares):
                raise InvalidInput(f"{name} are {shares!r}; expected at least one, each above 0 and at most 1.")
        if self.counts is not None and not (self.counts and all(map(_is_count, self.counts))):
            raise InvalidInput(f"counts are {self.counts!r}; expected at least one, each a positive integer.")
        if not _is_count(self.draws):
            raise InvalidInput(f"draws is {self.draws!r}; expected at least one random order.")
        if not (_is_number(self.seed, int) and self.seed >= 0):
            raise InvalidInput(f"seed is {self.seed!r}; expected a non-negative integer.")

    @property
    def steps(self) -> tuple[float, ...] | tuple[int, ...]:
        """The steps of AOPC and accuracy: numbers of units if `counts` is set, else shares."""
        return self.shares if self.counts is None else self.counts

    def erased_at_steps(self, units: int) -> Int[np.ndarray, " step"]:
        """The number of units that each step erases from a text with `units` units."""
        if self.counts is None:
            return counts_of_shares(self.shares, units)
        return np.minimum(np.asarray(self.counts, dtype=np.int64), units)


def _is_count(x: int) -> bool:
    return _is_number(x, int) and x >= 1


def _is_number(x: object, kind: type[int] | type[float] = float) -> bool:
    kinds = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
    return isinstance(x, kinds) and not isinstance(x, bool)
