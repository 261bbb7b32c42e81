"""Where a layer goes on behind an attention block: found by running the layer again, and tried out before it is used.

What follows the attention block may be run by itself, on any vectors, only if it depends on nothing but the vectors with
which the block ends, and on each position's alone. Both are tried: with other inputs, and with other vectors at half of
the positions.
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
    """Learns where a layer goes on behind each block; see :mod:`normlens.engine.tracing.layer_tracer`.

    Parameters
    ----------
    model
        The model, or the part of it, that module paths belong to.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._layers: dict[int, LayerAnatomy] = {}
        self._obstacles: dict[int, str] = {}

    def find(self, block: Block, path: str, call: LayerCall, own: str | None, more_attention: bool) -> None:
        """Learn of one block; parameters as for :func:`learn_rest`."""
        try:
            layer = find_rest(self._model, block, path, call, own, more_attention)
            block.layer = call
            _verify_start(self._model, block, layer)
            self._layers[id(block)] = layer
        except (UnsupportedArchitecture, UnknownOperation) as reason:
            self._obstacles[id(block)] = str(reason)
        except FAILURES as error:
            if is_out_of_memory(error):
                raise
            self._obstacles[id(block)] = f"{path} can't be run again by itself ({type(error).__name__}: {error})"
        finally:
            block.layer = None

    def described(self, block: Block, known: BlockAnatomy) -> BlockAnatomy:
        """The anatomy of a block with what was learnt."""
        layer = self._layers.get(id(block))
        beyond = self._obstacles.get(id(block), "" if layer is not None else block.obstacle)
        if layer is not None and layer.scopes == ("block",):
            beyond = f"{layer.path} doesn't add its feed-forward to what the attention block gives exactly once"
        return replace(known, layer=layer, beyond=beyond)


def _verify_start(model: PreTrainedModel, block: Block, layer: LayerAnatomy) -> None:
    """Push all contributions once, and hold those that are let in against the norms of the attention block.

    Raises
    ------
    UnknownOperation
        If the layer does something to them that can't be held fixed.
    ConservationError
        If they are others than those that were measured, or don't add up behind the block.
    """
    scopes = block.reached()
    limit = tolerance(model.dtype, "other operations")
    with pushing(model, block, layer, "half") as pusher:
        assert pusher is not None
        for measures in measure(block, scopes, push=pusher.push):
            check_conservation(measures, block.path, model.dtype, None)
            whole = slice(0, measures.weight.shape[2])
            found = pusher.contributions.vectors(whole, weights=measures.weight).norm(dim=-1)
    expected = measures.norm[scopes[-1]]
    gap = float(
        ((found - expected).abs() / expected.amax(-1, keepdim=True).clamp_min(torch.finfo(found.dtype).tiny)).max()
    )
    if not gap <= limit:
        raise ConservationError(
            f"{block.path}: the contributions that are let into the rest of {layer.path} differ by {gap:.1e} from those "
            f"that were measured; at most {limit:.0e} is accepted for a {model.dtype} model. The numbers are withheld."
        )


def find_rest(
    model: PreTrainedModel, block: Block, path: str, call: LayerCall, own: str | None, more_attention: bool
) -> LayerAnatomy:
    """Where the layer goes on behind an attention block.

    Parameters
    ----------
    model
        The model, or the part of it, that module paths belong to.
    block
        The block, traced to its end.
    path, call
        The layer, and its call.
    own
        The module in it that the block's attention runs in.
    more_attention
        Whether another attention follows in the layer.

    Raises
    ------
    UnsupportedArchitecture
        Saying why the block has no rest that can be followed.
    """
    start = end_of(block)
    _require_rest(block, path, own, more_attention)
    first = first_tensor(call.output)
    if start is None or own is None or first is None or first.shape != start.shape:
        raise UnsupportedArchitecture(f"{path} lays its output out in another way than (batch, target, dimension)")
    limit = tolerance(model.dtype, "other operations")
    modules = dict(model.named_modules())
    direction = Forward(lambda group, x: torch.zeros_like(x))
    known = LayerAnatomy(path, own, tuple(call.held), None, ())
    with torch.no_grad(), frozen_run(model, direction, batch=start.shape[0], sources=()) as run, run.mode:
        known = replace(known, entry=_entry(call, known, modules, start, limit))
        passed = _tried(call, known, modules, start, limit)
    return replace(known, scopes=tuple(passed))


def end_of(block: Block) -> Tensor | None:
    """The vectors with which an attention block ends, ``(batch, target, d)``: behind its outer norm if it has one."""
    return block.outer_norm.after if "layernorm" in block.reached() and block.outer_norm is not None else block.summed


def _require_rest(block: Block, path: str, own: str | None, more_attention: bool) -> None:
    obstacle = None
    if block.summed is None:
        obstacle = block.obstacle
    elif block.left_out is not None:
        obstacle = "the feed-forward of a parallel block doesn't take what attention gives"
    elif not path:
        obstacle = f"{block.path} lies in no layer"
    elif more_attention:
        obstacle = "another attention follows in the layer, before the feed-forward"
    elif own is None or own == path:
        obstacle = f"attention has no module of its own in {path}"
    if obstacle is not None:
        raise UnsupportedArchitecture(obstacle)


def _entry(
    call: LayerCall, known: LayerAnatomy, modules: Mapping[str, nn.Module], start: Tensor, limit: float
) -> int | None:
    """The operation that gives ``start``; None if the module does that attention runs in."""
    given = first_tensor(call.held[known.own])
    entry = find_entry(call, known, modules, start, limit)
    if entry is None and (given is None or not same(given, start, limit)):
        raise UnsupportedArchitecture(f"{known.path} doesn't come to the same vectors when it runs again by itself")
    return entry


def _tried(
    call: LayerCall, known: LayerAnatomy, modules: Mapping[str, nn.Module], start: Tensor, limit: float
) -> dict[Any, Tensor]:
    """What passes when the layer's rest runs by itself, if it is the same rest, and one of each position by itself."""
    arrangement = Arrangement(start.shape[0], start.shape[1], slice(None))
    expected = first_tensor(call.output)
    assert expected is not None
    passed = run_rest(call, known, modules, arrangement, lambda x: start.to(x.dtype))
    if not same(passed["block"], expected, limit):
        raise UnsupportedArchitecture(f"{known.path} gives something else when it runs again by itself")
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
    again = run_rest(elsewhere, known, modules, arrangement, lambda x: start.to(x.dtype))
    if not same(again["block"], expected, limit):
        raise UnsupportedArchitecture(
            f"behind its attention {known.path} takes more than what the attention block gives"
        )
    half = torch.randperm(start.shape[1], generator=generator) % 2 == 0
    moved = torch.where(half.to(start.device)[:, None], other(start), start)
    shifted = run_rest(call, known, modules, arrangement, lambda x: moved.to(x.dtype))
    if not same(shifted["block"][:, ~half], expected[:, ~half], limit):
        raise UnsupportedArchitecture(f"behind its attention {known.path} mixes positions")
    return passed
