"""Analyses of many examples, batch by batch and in order, for ``Lens.stream``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import Progress

from normlens.analysis.reductions import Reduction, named_reduction
from normlens.analysis.result import Analysis
from normlens.analysis.runner import Runner
from normlens.engine.frozen.call import Product
from normlens.inputs.batch import batched, check_sizes, length
from normlens.inputs.example import Example

_WINDOW = 8  # batches whose examples are sorted by length together


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
    """

    reduce: str | Reduction | None
    product: Product | None
    chunk_size: int | None
    batch_size: int
    padding: str

    def __post_init__(self) -> None:
        check_sizes(self.chunk_size, self.batch_size, self.padding)
        named_reduction(self.reduce)

    def attributes(self) -> dict[str, str]:
        """The attributes of an analysis that say how it was measured."""
        reduction = self.reduce if isinstance(self.reduce, str) else "function" if self.reduce else None
        options = {"product": self.product, "reduce": reduction}
        return {name: value for name, value in options.items() if value}


def stream_analyses(
    runner: Runner,
    examples: Iterable[Example],
    measurement: Measurement,
    attributes: Callable[[Example], dict[str, Any]],
    total: int | None,
    *,
    progress: bool,
) -> Iterator[Analysis]:
    """One analysis for each example, in order.

    Parameters
    ----------
    runner
        Runs batches of the model.
    examples
        The examples.
    measurement
        How to measure them.
    attributes
        Returns further attributes of an example's analysis.
    total
        Number of examples for the progress bar; None if it can't be determined.
    progress
        Whether to show a progress bar on standard error.
    """
    with Progress(console=Console(stderr=True), disable=not progress, transient=True) as bar:
        task = bar.add_task("analyzing", total=total)
        for window in batched(examples, _WINDOW * measurement.batch_size):
            done: dict[int, Analysis] = {}
            order = sorted(range(len(window)), key=lambda k: length(window[k]))
            for numbers in runner.batches(order, window, measurement.batch_size):
                analyses = _measured(runner, [window[k] for k in numbers], measurement, attributes)
                done.update(zip(numbers, analyses, strict=True))
                bar.advance(task, len(numbers))
            yield from (done[k] for k in range(len(window)))


def _measured(
    runner: Runner, batch: list[Example], measurement: Measurement, attributes: Callable[[Example], dict[str, Any]]
) -> Iterator[Analysis]:
    """The analyses of one batch."""
    reduction = named_reduction(measurement.reduce)
    trees = runner.run(batch, reduction, measurement.chunk_size, measurement.padding, measurement.product)
    for example, tree in zip(batch, trees, strict=True):
        inspection = runner.inspector.inspection(example, layers=measurement.product is not None)
        inspected = {"vector_error": inspection.vector_error, "not_measured": ", ".join(inspection.not_measured)}
        yield Analysis.of(tree, {**attributes(example), **inspected, **measurement.attributes()})
