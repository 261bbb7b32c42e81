"""The inspection of a model: its attention blocks, how to capture them, and whether inputs can be padded.

The model is run once for every kind of input, unchanged and watched, and inspected again whenever it has changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.analysis.input_kinds import kind_of, shortened, side_of
from normlens.engine.capture.as_configured import run_as_configured
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
from normlens.engine.failures import explained_failure, require_arguments
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
    InvalidInput,
    NormLensError,
    UnsupportedArchitecture,
)
from normlens.inputs.batch import pad
from normlens.inputs.example import Example
from normlens.loading.checkpoint_checks import check_in_memory
from normlens.loading.positions import counts_from_padding
from normlens.memory import is_out_of_memory

Result = TypeVar("Result")
_Inspected = tuple[list[BlockAnatomy], float, tuple[str, ...]]
"""The blocks, the largest difference from explicit vectors, and the attention modules that weren't captured."""


@dataclass(frozen=True)
class Inspection:
    """What was found out about a model for inputs of one kind.

    Attributes
    ----------
    layout
        Its attention blocks, in groups and layers.
    capture_method
        How their attention calls are captured.
    batchable
        Whether such inputs can be padded: every attention call is as long as the tokens it reads.
    vector_error
        The largest difference between norms and explicit vectors (:mod:`normlens.engine.contributions.verify`).
    not_measured
        Attention modules that ran without being captured (attention without a softmax, say), by path.
    """

    layout: Layout
    capture_method: CaptureMethod
    batchable: bool
    vector_error: float
    not_measured: tuple[str, ...] = ()


class Inspector:
    """Inspects a model, remembers the inspections, and lets the model be watched.

    Parameters
    ----------
    model
        The model; its head is left out of the runs, since no attention happens there.

    Attributes
    ----------
    model
        The model.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self._inspections: dict[tuple[tuple[str, ...], bool], Inspection] = {}
        self._state: object = None

    @property
    def body(self) -> PreTrainedModel:
        """The part of the model that attends and takes the same input, as it is now; else the model."""
        body: PreTrainedModel = self.model.base_model
        return body if self.model.main_input_name in inspect.signature(body.forward).parameters else self.model

    @computing()
    def inspection(self, example: Example, layers: bool = False) -> Inspection:
        """The inspection of the model for inputs like this one, with the blocks' layers if asked.

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
                watched = {length for block in blocks for length in (block.targets, block.sources)}
                batchable = watched <= lengths and example.medium == "text" and not example.whole
                inspection = self._inspections[kind] = Inspection(
                    lay_out(blocks, self.body), capture_method, batchable, error, not_measured
                )
            return inspection

    def again_if_changed(self, work: Callable[[], Result]) -> Result:
        """Do ``work``; if the model no longer runs as it was inspected, forget the inspections and do it once more.

        Some models switch their attention once, by length; others are changed from outside.
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
            Of the model, for these inputs.
        batch
            Inputs of one kind.
        tracer
            Captures attention calls and follows them.
        chunk_size
            Number of targets whose weights exist at a time; None for all.
        padding
            The side on which shorter inputs are padded.
        """
        tracer.ignored = frozenset(inspection.not_measured)
        capturing, inputs = inspection.capture_method(self.model, tracer, chunk_size), self._inputs(batch, padding)
        try:
            with torch.no_grad(), capturing, evaluation_mode(self.model), tracer.watching():
                self._forward(inputs)
        except Exception as error:
            if not isinstance(error, NormLensError | RunStopped) and not is_out_of_memory(error):
                self._require_readable(inputs)
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
            Naming the block, why, and the scopes that all blocks have.
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
        """The module at a path as an anatomy gives it."""
        found: nn.Module = self.body.get_submodule(path)
        return found

    def _inspect(self, example: Example, layers: bool, capture_method: CaptureMethod) -> _Inspected:
        """Run once unchanged and once watched; compare, describe every block, check what it moves against vectors."""
        inputs = self._inputs([example], "right")
        entry_finder = EntryFinder(self.body) if layers else None
        tracer = Tracer(self.body) if entry_finder is None else LayerFinder(self.body, entry_finder.find)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            with exclusive(self.model), evaluation_mode(self.model):
                unwatched = self._first_forward(inputs)
                torch.manual_seed(1)
                again = run_as_configured(self.model, lambda: self._forward(inputs))
                require_deterministic(unwatched, again, self.model)
            torch.manual_seed(0)
            with capture_method(self.model, tracer, None), evaluation_mode(self.model), tracer.watching():
                watched = self._forward(inputs)
            require_same_output(unwatched, watched, self.model)
            left_out = _left_out(tracer.open_traces)
            traces = [trace for trace in tracer.open_traces if trace.path not in left_out]
            anatomy = list(map(describe, traces))
            require_attention_scope(anatomy, self.model, tracer.missed)
            error = 0.0
            for block in (trace.finished() for trace in traces):
                error = max(error, verify_pairs(block, block.scopes, self.model.dtype))
                for measures in measure(block, ("attention",)):
                    check_conservation(measures, block.path, self.model.dtype, None)
        with attention_implementation(self.model, "eager"):
            attending = [self.module(block.path) for block in anatomy]
            require_trained_at(self.body, attending, lambda: self._forward({n: x.clone() for n, x in inputs.items()}))
        ran = tracer.ran_attention | left_out
        not_measured = tuple(uncaptured(ran, [block.path for block in anatomy]))
        anatomy = anatomy if entry_finder is None else list(map(entry_finder.described, anatomy))
        return anatomy, error, not_measured

    def _inputs(self, batch: Sequence[Example], padding: str) -> dict[str, Tensor]:
        padding_id = getattr(self.model.config, "pad_token_id", None)
        inputs = pad(batch, 0 if padding_id is None else padding_id, self.model.device, padding)
        accepted = inspect.signature(self.body.forward).parameters
        counts = "position_ids" in accepted and not counts_from_padding(self.model) and "position_ids" not in inputs
        if padding == "left" and len(batch) > 1 and "attention_mask" in inputs and counts:
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        return inputs

    def _first_forward(self, inputs: dict[str, Tensor]) -> Any:
        """Run the unchanged model for the first time; if it fails, say whether the input or the model is the cause."""
        accepted = inspect.signature(self.body.forward).parameters
        if not any(name in accepted for name in inputs):
            raise InvalidInput(
                f"{type(self.body).__name__} takes no {' or '.join(inputs)}; expected {self.body.main_input_name} at least."
            )
        require_arguments(self.body, inputs)
        with explained_failure(self.body, inputs):
            return run_as_configured(self.model, lambda: self._forward(inputs))

    def _require_readable(self, inputs: dict[str, Tensor]) -> None:
        """Run the unchanged model by itself, and say why if it fails."""
        with torch.no_grad(), attention_implementation(self.model, "eager"), evaluation_mode(self.model):
            self._first_forward(inputs)

    def _forward(self, inputs: dict[str, Tensor]) -> Any:
        body = self.body
        accepted = inspect.signature(body.forward).parameters
        chosen = {name: x for name, x in inputs.items() if name in accepted}
        return body(**chosen, use_cache=False) if "use_cache" in accepted else body(**chosen)


def _left_out(blocks: Sequence[BlockTrace]) -> set[str]:
    """Attention over an image or a sound that is taken apart, in a model that goes on with a text: not measured.

    Windows, crops and several images attend each by itself; what comes of them among the tokens is measured.
    """
    apart = {block.path for block in blocks if not block.reached() or block.call.output.shape[0] > 1}
    of_text = {block.path for block in blocks if block.medium == "text"}
    return set() if apart & of_text or not of_text else apart
