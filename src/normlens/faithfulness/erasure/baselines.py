"""Baselines: scores that use no model, and scores from erasing each unit alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from normlens.errors import InvalidInput
from normlens.faithfulness.erasure.units import Units

LEAVE_ONE_OUT = "leave_one_out"
"""The score of a unit is the drop of the probability without it: the limit of erasing single units, not a low baseline."""

RANDOM = "random"
"""Scores are random; measures are averaged over several draws."""


def first(units: Units) -> Float[np.ndarray, " unit"]:
    """Score units by position: the first of the text is the most important."""
    return -np.arange(len(units), dtype=np.float64)


def last(units: Units) -> Float[np.ndarray, " unit"]:
    """Score units by position: the last of the text is the most important."""
    return np.arange(len(units), dtype=np.float64)


def length(units: Units) -> Float[np.ndarray, " unit"]:
    """Score units by their number of characters."""
    return units.lengths.astype(np.float64)


FIXED: dict[str, Callable[[Units], Float[np.ndarray, " unit"]]] = {"first": first, "last": last, "length": length}
"""Baselines that depend on the text alone."""

BASELINES = (RANDOM, *FIXED, LEAVE_ONE_OUT)
"""All baselines."""


def check_baselines(names: tuple[str, ...], methods: list[str]) -> None:
    """Refuse baselines that don't exist, and methods with the name of a baseline.

    Raises
    ------
    InvalidInput
        The message lists the existing names.
    """
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise InvalidInput(f"There is no baseline {unknown[0]!r}; expected some of {', '.join(BASELINES)}.")
    taken = [name for name in methods if name in names]
    if taken:
        raise InvalidInput(f"The scores are named {taken[0]!r}, which is the name of a baseline. Rename them.")
