"""The watcher: every torch operation of the running model passes here and leaves with a frozen derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from normlens.errors import UnknownOperation
from normlens.frozen.directions import Direction
from normlens.frozen.rules import RULES, Call, NoRule, Product, gate, map_tensors, selection, write


class FrozenMode(TorchFunctionMode):
    """While active, operations on live tensors follow the table of :mod:`normlens.frozen.rules`.

    Parameters
    ----------
    direction
        How live tensors are differentiated.
    product
        How the derivative of a product of live factors is split.
    where
        Says which module is running, for error messages.
    """

    def __init__(self, direction: Direction, product: Product, where: Callable[[], str]) -> None:
        super().__init__()
        self.direction = direction
        self.product = product
        self.where = where
        self._selections = _TensorSet()
        self._watched = _TensorSet()
        self._admitting = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run ``func`` by its rule if it touches a live tensor, as it is otherwise."""
        kwargs = kwargs or {}
        if self._admitting:
            return func(*args, **kwargs)
        given = _tensors(args) + _tensors(kwargs)
        live = [x for x in given if self.direction.is_live(x)]
        if not live:
            result = func(*args, **kwargs)
            if any(x in self._selections for x in given) and RULES.get(_operation(func)[0]) is not gate:
                self._mark_selections(result)
            return result
        name, out_of_place, in_place = _operation(func)
        for x in live:
            if x not in self._watched and not (x._base is not None and x._base in self._watched):
                raise self._unknown("an operation that torch functions can't see, such as a custom autograd.Function")
        rule = RULES.get(name)
        if rule is None or kwargs.get("out") is not None:
            raise self._unknown(_full_name(func))
        in_place = kwargs.pop("inplace", False) or in_place
        try:
            result = rule(Call(out_of_place, args, kwargs, self.direction, self.product, self._selections.__contains__))
        except NoRule as reason:
            raise self._unknown(_full_name(func), str(reason)) from None
        if in_place:
            result = args[0].copy_(result)
        self._mark(name, result)
        return result

    def admit(self, make: Callable[[], Tensor]) -> Tensor:
        """Let in what ``make`` returns: a live tensor that no rule made, a source."""
        self._admitting = True
        try:
            tensor = make()
        finally:
            self._admitting = False
        self._watched.add(tensor)
        return tensor

    def _mark(self, name: str, result: Any) -> None:
        for x in _tensors(result):
            if self.direction.is_live(x):
                self._watched.add(x)
                if x._base is not None:
                    self._watched.add(x._base)
            elif RULES[name] is selection:
                self._mark_selections(x)

    def _mark_selections(self, result: Any) -> None:
        for x in _tensors(result):
            if x.is_floating_point() or x.is_complex():
                self._selections.add(x)

    def _unknown(self, operation: str, reason: str = "") -> UnknownOperation:
        detail = reason or "it is not on the closed list of operations that can be held fixed (normlens.frozen.rules)"
        return UnknownOperation(
            f"{operation} met a tensor that depends on the sources, in {self.where()}: {detail}. "
            "Follow contributions no further than a module before this one, or use a scope that ends inside the block."
        )


class _TensorSet:
    """Tensors by identity, forgotten as soon as nobody else holds them."""

    def __init__(self) -> None:
        self._by_id: WeakValueDictionary[int, Tensor] = WeakValueDictionary()

    def add(self, tensor: Tensor) -> None:
        self._by_id[id(tensor)] = tensor

    def __contains__(self, tensor: Tensor) -> bool:
        return self._by_id.get(id(tensor)) is tensor


def _tensors(tree: Any) -> list[Tensor]:
    found: list[Tensor] = []
    map_tensors(tree, found.append)
    return found


@functools.cache
def _operation(func: Callable[..., Any]) -> tuple[str, Callable[..., Any], bool]:
    """The name that the table knows ``func`` by, the function that does the same out of place, and if ``func`` is not."""
    name = getattr(func, "__name__", str(func))
    if name == "__get__":
        return _full_name(func).split(".")[-2], func, False
    if name.startswith("__i") and name.endswith("__") and hasattr(torch.Tensor, name[3:-2]):
        return name[3:-2], getattr(torch.Tensor, name[3:-2]), True
    if RULES.get(name) is write or not name.endswith("_") or name.endswith("__"):
        return name, func, False
    return name[:-1], getattr(torch.Tensor, name[:-1]), True


@functools.cache
def _full_name(func: Callable[..., Any]) -> str:
    name = torch.overrides.resolve_name(func)  # type: ignore[no-untyped-call]
    return str(name or getattr(func, "__qualname__", func))
