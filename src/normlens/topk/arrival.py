"""What attention's output goes into while a model is in use: held to the weight that its norms were measured with.

Norms are needed before the projection runs, so they are measured with the weight that it had when the model was watched,
read afresh. Whether that is what ran (and not another module, or an adapter beside it) shows only afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from normlens.errors import UnsupportedArchitecture
from normlens.tracing.steps import Call, Constants, way_back


class _Any(Constants):
    """Every tensor may be a projection's weight here: whether it is the right one is asked of its memory."""

    def __init__(self) -> None:
        pass

    def __contains__(self, x: object) -> bool:
        return isinstance(x, Tensor)


_ANY = _Any()
_NOT_FOLLOWED = {"detach", "__get__"}  # for whoever looks on; nothing that is learnt comes from there


@dataclass
class Way:
    """The way of one attention call's output.

    Attributes
    ----------
    path
        Module path of the projection.
    weight
        What the norms were measured with, ``(head * head_dim, d)``.
    arrived
        Whether the output has come to the weight.
    over
        Whether nothing is followed any more.
    """

    path: str
    weight: Tensor
    arrived: bool = False
    over: bool = False

    def end(self) -> None:
        """Follow nothing any more.

        Raises
        ------
        UnsupportedArchitecture
            If the output hasn't arrived.
        """
        self.over = True
        if not self.arrived:
            raise self._refused("attention's output didn't go there")

    def step(self, call: Call, x: Tensor) -> bool:
        """Take note of a function that took the output; True if its result is the same in another layout.

        Raises
        ------
        UnsupportedArchitecture
            If it is neither that nor, once, the projection with this very weight.
        """
        if way_back(call, x, lambda y: y) is not None:
            return True
        found = _ANY.linear_map(call, x)
        if self.arrived:
            raise self._refused("attention's output goes into something else besides (unmerged adapters?)")
        if found is None or not _same_memory(found[0], self.weight):
            raise self._refused(f"attention's output went into `{call.name}` instead")
        self.arrived = True
        return False

    def _refused(self, reason: str) -> UnsupportedArchitecture:
        return UnsupportedArchitecture(
            f"{self.path}: {reason}. The norms ‖f(x)‖ were measured with the weight of {self.path}, which is not all that "
            "ran: the model has changed since by='norm' watched it. Call undo(), merge adapters, then use() again."
        )


class Underway(Tensor):
    """Attention's output before its projection; every function that takes it is reported to its way."""

    way: Way

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the function on plain tensors, and go on with its result if that is the same in another layout."""
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if not isinstance(result, Tensor) or not result.is_floating_point() or name in _NOT_FOLLOWED:
            return result
        for x in _underway(args, kwargs):
            if not x.way.over and x.way.step(Call(name, tuple(args), kwargs, tuple(args), result), x):
                return result if isinstance(result, Underway) else follow(result, x.way)
        return result


def follow(output: Tensor, way: Way) -> Tensor:
    """The same tensor, followed on its way."""
    followed = output.as_subclass(Underway)
    followed.way = way
    return followed


def _underway(args: Sequence[Any], kwargs: dict[str, Any]) -> list[Underway]:
    """What is followed among arguments, also inside a first argument that is a list (cat, stack)."""
    flat = [*args, *kwargs.values()]
    if args and isinstance(args[0], (list, tuple)):
        flat.extend(args[0])
    return [x for x in flat if isinstance(x, Underway)]


def _same_memory(one: Tensor, other: Tensor) -> bool:
    here, there = ((x.data_ptr(), x.dtype, x.shape, x.stride()) for x in (one, other))
    return here == there
