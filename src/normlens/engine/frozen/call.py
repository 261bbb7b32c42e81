"""One operation as a rule sees it: the function, its arguments, and which of them are live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from normlens.engine.capture.trees import map_tensors
from normlens.engine.frozen.directions import Direction
from normlens.engine.frozen.elementwise import Composition

Product = Literal["half", "first", "second", "integrated"]
"""How the derivative of a product of live factors is split: equally, all to one of two, or by integrated gradients."""


class NoRule(Exception):
    """The operation has no rule for this call; the mode adds the module."""


@dataclass(frozen=True)
class Call:
    """One operation with at least one live argument.

    Attributes
    ----------
    function
        The operation, never in place.
    args, kwargs
        Its arguments.
    direction
        How live tensors are differentiated.
    product
        How the derivative of a product of live factors is split.
    is_selection
        Whether a tensor was selected from the sources and is held fixed; see :func:`normlens.engine.frozen.rules.selection`.
    composition_of
        The element-wise function of a live tensor that gives a tensor; None if there is none.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    direction: Direction
    product: Product
    is_selection: Callable[[Tensor], bool]
    composition_of: Callable[[Tensor], Composition | None]

    def run(self) -> Any:
        """Call the unmodified operation."""
        return self.function(*self.args, **self.kwargs)

    def map(self, change: Callable[[Tensor], Any]) -> Call:
        """The same call with every tensor argument changed."""
        args: tuple[Any, ...] = map_tensors(self.args, change)
        kwargs: dict[str, Any] = map_tensors(dict(self.kwargs), change)
        kept = (self.direction, self.product, self.is_selection, self.composition_of)
        return Call(self.function, args, kwargs, *kept)

    def named(self, *names: str, **defaults: Any) -> list[Any]:
        """The arguments called ``names``, or their defaults, or None."""
        arguments = {**defaults, **self.bind(*names)}
        return [arguments.get(name) for name in names]

    def unary(self) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The first argument, and the operation as a function of it with everything else held fixed."""
        rest, kwargs = held(self.args[1:]), held(dict(self.kwargs))
        x: Tensor = self.args[0] if self.args else kwargs.pop("input")

        def function(t: Tensor) -> Tensor:
            as_t = map_tensors((rest, kwargs), lambda c: c.to(t.dtype) if has_numbers(c) else c)
            result: Tensor = self.function(t, *as_t[0], **as_t[1])
            return result

        return x, function

    def bind(self, *names: str) -> dict[str, Any]:
        """The arguments by name: positional ones in the order of ``names``, then keywords."""
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}

    def is_live(self, x: object) -> bool:
        """Whether ``x`` is a live tensor."""
        return isinstance(x, Tensor) and self.direction.is_live(x)

    def is_constant(self, x: object) -> bool:
        """Whether ``x`` is a numeric tensor that may belong to the bias share."""
        return isinstance(x, Tensor) and has_numbers(x) and not self.is_live(x) and not self.is_selection(x)

    def follow(self, x: Any, shape: torch.Size | None = None) -> Any:
        """``x``, followed as a constant if it is one; ``shape`` is the shape that the operation broadcasts it to."""
        if not self.is_constant(x):
            return x
        at = x if shape is None else self.direction.per_row(x, shape)
        return self.direction.constant(at, x)

    def added(self, result: Tensor, constant: object, contribution: Tensor | None = None) -> Tensor:
        """``result``, to which ``constant`` was added, with it followed; ``contribution`` is its broadcastable form."""
        if not isinstance(constant, Tensor) or not self.is_constant(constant):
            return result
        return self.direction.added(result, constant if contribution is None else contribution)


Rule = Callable[[Call], Any]


def held(tree: Any) -> Any:
    """``tree`` with every tensor held fixed: without its derivative."""
    return map_tensors(tree, Tensor.detach)


def has_numbers(x: Tensor) -> bool:
    """Whether ``x`` holds numbers that can carry a derivative, not indices or truth values."""
    return x.is_floating_point() or x.is_complex()
