"""Tracers that also observe the layers around attention blocks: one finds the layers, one records their calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from normlens.engine.capture.trees import first_tensor, swapped
from normlens.engine.tracing.block import Block, LayerCall
from normlens.engine.tracing.layer_numbers import is_numbered
from normlens.engine.tracing.layout import Layout
from normlens.engine.tracing.scopes import AttentionScope
from normlens.engine.tracing.trace import BlockTrace
from normlens.engine.tracing.tracer import Tracer

OnLayer = Callable[[Block, str, LayerCall, str | None, bool], None]
"""Takes a block, its layer's path and call, the module that contains its attention, and whether another attention
follows in the layer."""


class _LayerWatcher(Tracer):
    """A tracer that keeps outputs of modules."""

    def _kept(self, output: Any) -> Any:
        """``output`` with its first tensor copied: the layer may write into it."""
        first = first_tensor(output)
        self._paused += 1
        try:
            return output if first is None else swapped(output, first, first.clone())
        finally:
            self._paused -= 1


class LayerFinder(_LayerWatcher):
    """Finds the layer of every attention block: the innermost numbered module whose output goes beyond the block.

    Parameters
    ----------
    model
        The model that will run.
    on_layer
        Called with each block when its layer has ended, in the order of the model.
    """

    def __init__(self, model: nn.Module, on_layer: OnLayer) -> None:
        super().__init__(model)
        self._on_layer = on_layer
        self._held: dict[int, tuple[str, Any]] = {}
        self._reported: set[int] = set()

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        super()._leave(module, args, kwargs, output)
        if self._paused:
            return
        path = self._paths[module]
        inside = [b for b in self.open_traces if id(b) not in self._reported and _lies_in(b.path, path)]
        going_on = [b for b in inside if self._still_attention(b, output)]
        self._held.update((id(b), (path, self._kept(output))) for b in going_on)
        ended = [b for b in inside if b not in going_on] if is_numbered(path) or not path else []
        held = dict(self._held[id(b)] for b in inside if id(b) in self._held)
        for block in ended:
            self._reported.add(id(block))
            own, _ = self._held.get(id(block), (None, None))
            self._paused += 1
            try:
                call = LayerCall(module, args, kwargs, output, held)
                if block.reached():
                    self._on_layer(block.finished(call), path, call, own, block is not inside[-1])
            finally:
                self._paused -= 1

    def _still_attention(self, block: BlockTrace, output: Any) -> bool:
        """Whether a module's output is a tensor between the block's attention and its last scope."""
        first = first_tensor(output)
        at = None if first is None else self._follower.get(first)
        return at is not None and at.block is block


class LayerTracer(_LayerWatcher):
    """Reports a block when its layer has ended, with the layer's call; blocks without a layer as usual.

    Parameters
    ----------
    model, on_block
        As for :class:`Tracer`.
    layout
        The model's blocks and their layers. The outputs of the modules in these layers that contain attention are kept until
        the layer has ended.
    """

    def __init__(self, model: nn.Module, on_block: Callable[[Block], None], layout: Layout) -> None:
        super().__init__(model, on_block, self._scopes_without_layer)
        self._layout = layout
        self._open: dict[str, Any] = {}
        self._wanted = {path for layer in layout.layers() for path in layer.held}

    def _scopes_without_layer(self, path: str, occurrence: int) -> tuple[AttentionScope, ...] | None:
        """The scopes of a block without a layer; None for a block that is reported when its layer has ended."""
        anatomy = self._layout.anatomy(path, occurrence)
        return anatomy.scopes if anatomy.layer is None else None

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        super()._leave(module, args, kwargs, output)
        if self._paused:
            return
        path = self._paths[module]
        if path in self._wanted:
            self._open[path] = self._kept(output)
        for trace in list(self.open_traces):
            anatomy = self._layout.anatomy(trace.path, trace.occurrence)
            layer = anatomy.layer
            if layer is None or layer.path != path or output is None or not trace.has_reached(anatomy.scopes):
                continue
            held = {inner: self._open.pop(inner) for inner in layer.held}
            self._report(trace, LayerCall(module, args, kwargs, output, held))


def _lies_in(path: str, module: str) -> bool:
    return not module or path == module or path.startswith(f"{module}.")
