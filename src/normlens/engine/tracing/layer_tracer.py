"""Tracers that also observe the layers around attention blocks: one to find them, one to record their calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from normlens.engine.capture.trees import first_tensor, swapped
from normlens.engine.tracing.anatomy import LayerAnatomy
from normlens.engine.tracing.block import Block, LayerCall
from normlens.engine.tracing.layer_numbers import is_numbered
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
        super().__init__(model, on_block=lambda block: None, complete=lambda block: False)
        self._on_layer = on_layer
        self._held: dict[int, tuple[str, Any]] = {}
        self._reported: set[int] = set()

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        super()._leave(module, args, kwargs, output)
        if self._paused:
            return
        path = self._paths[module]
        inside = [b for b in self.open_blocks if id(b) not in self._reported and _lies_in(b.path, path)]
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
                self._on_layer(block, path, call, own, block is not inside[-1])
            finally:
                self._paused -= 1

    def _still_attention(self, block: Block, output: Any) -> bool:
        """Whether a module returned a tensor on the way from the block's attention to its last scope."""
        first = first_tensor(output)
        at = None if first is None else self._follower.get(first)
        return at is not None and at.block is block


class LayerTracer(_LayerWatcher):
    """Reports a block when its layer has ended, with the layer's call; blocks without a layer as usual.

    Parameters
    ----------
    model, on_block, complete
        As for :class:`Tracer`.
    layer_of
        The layer of a block; None for blocks that are reported as usual.
    layers
        All these layers. The outputs of the modules in them that contain attention are kept until the layer has ended.
    """

    def __init__(
        self,
        model: nn.Module,
        on_block: Callable[[Block], None],
        complete: Callable[[Block], bool],
        layer_of: Callable[[Block], LayerAnatomy | None],
        layers: Sequence[LayerAnatomy],
    ) -> None:
        super().__init__(model, on_block, lambda block: layer_of(block) is None and complete(block))
        self._layer_of, self._ready = layer_of, complete
        self._open: dict[str, Any] = {}
        self._wanted = {path for layer in layers for path in layer.held}

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        super()._leave(module, args, kwargs, output)
        if self._paused:
            return
        path = self._paths[module]
        if path in self._wanted:
            self._open[path] = self._kept(output)
        for block in list(self.open_blocks):
            layer = self._layer_of(block)
            if layer is not None and layer.path == path and output is not None and self._ready(block):
                block.layer = LayerCall(module, args, kwargs, output, {p: self._open.pop(p) for p in layer.held})
                self._report(block)

    def _report(self, block: Block) -> None:
        self.open_blocks.remove(block)
        self._follower.forget(block)
        self._paused += 1
        try:
            self._on_block(block)
        finally:
            self._paused -= 1


def _lies_in(path: str, module: str) -> bool:
    return not module or path == module or path.startswith(f"{module}.")
