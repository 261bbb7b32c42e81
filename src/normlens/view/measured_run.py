"""One run of a model on one input, whose layers can be measured again one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.analysis.checked_measures import checked_measures
from normlens.analysis.inspector import Inspection, Inspector
from normlens.engine.capture.capture_method import through_interface
from normlens.engine.computation import computing
from normlens.engine.contributions.choice import DEFAULT_MEASURES, MeasureName
from normlens.engine.contributions.displacement import HeadMeasure
from normlens.engine.contributions.measure import Measures
from normlens.engine.contributions.single_head import single_head
from normlens.engine.locks import exclusive
from normlens.engine.precision import working_precision
from normlens.engine.tracing import Tracer, unfinished
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.block import Block
from normlens.engine.tracing.layout import Layout
from normlens.engine.tracing.tracer import RunStopped
from normlens.errors import ExecutionPathChanged
from normlens.inputs.example import Example
from normlens.memory import keep_freed_memory
from normlens.view.held_blocks import HeldBlocks
from normlens.view.weight_checksums import WeightChecksums

SLICE = 2**24
"""Bytes of a layer's weights that are measured at a time. The C library keeps memory of freed tensors only up to 32 MiB, and
new memory for each would take longer than the arithmetic."""
FEWEST = 16
"""Fewest targets that are measured at a time."""

_DEFAULT = frozenset(DEFAULT_MEASURES)
Visit = Callable[[str, int, Measures], None]
"""Takes group, layer and measures of a slice of targets."""


class _LayerMeasured(RunStopped):
    """The one layer that was asked for has been measured; the rest of the model needn't run."""


class MeasuredRun:
    """One input in one model.

    Parameters
    ----------
    inspector
        Inspects the model and runs it.
    example
        The input.
    capacity
        Bytes that may be held, so that layers are measured again without running the model.
    """

    def __init__(self, inspector: Inspector, example: Example, capacity: int) -> None:
        self._inspector, self._example, self._capacity = inspector, example, capacity
        self._held = HeldBlocks(inspector.model, capacity)
        self._checksums = WeightChecksums()
        self._layout: Layout | None = None
        self._size: int | None = None  # targets that are measured at a time; None for all

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._held.size

    @property
    def inspection(self) -> Inspection:
        """The inspection of the model for this input."""
        return self._inspector.inspection(self._example)

    @computing()
    def run(self, visit: Visit, begin: Callable[[], None] = lambda: None) -> None:
        """Run the model, and hand every layer's measures to ``visit``.

        Parameters
        ----------
        visit
            Called slice by slice, in the order in which layers run.
        begin
            Called before the first layer; again if the model is run again, because it changed.
        """
        keep_freed_memory()

        def once() -> None:
            begin()
            self._held, self._checksums = HeldBlocks(self._inspector.model, self._capacity), WeightChecksums()
            self._observe(visit)

        with exclusive(self._inspector.model):
            self._inspector.again_if_changed(once)

    @computing()
    @torch.no_grad()
    def measure_layer(
        self, group: str, layer: int, visit: Callable[[Measures], None], chosen: frozenset[MeasureName]
    ) -> None:
        """Hand the measures of one layer to ``visit``, slice by slice of its targets: the same numbers as in the run.

        Parameters
        ----------
        group, layer
            One of the layout's.
        visit
            Takes the measures of a slice of targets.
        chosen
            Which measures to take.
        """
        with exclusive(self._inspector.model):
            block, layout = self._held.get((group, layer)), self._layout
            if block is None or layout is None:
                self._run_up_to(group, layer, visit, chosen)
                return
            if self._size is None:  # the same path through the algebra as in the run, to the last bit
                weights = block.call.rows(0, block.call.output.shape[1])
                block = replace(block, call=replace(block.call, weights=weights))
            for measures in self._checked(block, layout.anatomy(block.path, block.occurrence), chosen):
                visit(measures)

    @computing()
    @torch.no_grad()
    def layer_weights(self, group: str, layer: int, visit: Callable[[Tensor], None]) -> None:
        """Hand α of one layer, ``(1, head, rows, source)``, to ``visit``, slice by slice of its targets, as in the run.

        Parameters
        ----------
        group, layer
            One of the layout's.
        visit
            Takes α of a slice of targets.
        """
        with exclusive(self._inspector.model):
            block = self._held.get((group, layer))
            if block is None:
                self._run_up_to(group, layer, lambda measures: visit(measures.weight))
                return
            for start, stop in self._slices(block):
                visit(working_precision(block.call.rows(start, stop)))

    @computing()
    @torch.no_grad()
    def head_weights(self, group: str, layer: int, head: int) -> Float[Tensor, "1 1 target source"] | None:
        """α of one head without those of its layer, if it is to the bit what the run measured; None if it can't be.

        Parameters
        ----------
        group, layer, head
            One of the layout's.
        """
        with exclusive(self._inspector.model):
            block = self._held.get((group, layer))
            if block is None or block.call.recompute_sharing is None:
                return None
            of_kv, place = divmod(head, block.call.output.shape[2] // block.call.value.shape[1])
            slices = []
            for start, stop in self._slices(block):
                try:
                    weights = block.call.recompute_sharing(of_kv, start, stop)
                except (
                    Exception
                ):  # a function that isn't made for a part of its heads; the layer's maps raise what else it is
                    return None
                if weights is None or weights.ndim != 4 or weights.shape[1] <= place:
                    return None
                slices.append(working_precision(weights[:, place : place + 1]))
            alone = torch.cat(slices, dim=2)
            return alone if self._checksums.agree((group, layer), head, alone) else None

    @computing()
    @torch.no_grad()
    def head_measure(
        self, group: str, layer: int, head: int, name: HeadMeasure
    ) -> Float[Tensor, "1 1 target source"] | None:
        """A measure of one head without those of its layer, to the bit what an analysis measures; None if it can't be.

        Parameters
        ----------
        group, layer, head, name
            One of the layout's, and the measure.
        """
        with exclusive(self._inspector.model):
            block, weights = self._held.get((group, layer)), self.head_weights(group, layer, head)
            if block is None or weights is None:
                return None
            slices = []
            for start, stop in self._slices(block):
                measured = single_head(block, weights[:, :, start:stop], head, slice(start, stop), name)
                if measured is None:
                    return None
                slices.append(measured)
            return torch.cat(slices, dim=2)

    def _slice_size(self, inspection: Inspection) -> int | None:
        """Number of targets that are measured at a time; None for all."""
        if inspection.capture_method is not through_interface:
            return None
        sides = [side for side in (self._example.source, self._example.target) if side is not None]
        heads = max(block.heads for blocks in inspection.layout.groups.values() for block in blocks)
        return targets_at_once(max((len(side) for side in sides), default=0), heads)

    def _slices(self, block: Block) -> list[tuple[int, int]]:
        """The slices of targets, first and end, in which a block was measured."""
        targets = block.call.output.shape[1]
        size = self._size or targets
        return [(start, min(start + size, targets)) for start in range(0, targets, size)]

    def _run_up_to(
        self, group: str, layer: int, visit: Callable[[Measures], None], chosen: frozenset[MeasureName] = _DEFAULT
    ) -> None:
        """Run the model up to a layer whose block isn't held."""
        reached = False

        def select(name: str, number: int, measures: Measures) -> None:
            nonlocal reached
            if (name, number) == (group, layer):
                reached = True
                visit(measures)
            elif reached:
                raise _LayerMeasured

        with suppress(_LayerMeasured):
            self._observe(select, hold=False, chosen=chosen)

    def _observe(self, visit: Visit, *, hold: bool = True, chosen: frozenset[MeasureName] = _DEFAULT) -> None:
        inspection = self.inspection
        layout, self._size = inspection.layout, self._slice_size(inspection)
        self._layout = layout
        seen: set[tuple[str, int]] = set()

        def record(block: Block) -> None:
            name, number = layout.layer_of(block.path, block.occurrence)
            for measures in self._checked(block, layout.anatomy(block.path, block.occurrence), chosen):
                visit(name, number, measures)
                if hold:
                    self._checksums.add((name, number), measures.weight)
            seen.add((name, number))
            if hold:
                self._held.hold((name, number), block)

        tracer = Tracer(self._inspector.body, record, layout.scopes_of)
        self._inspector.watch(inspection, [self._example], tracer, self._size)
        missing = {(name, number) for name, numbers in layout.numbers.items() for number in numbers} - seen
        if tracer.open_traces or missing:
            reason = unfinished(tracer.open_traces) if tracer.open_traces else f"{min(missing)} didn't run"
            raise ExecutionPathChanged(f"{reason}: this run took a different execution path than the inspection.")

    def _checked(self, block: Block, anatomy: BlockAnatomy, chosen: frozenset[MeasureName]) -> Iterator[Measures]:
        dtype: Any = self._inspector.model.dtype
        return checked_measures(block, anatomy, dtype, self._size, chosen=chosen)


def targets_at_once(length: int, heads: int) -> int | None:
    """Number of targets of a text that are measured at a time in layers with these heads; None for all."""
    of_target = 4 * heads * length
    return None if length * of_target <= SLICE else max(FEWEST, SLICE // of_target // FEWEST * FEWEST)
