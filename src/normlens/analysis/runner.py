"""The runner: measures every attention block of a model, batch after batch, with checks and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
import xarray as xr

from normlens.analysis.checked_measures import checked_measures
from normlens.analysis.input_kinds import kind_of
from normlens.analysis.inspector import Inspector
from normlens.analysis.measurement import Measurement
from normlens.analysis.padding import Numbers, PaddingProbe
from normlens.analysis.recorder import Recorder
from normlens.analysis.reductions import first_token
from normlens.engine.computation import computing
from normlens.engine.contributions.measure import PushFunction
from normlens.engine.feedforward.push import pushing
from normlens.engine.locks import exclusive
from normlens.engine.tracing import Tracer, unfinished
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.block import Block
from normlens.engine.tracing.layer_tracer import LayerTracer
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, SCOPES
from normlens.errors import ExecutionPathChanged, UnsupportedArchitecture
from normlens.inputs.batch import batched
from normlens.inputs.example import Example

_DEFAULT = Measurement()


class Runner:
    """Measures a model, batch after batch.

    Parameters
    ----------
    inspector
        Inspects the model and runs it.
    """

    def __init__(self, inspector: Inspector) -> None:
        self.inspector = inspector
        self.model = inspector.model
        self._probe = PaddingProbe(self.model)

    def batches(self, order: Sequence[int], window: Sequence[Example], size: int) -> Iterator[Sequence[int]]:
        """Indices of examples of a window that may run together, in this order."""
        for numbers in batched(order, size):
            if window[numbers[0]].source is not None and self.inspector.inspection(window[numbers[0]]).batchable:
                yield numbers
            else:
                yield from ([k] for k in numbers)

    @computing()
    def run(
        self,
        batch: Sequence[Example],
        measurement: Measurement = _DEFAULT,
    ) -> list[dict[str, xr.Dataset]]:
        """Measure a batch: one dictionary of group name to labeled arrays per example.

        With a product rule, contributions are followed through the whole block, not the attention block alone.

        Raises
        ------
        UnsupportedArchitecture
            If the model can't be measured, or its modules run differently than in the inspection.
        ConservationError
            If contributions don't add up.
        """
        kinds = [kind_of(example) for example in batch]
        with exclusive(self.model):
            if len(set(kinds)) > 1:
                return self._run_by_kind(batch, kinds, measurement)
            alone = len(batch) > 1 and any(example.runs_alone for example in batch)
            if alone or (len(batch) > 1 and not self.may_pad(batch, measurement.chunk_size, measurement.padding)):
                return [tree for one in batch for tree in self.run([one], measurement)]
            return self.inspector.again_if_changed(partial(self._measure, batch, measurement))

    def _run_by_kind(
        self, batch: Sequence[Example], kinds: Sequence[tuple[str, ...]], measurement: Measurement
    ) -> list[dict[str, xr.Dataset]]:
        """Measure a batch kind by kind, if some inputs have tensors that others lack (token types)."""
        trees: dict[int, dict[str, xr.Dataset]] = {}
        for kind in dict.fromkeys(kinds):
            indices = [k for k, other in enumerate(kinds) if other == kind]
            trees.update(zip(indices, self.run([batch[k] for k in indices], measurement), strict=True))
        return [trees[k] for k in range(len(batch))]

    def may_pad(self, batch: Sequence[Example], chunk_size: int | None = None, padding: str = "right") -> bool:
        """Whether a padded batch gives the same measures as one text at a time, tested by :class:`PaddingProbe`."""
        self._probe.forget_if_changed()
        return self._probe.allows(batch, partial(self._numbers, chunk_size=chunk_size, padding=padding), padding)

    def _numbers(self, batch: Sequence[Example], chunk_size: int | None, padding: str) -> list[Numbers]:
        """The measures of each text, reduced to the first token, without conservation errors, which are mere rounding."""
        work = partial(self._measure, batch, Measurement(first_token, chunk_size=chunk_size, padding=padding))
        trees = work() if len(batch) > 1 else self.inspector.again_if_changed(work)
        return [
            {
                f"{group}/{name}": torch.as_tensor(array.values)
                for group, data in tree.items()
                for name, array in data.data_vars.items()
                if name != "conservation_error"
            }
            for tree in trees
        ]

    def _measure(self, batch: Sequence[Example], measurement: Measurement) -> list[dict[str, xr.Dataset]]:
        product, chosen = measurement.product, measurement.chosen
        inspection = self.inspector.inspection(batch[0], layers=product is not None)
        body, layout = self.inspector.body, inspection.layout
        scopes = SCOPES if product else ATTENTION_SCOPES
        recorder = Recorder(layout, batch, measurement.padding, measurement.reduction, scopes, chosen)

        def record(block: Block) -> None:
            anatomy = layout.anatomy(block.path, block.occurrence)
            if product is None or anatomy.layer is None or block.layer is None:
                self._record(block, anatomy, recorder, len(batch), measurement)
                return
            shares = "contribution_weight" in chosen
            with pushing(body, block, anatomy.layer, block.layer, product, shares=shares) as pusher:
                self._record(block, anatomy, recorder, len(batch), measurement, pusher.push)

        tracer = Tracer(body, record, layout.scopes_of) if product is None else LayerTracer(body, record, layout)
        self.inspector.watch(inspection, batch, tracer, measurement.chunk_size, measurement.padding)
        recorder.require_all()
        if tracer.open_traces:
            raise ExecutionPathChanged(
                f"{unfinished(tracer.open_traces)}: this run took a different execution path than the inspection "
                f"({tracer.open_traces[0].obstacle}). Nothing was returned."
            )
        return recorder.trees()

    def _record(
        self,
        block: Block,
        anatomy: BlockAnatomy,
        recorder: Recorder,
        size: int,
        measurement: Measurement,
        push: PushFunction | None = None,
    ) -> None:
        """Measure one block, and store the measures if contributions add up."""
        batch, targets = block.call.output.shape[:2]
        if batch != size:
            raise UnsupportedArchitecture(
                f"{block.path} attends within {batch} windows of {size} input(s); analyze() lays out attention over whole "
                "sequences only."
            )
        valid = recorder.valid_targets(anatomy, batch, targets, block.call.output.device)
        chunk_size, chosen = measurement.chunk_size, measurement.chosen
        for measures in checked_measures(block, anatomy, self.model.dtype, chunk_size, valid, push, chosen):
            recorder.add(anatomy, measures, targets)
