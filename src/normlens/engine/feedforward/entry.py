"""Where a layer continues after an attention block: determined by running the layer again, and tested before use.

The rest of the layer can run on its own only if it depends on nothing except the output of the attention block, and treats
each position separately. Both are tested: with different inputs, and with different vectors at half of the positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.trees import first_tensor, map_tensors
from normlens.engine.contributions.measure import check_conservation, measure
from normlens.engine.feedforward.push import pushing
from normlens.engine.feedforward.replay import FAILURES, Arrangement, find_entry, run_rest, same
from normlens.engine.frozen.directions import Forward
from normlens.engine.frozen.run import frozen_run
from normlens.engine.tolerance import tolerance
from normlens.engine.tracing.anatomy import BlockAnatomy, LayerAnatomy
from normlens.engine.tracing.block import Block, LayerCall
from normlens.errors import ConservationError, UnknownOperation, UnsupportedArchitecture
from normlens.memory import is_out_of_memory


class EntryFinder:
    """Finds where the layer continues after each block; see :mod:`normlens.engine.tracing.layer_tracer`.

    Parameters
    ----------
    model
        The model or submodel that module paths refer to.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._layers: dict[tuple[str, int], LayerAnatomy] = {}
        self._obstacles: dict[tuple[str, int], str] = {}

    def find(self, block: Block, path: str, call: LayerCall, own: str | None, more_attention: bool) -> None:
        """Find the rest of the layer of one block; parameters as for :func:`find_rest`."""
        key = block.path, block.occurrence
        try:
            layer = find_rest(self._model, block, path, call, own, more_attention)
            _verify_start(self._model, block, layer, call)
            self._layers[key] = layer
        except (UnsupportedArchitecture, UnknownOperation) as reason:
            self._obstacles[key] = str(reason)
        except FAILURES as error:
            if is_out_of_memory(error):
                raise
            self._obstacles[key] = f"{path} can't run on its own ({type(error).__name__}: {error})"

    def described(self, anatomy: BlockAnatomy) -> BlockAnatomy:
        """The anatomy of a block, with the rest of its layer."""
        key = anatomy.path, anatomy.occurrence
        layer = self._layers.get(key)
        beyond = self._obstacles.get(key, "" if layer is not None else anatomy.obstacle)
        if layer is not None and layer.scopes == ("block",):
            beyond = f"{layer.path} doesn't add its feed-forward to the attention block's output exactly once"
        return replace(anatomy, layer=layer, beyond=beyond)


def _verify_start(model: PreTrainedModel, block: Block, layer: LayerAnatomy, call: LayerCall) -> None:
    """Push all contributions once, and compare those that enter with the norms of the attention block.

    Raises
    ------
    UnknownOperation
        If the layer applies an operation to them that can't be held fixed.
    ConservationError
        If they differ from the measured ones, or don't add up after the block.
    """
    limit = tolerance(model.dtype, "other operations")
    with pushing(model, block, layer, call, "half") as pusher:
        for measures in measure(block, block.scopes, push=pusher.push):
            check_conservation(measures, block.path, model.dtype, None)
            whole = slice(0, measures.weight.shape[2])
            entered = pusher.contributions.vectors(whole, weights=measures.weight).norm(dim=-1)
    expected = measures.norm[block.scopes[-1]]
    gap = float(
        ((entered - expected).abs() / expected.amax(-1, keepdim=True).clamp_min(torch.finfo(entered.dtype).tiny)).max()
    )
    if not gap <= limit:
        raise ConservationError(
            f"{block.path}: the contributions that enter the rest of {layer.path} differ by {gap:.1e} from the measured "
            f"ones; at most {limit:.0e} is accepted for a {model.dtype} model. The numbers are withheld."
        )


def find_rest(
    model: PreTrainedModel, block: Block, path: str, call: LayerCall, own: str | None, more_attention: bool
) -> LayerAnatomy:
    """Where the layer continues after an attention block.

    Parameters
    ----------
    model
        The model or submodel that module paths refer to.
    block
        The block.
    path, call
        The layer, and its call.
    own
        The module in it that contains the block's attention.
    more_attention
        Whether another attention follows in the layer.

    Raises
    ------
    UnsupportedArchitecture
        With the reason why the rest of the layer can't be followed.
    """
    own = _module_of_attention(block, path, own, more_attention)
    start, first = block.output, first_tensor(call.output)
    if first is None or first.shape != start.shape:
        raise UnsupportedArchitecture(f"{path} doesn't return its output as (batch, target, dimension)")
    limit = tolerance(model.dtype, "other operations")
    modules = dict(model.named_modules())
    direction = Forward(lambda group, x: torch.zeros_like(x))
    layer = LayerAnatomy(path, own, tuple(call.held), None, ())
    with torch.no_grad(), frozen_run(model, direction, batch=start.shape[0], sources=()) as run, run.mode:
        layer = replace(layer, entry=_entry(call, layer, modules, start, limit))
        by_scope = _tested_rest(call, layer, modules, start, first, limit)
    return replace(layer, scopes=tuple(by_scope))


def _module_of_attention(block: Block, path: str, own: str | None, more_attention: bool) -> str:
    """The module in the layer that contains the attention; refused if the layer can't be followed."""
    if block.residual is None:
        obstacle = block.obstacle
    elif block.residual.other_addend is not None:
        obstacle = "the feed-forward of a parallel block doesn't read attention's output"
    elif not path:
        obstacle = f"{block.path} is not inside a layer"
    elif more_attention:
        obstacle = "another attention follows in the layer, before the feed-forward"
    elif own is None or own == path:
        obstacle = f"attention has no separate module in {path}"
    else:
        return own
    raise UnsupportedArchitecture(obstacle)


def _entry(
    call: LayerCall, layer: LayerAnatomy, modules: Mapping[str, nn.Module], start: Tensor, limit: float
) -> int | None:
    """The operation that computes ``start``; None if the module that contains the attention computes it."""
    attended = first_tensor(call.held[layer.own])
    entry = find_entry(call, layer, modules, start, limit)
    if entry is None and (attended is None or not same(attended, start, limit)):
        raise UnsupportedArchitecture(f"{layer.path} doesn't reproduce the same vectors when it runs on its own")
    return entry


def _tested_rest(
    call: LayerCall,
    layer: LayerAnatomy,
    modules: Mapping[str, nn.Module],
    start: Tensor,
    expected: Tensor,
    limit: float,
) -> dict[Any, Tensor]:
    """The vectors at every scope when the rest of the layer runs on its own; refuses it if they differ or mix positions."""
    arrangement = Arrangement(start.shape[0], start.shape[1], slice(None))
    by_scope = run_rest(call, layer, modules, arrangement, lambda x: start.to(x.dtype))
    if not same(by_scope["block"], expected, limit):
        raise UnsupportedArchitecture(f"{layer.path} gives a different output when it runs on its own")
    generator = torch.Generator().manual_seed(0)

    def other(x: Tensor) -> Tensor:
        if not x.is_floating_point() or x.ndim < 2 or x.shape[:2] != start.shape[:2]:
            return x
        return x + torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)

    elsewhere = replace(
        call,
        args=map_tensors(call.args, other),
        kwargs=map_tensors(dict(call.kwargs), other),
        held=map_tensors(dict(call.held), other),
    )
    again = run_rest(elsewhere, layer, modules, arrangement, lambda x: start.to(x.dtype))
    if not same(again["block"], expected, limit):
        raise UnsupportedArchitecture(f"after its attention, {layer.path} reads more than the attention block's output")
    half = torch.randperm(start.shape[1], generator=generator) % 2 == 0
    moved = torch.where(half.to(start.device)[:, None], other(start), start)
    shifted = run_rest(call, layer, modules, arrangement, lambda x: moved.to(x.dtype))
    if not same(shifted["block"][:, ~half], expected[:, ~half], limit):
        raise UnsupportedArchitecture(f"after its attention, {layer.path} mixes positions")
    return by_scope
