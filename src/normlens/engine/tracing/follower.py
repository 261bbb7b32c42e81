"""The follower: tensors between attention and the residual stream, each with its role and its layout."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from normlens.engine.precision import working_precision
from normlens.engine.tracing.block import AppliedNorm
from normlens.engine.tracing.layer_numbers import same_layer
from normlens.engine.tracing.norms import NormForm, identify_norm
from normlens.engine.tracing.steps import (
    ADD,
    DIVIDE,
    MULTIPLY,
    Constants,
    FunctionCall,
    Restore,
    inverse_layout,
    layout_of,
)
from normlens.engine.tracing.trace import BlockTrace
from normlens.errors import UnsupportedArchitecture

Role = Literal["heads", "projected", "summed", "normed"]
"""Attention's output; the output of its projection; the sum with the residual stream; the norm of that sum."""


@dataclass(frozen=True)
class Followed:
    """A followed tensor.

    Attributes
    ----------
    tensor
        Kept alive, so that its id stays unique.
    block
        The block that it comes from.
    role
        Its stage in the block.
    restore
        Restores the layout ``(batch, target, dimension)``.
    """

    tensor: Tensor
    block: BlockTrace
    role: Role
    restore: Restore


class Follower:
    """Fills in the traces of blocks, one step at a time.

    Parameters
    ----------
    constants
        The model's parameters.
    reached
        Called with a block each time it reaches another scope.
    """

    def __init__(self, constants: Constants, reached: Callable[[BlockTrace], None]) -> None:
        self._constants, self._reached = constants, reached
        self._followed: dict[int, Followed] = {}
        self._forms: dict[nn.Module, NormForm] = {}
        self.streams: deque[Tensor] = deque(maxlen=6)
        """Sums and norms of the last blocks: where the next residual may start."""

    def __bool__(self) -> bool:
        return bool(self._followed)

    def get(self, x: object) -> Followed | None:
        """The entry of a tensor; None if it isn't followed."""
        return self._followed.get(id(x))

    def follow(self, tensor: Tensor, block: BlockTrace, role: Role, restore: Restore) -> None:
        """Follow a tensor from here on."""
        self._followed[id(tensor)] = Followed(tensor, block, role, restore)

    def forget(self, block: BlockTrace | None = None) -> None:
        """Stop following the tensors of a block, or of all blocks; then no tensor of the run is held."""
        if block is None:
            self._followed.clear()
            self.streams.clear()
        else:
            self._followed = {k: f for k, f in self._followed.items() if f.block is not block}

    def step(self, at: Followed, call: FunctionCall) -> None:
        """Interpret the effect of a function on a followed tensor."""
        restore = inverse_layout(call, at.tensor, at.restore)
        if restore is not None:
            self.follow(call.result, at.block, at.role, restore)
        elif at.role == "heads":
            self._step_heads(at, call)
        elif at.role == "projected" and at.block.summed is None:
            self._step_projected(at, call)
        elif at.role == "summed":
            at.block.sum_used_elsewhere = True
            self._reached(at.block)

    def step_norm(self, at: Followed, path: str, module: nn.Module, before: Tensor, after: Tensor) -> None:
        """Interpret the effect of a norm module on a followed tensor."""
        block = at.block
        if at.role == "normed" or (at.role == "projected" and block.summed is not None):
            return
        obstacle = _norm_obstacle(at, path, before)
        if obstacle is not None:
            block.obstacle = obstacle
            return
        try:
            norm = self._applied(path, module, at.restore(before), at.restore(after))
        except UnsupportedArchitecture as error:
            block.obstacle = str(error)
            return
        if at.role == "heads":
            block.head_norm = norm
            self.follow(after, block, "heads", at.restore)
        elif at.role == "projected":
            block.steps.append(norm)
            self.follow(after, block, "projected", at.restore)
        elif block.outer_norm is None and block.other_addend is None and same_layer(path, block.path):
            block.outer_norm = norm
            self.streams.append(after)
            self.follow(after, block, "normed", at.restore)
            self._reached(block)

    def _applied(self, path: str, module: nn.Module, before: Tensor, after: Tensor) -> AppliedNorm:
        u, z = working_precision(before), working_precision(after)
        if module not in self._forms:
            self._forms[module] = identify_norm(module, u, z, after.dtype)
        form = self._forms[module]
        return AppliedNorm(path, form, form.row_scale(u, z), u, z)

    def _step_heads(self, at: Followed, call: FunctionCall) -> None:
        """Attention's output meets a gate or its projection."""
        block = at.block
        if block.projected is not None:
            block.projected = None
            block.obstacle = "its output enters several linear layers (unmerged adapters? Call merge_adapter())"
            self.forget(block)
            return
        if call.name in MULTIPLY and self._take_gate(at, call):
            return
        linear = self._constants.linear_map(call, at.tensor)
        if linear is None:
            block.obstacle = f"`{call.name}` comes between attention and its output projection"
            return
        plain = block.head_norm is None and block.gate is None
        layout = layout_of(linear.operand, block.call.output.flatten(2) if plain else at.restore(at.tensor))
        if layout is None:
            block.obstacle = (
                "the output projection reads attention's output in a different order than (head, dimension)"
            )
            return
        block.parameter, block.projection = linear.weight, working_precision(linear.weight)
        block.bias = None if linear.bias is None else working_precision(linear.bias)
        block.projected = working_precision(layout(call.result))
        block.obstacle = "the projected output isn't added to a residual stream"
        self.follow(call.result, block, "projected", layout)
        self._reached(block)

    def _take_gate(self, at: Followed, call: FunctionCall) -> bool:
        """Record the factor of attention's output; True if it is a gate that can be measured."""
        block, (_, other) = at.block, call.other(at.tensor)
        if not isinstance(other, Tensor) or block.head_norm is not None or call.result.shape != at.tensor.shape:
            return False
        gate = working_precision(at.restore(other.expand(call.result.shape)))
        block.gate = gate if block.gate is None else block.gate * gate
        self.follow(call.result, block, "heads", at.restore)
        return True

    def _step_projected(self, at: Followed, call: FunctionCall) -> None:
        """The projected output meets a multiplier, a bias, or something to be added to."""
        block, (_, other) = at.block, call.other(at.tensor)
        if call.result is at.tensor and not block.steps:
            block.projected = working_precision(at.restore(call.before[0]))  # its memory is about to be overwritten
        scales = call.name in MULTIPLY | DIVIDE and call.result.shape == at.tensor.shape
        if scales and (factor := self._constants.factor(other, at.restore(call.result).shape[-1])) is not None:
            factor = working_precision(1 / factor if call.name in DIVIDE else factor)
            block.steps.append(factor)
            block.other_addend = None if block.other_addend is None else block.other_addend * factor
        elif call.name in ADD and isinstance(other, Tensor) and not call.kwargs and other.shape == call.result.shape:
            self._add(at, call)
            return
        elif call.name in ADD and not block.steps and other in self._constants and other.ndim == 1:
            block.bias = working_precision(other if block.bias is None else block.bias + other)
            block.projected = working_precision(at.restore(call.result))
        else:
            block.obstacle = f"`{call.name}` uses the projected output before it is added to the residual stream"
            block.projected_used_elsewhere = True
            return
        self.follow(call.result, block, "projected", at.restore)

    def _add(self, at: Followed, call: FunctionCall) -> None:
        """The projected output is added to the residual stream, or to another addend of the block."""
        block, (original, other) = at.block, call.other(at.tensor)
        result = working_precision(at.restore(call.result))
        if id(original) in block.candidates:
            block.own = working_precision(at.restore(other))
            block.summed = result
            block.obstacle = "no norm is applied to the sum alone"
            self.streams.append(call.result)
            self.follow(call.result, block, "summed", at.restore)
            self._reached(block)
        elif block.projected_used_elsewhere:
            block.obstacle = "the tensor added to the projected output may depend on it (an adapter? Merge it)"
        elif block.other_addend is not None:
            block.obstacle = "several sums before the residual stream"
        else:
            block.other_addend = working_precision(at.restore(other))
            self.follow(call.result, block, "projected", at.restore)


def _norm_obstacle(at: Followed, path: str, before: Tensor) -> str | None:
    """Why a norm can't be followed at this point, or None."""
    heads, head_dim = at.block.call.output.shape[2:]
    if at.role == "heads" and at.block.gate is not None:
        return f"{path} normalizes gated heads"
    if at.role == "heads" and before.shape[-1] != heads * head_dim:
        return f"{path} normalizes each head separately"
    if at.role == "projected" and at.block.other_addend is not None:
        return f"{path} normalizes a sum with something other than the residual stream"
    return None
