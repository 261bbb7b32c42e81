"""The torch function mode that gives every operation of the running model its frozen derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode

from normlens.engine.frozen.call import Call, NoRule, Product, has_numbers
from normlens.engine.frozen.directions import Direction, is_grafted
from normlens.engine.frozen.elementwise import WEIGHTED, Compositions, as_activation
from normlens.engine.frozen.operations import RULES
from normlens.engine.frozen.rules import Rule, constant, gate, selection, write
from normlens.errors import InvalidInput, UnknownOperation

UNSEEN = "an operation that a torch function mode can't see, such as a custom autograd.Function"
FROM_OUTSIDE = "if the model has none, one of your own tensors requires a gradient; detach it"

_OPERATIONS = 4096  # torch has some 2,000 of them

Result = TypeVar("Result")


class FrozenMode(TorchFunctionMode):
    """While active, operations on live tensors follow the table of :mod:`normlens.engine.frozen.operations`.

    Parameters
    ----------
    direction
        How live tensors are differentiated.
    product
        How the derivative of a product of live factors is split.
    where
        Names the running module, for error messages.
    """

    def __init__(self, direction: Direction, product: Product, where: Callable[[], str]) -> None:
        super().__init__()
        self.direction = direction
        self.product = product
        self.where = where
        self._selections = _TensorSet()
        self._watched = _TensorSet()
        self._compositions = Compositions(direction.is_live)
        self._unseen = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run ``func`` by its rule if an argument is live, otherwise unchanged."""
        kwargs = kwargs or {}
        if self._unseen:
            return func(*args, **kwargs)
        if func is F.embedding:
            self._require_in_table(*args[:2], **kwargs)
        tensors = _tensors(*args, *kwargs.values())
        live = [x for x in tensors if self.direction.is_live(x)]
        operation = _operation(func)
        if not live and operation.name in WEIGHTED:
            args, live = self._activated(args)
        if live:
            return self._frozen(func, operation, args, kwargs, live)
        composition = self._compositions.compose(operation.name, operation.out_of_place, args, kwargs)
        result = func(*args, **kwargs)
        self._compositions.note(result, composition)
        if any(x in self._selections for x in tensors) and RULES.get(operation.name) is not gate:
            self._mark_selections(result)
        return result

    def _frozen(
        self,
        func: Callable[..., Any],
        operation: _Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        live: list[Tensor],
    ) -> Any:
        rule = RULES.get(operation.name)
        if rule is not constant and not all(map(self._is_watched, live)):
            raise self._unknown(UNSEEN, FROM_OUTSIDE)
        if rule is None or kwargs.get("out") is not None:
            raise self._unknown(_full_name(func))
        in_place = kwargs.pop("inplace", False) or operation.in_place
        is_selection, composition_of = self._selections.__contains__, self._compositions.of
        call = Call(operation.out_of_place, args, kwargs, self.direction, self.product, is_selection, composition_of)
        composition = self._compositions.compose(operation.name, call.function, args, kwargs)
        try:
            with torch.set_grad_enabled(self.direction.builds_graph):
                if composition is not None and self._compositions.is_activation(operation.name, args, kwargs):
                    result = as_activation(composition, call.map(Tensor.detach).run(), self.direction)
                else:
                    result = rule(call)
                result = args[0].copy_(result) if in_place else result
        except NoRule as reason:
            raise self._unknown(_full_name(func), str(reason)) from None
        self._compositions.note(result, composition)
        self._mark(rule, result)
        return result

    def _activated(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[Tensor]]:
        """The arguments of a weighted map, with gates made live again: an input of such a map is an activation, not a gate.

        Also returns the arguments that are live now.
        """
        live: list[Tensor] = []

        def released(x: Any) -> Any:
            composition = self._compositions.of(x)
            if composition is None or not x.is_floating_point() or not composition.is_finite:
                return x
            with torch.set_grad_enabled(self.direction.builds_graph):
                live.append(as_activation(composition, x, self.direction))
            self._watched.add(live[-1])
            return live[-1]

        return tuple(map(released, args)), live

    def _require_in_table(self, input: Tensor, weight: Tensor, **options: Any) -> None:
        """Refuse ids outside an embedding, before the lookup fails with an error that depends on the device."""
        if not input.numel():
            return
        lowest, highest = (int(x) for x in input.aminmax())
        if lowest < 0 or highest >= len(weight):
            raise InvalidInput(
                f"Ids from {lowest} to {highest} were looked up in {self.where()}, which has {len(weight)} entries, 0 to "
                f"{len(weight) - 1}. Check that token ids come from this model's tokenizer, and that the input isn't "
                "longer than the model's positions."
            )

    def admit(self, make: Callable[[], Tensor]) -> Tensor:
        """Admit what ``make`` returns as a source: a live tensor that no rule made."""
        tensor = self.unseen(make)
        self._watched.add(tensor)
        return tensor

    def unseen(self, work: Callable[[], Result]) -> Result:
        """The result of ``work``, whose operations bypass this mode."""
        self._unseen += 1
        try:
            return work()
        finally:
            self._unseen -= 1

    def _is_watched(self, live: Tensor) -> bool:
        maker: object = live.grad_fn
        if isinstance(maker, BackwardCFunction) and not is_grafted(live):
            return False
        return live in self._watched or (live._base is not None and live._base in self._watched)

    def _mark(self, rule: Rule, result: Any) -> None:
        for x in _tensors(result):
            if self.direction.is_live(x):
                self._watched.add(x)
                if x._base is not None:
                    self._watched.add(x._base)
            elif rule is selection:
                self._mark_selections(x)

    def _mark_selections(self, result: Any) -> None:
        for x in filter(has_numbers, _tensors(result)):
            self._selections.add(x)

    def _unknown(self, operation: str, reason: str = "") -> UnknownOperation:
        detail = reason or "it is not on the closed list of allowed operations (normlens.engine.frozen.operations)"
        return UnknownOperation(
            f"{operation} received a tensor that depends on the sources, in {self.where()}: {detail}. "
            "Follow contributions only up to a module before this one, or use a scope that ends inside the block."
        )


class _TensorSet:
    """A set of tensors by identity, held by weak references."""

    def __init__(self) -> None:
        self._by_id: WeakValueDictionary[int, Tensor] = WeakValueDictionary()

    def add(self, tensor: Tensor) -> None:
        self._by_id[id(tensor)] = tensor

    def __contains__(self, tensor: Tensor) -> bool:
        return self._by_id.get(id(tensor)) is tensor


def _tensors(*trees: Any) -> list[Tensor]:
    """All tensors in nested sequences (``torch.return_types`` too)."""
    flat: list[Tensor] = []
    for tree in trees:
        if isinstance(tree, Tensor):
            flat.append(tree)
        elif isinstance(tree, (list, tuple)):
            flat += _tensors(*tree)
    return flat


@dataclass(frozen=True)
class _Operation:
    """A function's name in the table of rules, and its out-of-place equivalent."""

    name: str
    out_of_place: Callable[..., Any]
    in_place: bool = False


def _operation(func: Callable[..., Any]) -> _Operation:
    return _described(func) if isinstance(func, FunctionType) and func.__closure__ else _operation_of_torch(func)


@functools.lru_cache(_OPERATIONS)
def _operation_of_torch(func: Callable[..., Any]) -> _Operation:
    return _described(func)


def _described(func: Callable[..., Any]) -> _Operation:
    name = getattr(func, "__name__", str(func))
    if name == "__get__":
        return _Operation(_full_name(func).split(".")[-2], func)
    if name.startswith("__i") and hasattr(Tensor, name[3:-2]):
        return _Operation(name[3:-2], getattr(Tensor, name[3:-2]), in_place=True)
    out_of_place = getattr(Tensor, name[:-1], func)
    if RULES.get(name) is write or not name.endswith("_") or name.endswith("__") or not callable(out_of_place):
        return _Operation(name, func)
    return _Operation(name[:-1], out_of_place, in_place=True)


def _full_name(func: Callable[..., Any]) -> str:
    name = torch.overrides.resolve_name(func)
    return str(name or getattr(func, "__qualname__", func))
