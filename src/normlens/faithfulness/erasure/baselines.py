"""What a method must beat: scores that look at no model, and the ones that erasing every unit alone gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from normlens.errors import InvalidInput
from normlens.faithfulness.erasure.units import Units

LEAVE_ONE_OUT = "leave_one_out"
"""Each unit's score is how much the probability falls without it: no baseline to beat, but what erasing itself can tell."""

RANDOM = "random"
"""Every unit's score is drawn; measures are averaged over several draws."""


def first(units: Units) -> Float[np.ndarray, " unit"]:
    """Score units by position: the first of the text is the most important."""
    return -np.arange(len(units), dtype=np.float64)


def last(units: Units) -> Float[np.ndarray, " unit"]:
    """Score units by position: the last of the text is the most important."""
    return np.arange(len(units), dtype=np.float64)


def length(units: Units) -> Float[np.ndarray, " unit"]:
    """Score units by how many characters they have."""
    return units.lengths.astype(np.float64)


FIXED: dict[str, Callable[[Units], Float[np.ndarray, " unit"]]] = {"first": first, "last": last, "length": length}
"""Baselines that the text alone decides."""

BASELINES = (RANDOM, *FIXED, LEAVE_ONE_OUT)
"""All of them."""


def check_baselines(names: tuple[str, ...], methods: list[str]) -> None:
    """Refuse baselines that don't exist, and methods that are called like one.

    Raises
    ------
    InvalidInput
        With the names that do exist.
    """
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise InvalidInput(f"There is no baseline {unknown[0]!r}; expected some of {', '.join(BASELINES)}.")
    taken = [name for name in methods if name in names]
    if taken:
        raise InvalidInput(f"Scores named {taken[0]!r} were given, which is a baseline's name. Give them another.")
