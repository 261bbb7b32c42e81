"""Which measures are taken: the one list of their names, and what each of them needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from normlens.errors import InvalidInput, did_you_mean

MeasureName = Literal[
    "weight",
    "vector_norm",
    "weighted_norm",
    "norm",
    "mixing_ratio",
    "displacement",
    "contribution_weight",
    "output_norm",
]
"""α; ‖f(x)‖; ‖α f(x)‖; norms of the sum over heads at every scope; mixing ratios at every scope; α‖f(x) − o‖ of every head;
contribution weights of every head, and of the sum over heads at every scope; ‖o‖ of every head."""

MEASURES: tuple[MeasureName, ...] = get_args(MeasureName)
DEFAULT_MEASURES: tuple[MeasureName, ...] = ("weight", "vector_norm", "weighted_norm", "norm", "mixing_ratio")


def chosen_measures(names: Iterable[str] | None) -> frozenset[MeasureName]:
    """The measures to take; a weighted norm is a product of two others, which are taken instead.

    Parameters
    ----------
    names
        Some of :data:`MEASURES`. None: :data:`DEFAULT_MEASURES`.

    Raises
    ------
    InvalidInput
        If there are none, or one has another name.
    """
    names = list(DEFAULT_MEASURES if names is None else [names] if isinstance(names, str) else names)
    for name in names:
        if name not in MEASURES:
            raise InvalidInput(
                f"measures has {name!r}; expected some of {', '.join(MEASURES)}.{did_you_mean(str(name), list(MEASURES))}"
            )
    if not names:
        raise InvalidInput(f"measures is empty; expected some of {', '.join(MEASURES)}.")
    chosen = frozenset(name for name in MEASURES if name in names)
    return chosen - {"weighted_norm"} | {"weight", "vector_norm"} if "weighted_norm" in chosen else chosen
