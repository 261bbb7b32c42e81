"""The measures that a map can show beside the weights: of one head, and of all heads together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from normlens.engine.contributions.choice import DEFAULT_MEASURES, MeasureName
from normlens.errors import InvalidInput

CHOSEN: Mapping[str, frozenset[MeasureName]] = {
    "displacement": frozenset({"displacement"}),
    "contribution_weight": frozenset({*DEFAULT_MEASURES, "contribution_weight"}),
}
"""What is measured for a map that the run itself doesn't need."""


@dataclass(frozen=True)
class MapMeasure:
    """A measure, as the page names it.

    Attributes
    ----------
    name
        Its name in an analysis.
    label, short
        What the page calls it, and in a narrow place.
    formula
        For target i, source j; empty where it depends on the scope.
    signed
        Whether it has signs. Its rows then add up to one; rows of other measures are shown as shares of their totals.
    """

    name: str
    label: str
    short: str
    formula: str
    signed: bool = False


HEAD_MEASURES = (
    MapMeasure("weighted_norm", "weighted norm", "norm", "‖α f(x)‖"),
    MapMeasure("vector_norm", "vector norm", "length", "‖f(x)‖"),
    MapMeasure("displacement", "displacement", "displaced", "α ‖f(x) − o‖"),
    MapMeasure("contribution_weight", "contribution weight", "contrib.", "⟨α f(x), o⟩ / ‖o‖²", signed=True),
)
SUM_MEASURES = (
    MapMeasure("norm", "norm", "norm", "‖Σₕ α f(x)‖"),
    MapMeasure("contribution_weight", "contribution weight", "contrib.", "⟨Σₕ α f(x), o⟩ / ‖o‖²", signed=True),
)


def measure_facts() -> dict[str, list[dict[str, object]]]:
    """The measures of one head and of all heads together, for the page."""
    return {
        "headMeasures": [asdict(one) for one in HEAD_MEASURES],
        "sumMeasures": [asdict(one) for one in SUM_MEASURES],
    }


def checked_measure(name: str | None, head: int | None) -> str:
    """The name of a measure that a head has, or all heads together (None); None stands for the first.

    Raises
    ------
    InvalidInput
        If there is no such measure.
    """
    names = [one.name for one in (SUM_MEASURES if head is None else HEAD_MEASURES)]
    if name is not None and name not in names:
        whose = "all heads together" if head is None else "one head"
        raise InvalidInput(f"There is no map of {name!r} of {whose}; expected one of {', '.join(names)}.")
    return name or names[0]
