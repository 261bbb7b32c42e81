"""Analyses of many examples, batch by batch and in order, for ``Lens.stream``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.progress import Progress

from normlens.analysis.input_kinds import kind_of
from normlens.analysis.measurement import Measurement
from normlens.analysis.result import Analysis
from normlens.analysis.runner import Runner
from normlens.inputs.batch import batched, length
from normlens.inputs.example import Example
from normlens.loading.progress_bars import bars_console

_WINDOW = 8  # batches whose examples are sorted by length together


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
    with Progress(console=bars_console(), disable=not progress, transient=True) as bar:
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
    trees = runner.run(batch, measurement)
    inspected: dict[tuple[str, ...], dict[str, Any]] = {}  # by kind of input, since every look compares the whole model
    for example, tree in zip(batch, trees, strict=True):
        kind = kind_of(example)
        if kind not in inspected:
            one = runner.inspector.inspection(example, layers=measurement.product is not None)
            inspected[kind] = {"vector_error": one.vector_error, "not_measured": ", ".join(one.not_measured)}
        yield Analysis.of(tree, {**attributes(example), **inspected[kind], **measurement.attributes()})
