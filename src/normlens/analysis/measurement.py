"""How inputs are measured: which measures, how far, in which slices and batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from normlens.analysis.reductions import Reduction, named_reduction
from normlens.engine.contributions.choice import DEFAULT_MEASURES, MEASURES, MeasureName, chosen_measures
from normlens.engine.frozen.call import Product
from normlens.inputs.batch import check_sizes


def left_out(measures: Iterable[str]) -> list[str]:
    """The measures that pictures and pages show, and a choice leaves out.

    Parameters
    ----------
    measures
        Names of measures.

    Raises
    ------
    InvalidInput
        If there is no measure of such a name.
    """
    return [name for name in ("weight", "vector_norm", "norm") if name not in chosen_measures(measures)]


@dataclass(frozen=True)
class Measurement:
    """How every example is measured.

    Attributes
    ----------
    reduce
        The reduction of the maps; None to keep all maps.
    product
        How products are split when contributions are followed through the block; None to stay in the attention block.
    chunk_size
        Number of targets at a time; None for all.
    batch_size
        Largest number of examples that run together.
    padding
        "right" or "left".
    chosen
        Which measures are taken.
    """

    reduce: str | Reduction | None = None
    product: Product | None = None
    chunk_size: int | None = None
    batch_size: int = 8
    padding: str = "right"
    chosen: frozenset[MeasureName] = frozenset(DEFAULT_MEASURES)

    def __post_init__(self) -> None:
        check_sizes(self.chunk_size, self.batch_size, self.padding)
        named_reduction(self.reduce)

    @property
    def reduction(self) -> Reduction | None:
        """The function that reduces each layer's maps."""
        return named_reduction(self.reduce)

    def attributes(self) -> dict[str, str]:
        """The attributes of an analysis that say how it was measured."""
        reduction = self.reduce if isinstance(self.reduce, str) else "function" if self.reduce else None
        default = self.chosen - {"weighted_norm"} == frozenset(DEFAULT_MEASURES) - {"weighted_norm"}
        measures = "" if default else ", ".join(name for name in MEASURES if name in self.chosen)
        options = {"product": self.product, "reduce": reduction, "measures": measures}
        return {name: value for name, value in options.items() if value}
