"""A text as a decoder reads it: every attention block, with the queries of the whole text or only of its end.

If only the last queries count, the beginning is read through a key–value cache, piece by piece, and only the end is
observed: memory then grows with the text's length, not with its square. A model that reads a text differently in two
steps is observed in one.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from normlens.analysis.inspector import Inspection, Inspector
from normlens.engine.capture.as_configured import running
from normlens.engine.capture.capture_method import through_interface
from normlens.engine.capture.hooks import evaluation_mode
from normlens.engine.capture.trees import first_tensor
from normlens.engine.computation import computing
from normlens.engine.locks import exclusive
from normlens.engine.precision import at_least_float32
from normlens.engine.tolerance import tolerance
from normlens.engine.tracing import Tracer, unfinished
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.block import Block
from normlens.errors import ExecutionPathChanged, InvalidInput, UnsupportedArchitecture
from normlens.inputs.example_maker import ExampleMaker
from normlens.lens import Lens
from normlens.loading.load import LoadedModel
from normlens.memory import is_out_of_memory
from normlens.topk.eviction.read_blocks import QUERIES_AT_ONCE, ReadBlock

PIECE = 512
"""Tokens that are read at a time."""

_COMPARED_LENGTH, _COMPARED_END = 12, 4
_CACHED = frozenset({"decoder", "cross"})  # kinds of attention whose keys and values a model keeps
_TEXT = frozenset({"input_ids", "attention_mask"})


class TextReading:
    """A text that a model can read again and again, with its attention blocks observed.

    Parameters
    ----------
    lens
        The model.
    text, target_text
        One input, as for :meth:`normlens.Lens.analyze`.
    last
        Number of queries at its end that count; None for all.

    Attributes
    ----------
    inspector, example
        Runs the model; the text as the model reads it.
    blocks
        The attention blocks whose keys and values are kept, by group.

    Raises
    ------
    InvalidInput
        If the model can't read the text, the text has fewer queries, or the model keeps no keys and values.
    """

    def __init__(self, lens: Lens, text: Any, target_text: Any = None, *, last: int | None = None) -> None:
        if last is not None and (isinstance(last, bool) or not isinstance(last, int) or last < 1):
            raise InvalidInput(f"queries is {last!r}; expected a positive integer, or None for all of the text.")
        loaded = LoadedModel(lens.model, lens.tokenizer, lens.processor, lens.name, lens.revision)
        self.inspector, self.example = Inspector(lens.model), ExampleMaker(loaded).make(text, target_text)
        self._last, self._cache = last, DynamicCache()
        layout = self.inspector.inspection(self.example).layout
        cached = {name: blocks for name, blocks in layout.groups.items() if blocks[0].group in _CACHED}
        if not cached:
            raise InvalidInput(
                f"{type(lens.model).__name__} has {' and '.join(layout.groups)} attention only: it reads a text at once "
                "and keeps no keys and values, so there is nothing to evict. Expected a decoder, such as GPT-2 or Llama."
            )
        self.blocks = {name: [(block.path, block.occurrence) for block in blocks] for name, blocks in cached.items()}
        targets = self.example.source if self.example.target is None else self.example.target
        if last is not None and targets is not None and len(targets) < last:
            raise InvalidInput(
                f"The text has {len(targets)} tokens, fewer than the {last} queries of the window. Pass a longer text, or "
                "a smaller window."
            )

    @property
    def sizes(self) -> dict[str, int]:
        """The number of layers of each group."""
        return {name: len(blocks) for name, blocks in self.blocks.items()}

    @property
    def anatomies(self) -> dict[str, list[tuple[int, BlockAnatomy]]]:
        """Layer number and anatomy of every block, by group."""
        layout = self.inspector.inspection(self.example).layout
        return {name: list(zip(layout.numbers[name], layout.groups[name], strict=True)) for name in self.blocks}

    def module(self, path: str) -> nn.Module:
        """The module at a path."""
        return self.inspector.module(path)

    @computing()
    def visit(self, show: Callable[[ReadBlock], None]) -> None:
        """Read the text, and call ``show`` for every block whose keys and values are kept, as soon as it has run.

        Parameters
        ----------
        show
            Called layer by layer; its argument is released when it returns.

        Raises
        ------
        UnsupportedArchitecture
            If the model can't be measured exactly.
        ConservationError
            If contributions don't add up.
        """
        with exclusive(self.inspector.model):
            self.inspector.again_if_changed(lambda: self._visit(show))

    def _visit(self, show: Callable[[ReadBlock], None]) -> None:
        inspection = self.inspector.inspection(self.example)
        layout, dtype = inspection.layout, self.inspector.model.dtype

        cached = {block for blocks in self.blocks.values() for block in blocks}

        def report(block: Block) -> None:
            anatomy = layout.anatomy(block.path, block.occurrence)
            if (block.path, block.occurrence) not in cached:
                return
            if len(block.call.output) != 1:
                raise UnsupportedArchitecture(
                    f"{block.path} attends within windows; expected attention over a whole text."
                )
            name, layer = layout.layer_of(block.path, block.occurrence)
            targets = block.call.output.shape[1]
            first = 0 if self._last is None else targets - self._last
            show(ReadBlock(block, anatomy, name, layer, first, dtype))

        tracer = Tracer(self.inspector.body, report, layout.scopes_of)
        if self._in_two_steps(inspection):
            self._read_end(inspection, tracer)
        else:
            in_chunks = inspection.capture_method is through_interface
            self.inspector.watch(inspection, [self.example], tracer, QUERIES_AT_ONCE if in_chunks else None)
        if tracer.open_traces:
            raise ExecutionPathChanged(
                f"{unfinished(tracer.open_traces)}: this run took a different execution path than the inspection. Nothing "
                "was returned."
            )

    def _in_two_steps(self, inspection: Inspection) -> bool:
        """Whether the beginning of the text can be read beforehand."""
        if self._last is None or self.example.target is not None or set(self.example.tensors) - _TEXT:
            return False
        if self.example.runs_alone or len(self._ids) <= self._last:
            return False
        return inspection.capture_method is through_interface and reads_in_two_steps(self.inspector, self._ids)

    def _read_end(self, inspection: Inspection, tracer: Tracer) -> None:
        assert self._last is not None
        ids, beginning = self._ids, len(self._ids) - self._last
        model = self.inspector.model
        if not self._cache.get_seq_length():
            self._cache = read_beginning(self.inspector, ids[:beginning])
        tracer.ignored = frozenset(inspection.not_measured)
        capturing = inspection.capture_method(model, tracer, QUERIES_AT_ONCE)
        with torch.no_grad(), capturing, evaluation_mode(model), tracer.watching():
            continued(self.inspector, ids[beginning:], copy.deepcopy(self._cache))

    @property
    def _ids(self) -> Tensor:
        return self.example.tensors["input_ids"]


def read_beginning(inspector: Inspector, ids: Tensor) -> DynamicCache:
    """The keys and values of tokens, read piece by piece with the attention that the model is set to."""
    cache = DynamicCache()
    with torch.no_grad(), evaluation_mode(inspector.model), running(inspector.model, "all"):
        for start in range(0, len(ids), PIECE):
            continued(inspector, ids[start : start + PIECE], cache)
    return cache


def continued(inspector: Inspector, ids: Tensor, cache: DynamicCache) -> Any:
    """The output of the model's body for tokens after those in the cache, to which they are added."""
    return inspector.body(input_ids=ids[None].to(inspector.model.device), past_key_values=cache, use_cache=True)


def reads_in_two_steps(inspector: Inspector, ids: Tensor) -> bool:
    """Whether a model that reads the beginning of a text through a cache then does the same as in one step."""
    body = inspector.body
    if "past_key_values" not in inspect.signature(body.forward).parameters:
        return False
    short = ids[:_COMPARED_LENGTH]
    end = max(1, min(_COMPARED_END, len(short) - 1))
    try:
        with torch.no_grad(), evaluation_mode(inspector.model), running(inspector.model, "all"):
            cache = DynamicCache()
            continued(inspector, short[:-end], cache)
            after = first_tensor(continued(inspector, short[-end:], cache))
            whole = first_tensor(body(input_ids=short[None].to(inspector.model.device), use_cache=False))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return False
    if after is None or whole is None or cache.get_seq_length() != len(short):
        return False
    expected = at_least_float32(whole)[:, -end:]
    gap = float((at_least_float32(after) - expected).norm())
    return gap <= tolerance(inspector.model.dtype, "other operations") * float(expected.norm())
