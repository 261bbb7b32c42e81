"""Single steps of a trace: what a torch function does to a tensor (a layout change, a linear map, a constant factor)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Restore = Callable[[Tensor], Tensor]
"""Restores the layout (batch, target, dimension)."""

SAME_ORDER = {
    "view", "reshape", "contiguous", "to", "float", "type", "type_as", "squeeze", "unsqueeze", "flatten", "unflatten",
    "view_as", "reshape_as", "clone", "dropout", "dropout_", "feature_dropout", "double", "half", "bfloat16",
}  # fmt: skip
MULTIPLY = {"mul", "multiply", "__mul__", "__rmul__", "mul_", "__imul__"}
ADD = {"add", "__add__", "__radd__", "add_", "__iadd__"}
DIVIDE = {"div", "__truediv__", "true_divide", "div_", "__itruediv__"}


@dataclass(frozen=True)
class FunctionCall:
    """One call of a torch function.

    Attributes
    ----------
    name
        Name of the function.
    args, kwargs
        Its arguments.
    before
        The same arguments with their values from before the call, where the function overwrote one.
    result
        Its result.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    before: tuple[Any, ...]
    result: Tensor

    def other(self, tensor: Tensor) -> tuple[Any, Any]:
        """The operand other than ``tensor``: the object itself, and its value from before the call."""
        pairs = zip(self.args, self.before, strict=True)
        return next(((a, b) for a, b in pairs if a is not tensor), (None, None))


def overwrites(name: str) -> bool:
    """Whether a function of this name writes into its first argument."""
    return (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")


def inverse_layout(call: FunctionCall, tensor: Tensor, earlier: Restore) -> Restore | None:
    """The inverse of a layout change of ``tensor`` and of the ones before it; None if the call is something else."""
    if call.name in ("cat", "concat", "concatenate") and len(call.args[0]) == 1 and call.args[0][0] is tensor:
        return earlier  # a split by images or windows into a single piece
    if not call.args or call.args[0] is not tensor:
        return None
    shape, rest = tensor.shape, [*call.args[1:], *call.kwargs.values()]
    if call.name in SAME_ORDER and call.result.numel() == tensor.numel():
        return lambda y: earlier(y.reshape(shape))
    if call.name in ("transpose", "swapaxes", "swapdims"):
        return lambda y: earlier(y.transpose(rest[0], rest[1]))
    if call.name == "permute":
        order = rest[0] if isinstance(rest[0], (tuple, list, torch.Size)) else rest
        inverse = torch.tensor([d % len(shape) for d in order]).argsort().tolist()
        return lambda y: earlier(y.permute(inverse))
    if call.name == "roll":
        shifts, dims = call.kwargs.get("shifts", rest[0]), call.kwargs.get("dims", rest[-1])
        back = [-s for s in shifts] if isinstance(shifts, (tuple, list)) else -shifts
        return lambda y: earlier(torch.roll(y, back, dims))
    return None


def layout_of(x: Tensor, expected: Tensor) -> Restore | None:
    """The map from the layout of ``x`` to that of ``expected``, ``(batch, target, dimension)``, by comparing the numbers."""
    batch, targets, size = expected.shape
    if x.shape[-1] != size or x.numel() != expected.numel():
        return None
    same_memory = x.data_ptr() == expected.data_ptr() and x.is_contiguous() and expected.is_contiguous()
    if same_memory or torch.equal(x.reshape(batch, targets, size).to(expected.dtype), expected):
        return lambda y: y.reshape(batch, targets, -1)
    if torch.equal(x.reshape(targets, batch, size).transpose(0, 1).to(expected.dtype), expected):
        return lambda y: y.reshape(targets, batch, -1).transpose(0, 1)
    return None


@dataclass(frozen=True)
class LinearMap:
    """A linear map as a torch function applied it.

    Attributes
    ----------
    weight
        ``(in, out)``.
    bias
        ``(out,)``, or None.
    operand
        Its input, ``(..., in)``.
    """

    weight: Tensor
    bias: Tensor | None
    operand: Tensor


class Constants:
    """The tensors of a model that don't depend on its input: parameters and views of them."""

    def __init__(self, model: nn.Module) -> None:
        self._storages = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def __contains__(self, x: object) -> bool:
        return isinstance(x, Tensor) and x.untyped_storage().data_ptr() in self._storages

    def factor(self, x: Any, size: int) -> Tensor | None:
        """``x`` as a multiplier: a number, or a parameter of one number or one per dimension; None otherwise."""
        if isinstance(x, (int, float)):
            return torch.tensor(float(x), dtype=torch.float64)
        if isinstance(x, Tensor) and x in self and x.numel() in (1, size):
            return x.detach().reshape(-1) if x.numel() > 1 else x.detach().reshape(())
        return None

    def linear_map(self, call: FunctionCall, tensor: Tensor) -> LinearMap | None:
        """The linear map that ``call`` applies to ``tensor``; None if it isn't a linear map."""
        args, kwargs = call.args, call.kwargs
        if call.name == "linear" and args[0] is tensor:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            return LinearMap(weight.T, args[2] if len(args) > 2 else kwargs.get("bias"), tensor)
        if call.name == "addmm" and len(args) == 3 and args[1] is tensor and not kwargs:
            return LinearMap(args[2], args[0], tensor)
        if call.name in ("matmul", "__matmul__", "mm") and args[0] is tensor and args[1] in self and args[1].ndim == 2:
            return LinearMap(args[1], None, tensor)
        return self._einsum(args, tensor) if call.name == "einsum" else None

    def _einsum(self, args: tuple[Any, ...], tensor: Tensor) -> LinearMap | None:
        """``"ibnd,hnd->ibh"``: a parameter that maps all but the leading axes of ``tensor`` to one axis."""
        equation = re.fullmatch(r"(\w+),(\w+)->(\w+)", str(args[0]).replace(" ", ""))
        if equation is None or len(args) != 3 or args[1] is not tensor or args[2] not in self:
            return None
        of_tensor, of_weight, of_result = equation.groups()
        summed = "".join(letter for letter in of_tensor if letter in of_weight)
        kept = of_tensor.removesuffix(summed)
        if not summed or kept + summed != of_tensor or of_result[:-1] != kept:
            return None
        if sorted(of_weight) != sorted(summed + of_result[-1]) or of_result[-1] in of_tensor:
            return None
        weight = args[2].permute([of_weight.index(letter) for letter in summed + of_result[-1]])
        return LinearMap(weight.flatten(0, -2), None, tensor.flatten(len(kept)))
