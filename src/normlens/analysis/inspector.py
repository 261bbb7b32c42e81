"""The inspection of a model: its attention blocks, how to capture them, and whether inputs can be padded.

For every kind of input, the model runs once unmodified and once observed. It is inspected again whenever it has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import nn
from transformers import PreTrainedModel

from normlens.analysis.input_kinds import kind_of, shortened, side_of
from normlens.analysis.model_body import ModelBody
from normlens.engine.capture.capture_method import (
    CaptureMethod,
    first_working_method,
    require_deterministic,
    require_same_output,
)
from normlens.engine.capture.fingerprint import state_of, state_read
from normlens.engine.capture.hooks import evaluation_mode
from normlens.engine.capture.interface import attention_implementation
from normlens.engine.computation import computing
from normlens.engine.contributions.measure import check_conservation, measure
from normlens.engine.contributions.verify import verify_pairs
from normlens.engine.feedforward.entry import EntryFinder
from normlens.engine.locks import exclusive
from normlens.engine.tracing import Tracer, uncaptured
from normlens.engine.tracing.anatomy import BlockAnatomy, describe, require_attention_scope
from normlens.engine.tracing.layer_tracer import LayerFinder
from normlens.engine.tracing.layout import Layout, lay_out
from normlens.engine.tracing.trace import BlockTrace
from normlens.engine.tracing.tracer import RunStopped
from normlens.engine.trained import require_trained_at
from normlens.errors import (
    ConservationError,
    ExecutionPathChanged,
    NormLensError,
    UnsupportedArchitecture,
)
from normlens.inputs.example import Example
from normlens.loading.checkpoint_checks import check_in_memory
from normlens.memory import is_out_of_memory

Result = TypeVar("Result")
_Inspected = tuple[list[BlockAnatomy], float, tuple[str, ...]]
"""The blocks, the largest difference from explicit vectors, and the attention modules that weren't captured."""


@dataclass(frozen=True)
class Inspection:
    """The result of inspecting a model with inputs of one kind.

    Attributes
    ----------
    layout
        Its attention blocks, in groups and layers.
    capture_method
        How their attention calls are captured.
    batchable
        Whether such inputs can be padded: every attention call is as long as its sequence of tokens.
    vector_error
        The largest difference between norms and explicit vectors (:mod:`normlens.engine.contributions.verify`).
    not_measured
        Paths of attention modules that ran without being captured (attention without a softmax, say).
    """

    layout: Layout
    capture_method: CaptureMethod
    batchable: bool
    vector_error: float
    not_measured: tuple[str, ...] = ()


class Inspector:
    """Inspects a model, remembers the inspections, and runs the model observed by a tracer.

    Parameters
    ----------
    model
        The model.

    Attributes
    ----------
    model
        The model.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self._body = model, ModelBody(model)
        self._inspections: dict[tuple[tuple[str, ...], bool], Inspection] = {}
        self._state: object = None

    @property
    def body(self) -> PreTrainedModel:
        """The model without its head, as it is now: see :class:`normlens.analysis.model_body.ModelBody`."""
        return self._body.module

    @computing()
    def inspection(self, example: Example, layers: bool = False) -> Inspection:
        """The inspection of the model for inputs of the same kind, with the blocks' layers if ``layers``.

        Raises
        ------
        UnsupportedArchitecture
            If the model can't be measured.
        ConservationError
            If contributions don't add up.
        InvalidInput
            If the model can't read the input.
        ModelError
            If it fails for another reason.
        """
        if state_read(self.body) is None:
            check_in_memory(self.body)
        with exclusive(self.model):
            state = state_of(self.body)
            if state != self._state:  # a module was replaced or a setting changed: inspect again
                self._state = state
                self._inspections.clear()
            kind = kind_of(example), layers
            inspection = self._inspections.get(kind)
            if inspection is None:
                beginning = shortened(example)
                inspect_by = partial(self._inspect, beginning, layers)
                capture_method, (blocks, error, not_measured) = first_working_method(self.model, inspect_by)
                lengths = {len(x) for name, x in beginning.tensors.items() if side_of(name) is not None}
                of_blocks = {length for block in blocks for length in (block.targets, block.sources)}
                batchable = of_blocks <= lengths and example.medium == "text" and not example.whole
                inspection = self._inspections[kind] = Inspection(
                    lay_out(blocks, self.body), capture_method, batchable, error, not_measured
                )
            return inspection

    def again_if_changed(self, work: Callable[[], Result]) -> Result:
        """Do ``work``; if the model runs differently than at its inspection, forget the inspections and repeat it once.

        Some models switch their attention once, by text length; others are changed by their users.
        """
        try:
            return work()
        except (ExecutionPathChanged, ConservationError):
            self._inspections.clear()
            return work()

    def watch(
        self,
        inspection: Inspection,
        batch: Sequence[Example],
        tracer: Tracer,
        chunk_size: int | None = None,
        padding: str = "right",
    ) -> None:
        """Run the model on a batch, and let ``tracer`` capture every attention call.

        Parameters
        ----------
        inspection
            The inspection of the model for these inputs.
        batch
            Inputs of one kind.
        tracer
            Captures attention calls and follows them.
        chunk_size
            Number of targets whose weights are in memory at a time; None for all.
        padding
            The side on which shorter inputs are padded.
        """
        tracer.ignored = frozenset(inspection.not_measured)
        capturing, inputs = inspection.capture_method(self.model, tracer, chunk_size), self._body.inputs(batch, padding)
        try:
            with torch.no_grad(), capturing, evaluation_mode(self.model), tracer.watching():
                self._body.run(inputs)
        except Exception as error:
            if not isinstance(error, NormLensError | RunStopped) and not is_out_of_memory(error):
                self._body.require_readable(inputs)
            raise

    def blocks(self, example: Example) -> Iterator[tuple[str, int, BlockAnatomy]]:
        """Group, layer and anatomy of every attention block."""
        layout = self.inspection(example).layout
        numbered = ((name, zip(layout.numbers[name], blocks, strict=True)) for name, blocks in layout.groups.items())
        return ((name, layer, block) for name, group in numbered for layer, block in group)

    def require_scope(self, example: Example, scope: str) -> None:
        """Refuse a scope that some block doesn't have.

        Raises
        ------
        UnsupportedArchitecture
            Naming the block, the reason, and the scopes that all blocks have.
        """
        blocks = [block for _, _, block in self.blocks(example)]
        shared = [s for s in blocks[0].scopes if all(s in block.scopes for block in blocks)]
        for block in blocks:
            if scope not in block.scopes:
                raise UnsupportedArchitecture(
                    f"{block.path} ({block.family} family) has no scope {scope!r}: {block.obstacle}. "
                    f"All blocks of {type(self.model).__name__} have {', '.join(map(repr, shared))}; choose one of these."
                )

    def module(self, path: str) -> nn.Module:
        """The module at a path of an anatomy."""
        module: nn.Module = self.body.get_submodule(path)
        return module

    def _inspect(self, example: Example, layers: bool, capture_method: CaptureMethod) -> _Inspected:
        """Run the model unmodified and observed, compare the outputs, describe every block, and verify it with vectors."""
        inputs = self._body.inputs([example], "right")
        entry_finder = EntryFinder(self.body) if layers else None
        tracer = Tracer(self.body) if entry_finder is None else LayerFinder(self.body, entry_finder.find)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            with exclusive(self.model), evaluation_mode(self.model):
                unobserved = self._body.first_run(inputs)
                torch.manual_seed(1)
                require_deterministic(unobserved, self._body.run_as_configured(inputs), self.model)
            torch.manual_seed(0)
            with capture_method(self.model, tracer, None), evaluation_mode(self.model), tracer.watching():
                observed = self._body.run(inputs)
            require_same_output(unobserved, observed, self.model)
            split_media = _paths_of_split_media(tracer.open_traces)
            traces = [trace for trace in tracer.open_traces if trace.path not in split_media]
            anatomy = list(map(describe, traces))
            require_attention_scope(anatomy, self.model, tracer.missed)
            error = 0.0
            for block in (trace.finished() for trace in traces):
                error = max(error, verify_pairs(block, block.scopes, self.model.dtype))
                for measures in measure(block, ("attention",)):
                    check_conservation(measures, block.path, self.model.dtype, None)
        with attention_implementation(self.model, "eager"):
            attending = [self.module(block.path) for block in anatomy]
            require_trained_at(self.body, attending, lambda: self._body.run({n: x.clone() for n, x in inputs.items()}))
        ran = tracer.ran_attention | split_media
        not_measured = tuple(uncaptured(ran, [block.path for block in anatomy]))
        anatomy = anatomy if entry_finder is None else list(map(entry_finder.described, anatomy))
        return anatomy, error, not_measured


def _paths_of_split_media(traces: Sequence[BlockTrace]) -> set[str]:
    """Paths of attention over an image or a sound that is split up, in a model that also reads text: it isn't measured.

    Windows, crops and several images are attended separately; only attention among the tokens that they become is measured.
    """
    split = {trace.path for trace in traces if not trace.reached() or trace.call.output.shape[0] > 1}
    of_text = {trace.path for trace in traces if trace.medium == "text"}
    return set() if split & of_text or not of_text else split
