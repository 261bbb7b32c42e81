"""One run of the rest of a layer: from the vectors with which an attention block ends to what the layer returns.

The layer's own code runs, unmodified. Only the modules that attention runs in give back what they gave before, and at
the entry, one operation's result (or one module's) is replaced by the vectors that are let in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from normlens.engine.capture.hooks import other_forwards
from normlens.engine.capture.trees import first_tensor, map_tensors, swapped
from normlens.engine.tracing.anatomy import LayerAnatomy
from normlens.engine.tracing.block import LayerCall
from normlens.engine.tracing.scopes import BlockScope
from normlens.engine.tracing.steps import ADD, MULTIPLY, SAME_ORDER, overwrites
from normlens.errors import UnsupportedArchitecture

FAILURES = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, NotImplementedError, AssertionError)
"""What a layer may raise that can't be run again by itself."""

Enter = Callable[[Tensor], Tensor]
"""Takes what the layer computed at the entry, gives what it goes on with, of the same shape and dtype."""


@dataclass(frozen=True)
class Arrangement:
    """How the rows and targets of a layer's call are laid out for another run of it.

    Attributes
    ----------
    batch, targets
        Sizes of the call.
    part
        Which targets.
    copies
        How often each row of the batch is repeated, one copy behind the other.
    """

    batch: int
    targets: int
    part: slice
    copies: int = 1

    def of(self, x: Tensor) -> Tensor:
        """``x`` rearranged if it has rows (and targets), as it is otherwise."""
        if not x.ndim or x.shape[0] != self.batch or (x.ndim == 1 and self.batch == self.targets):
            return x
        cut = x[:, self.part] if x.ndim > 1 and x.shape[1] == self.targets else x
        return cut.repeat_interleave(self.copies, 0)


def run_rest(
    call: LayerCall, known: LayerAnatomy, modules: Mapping[str, nn.Module], arrangement: Arrangement, enter: Enter
) -> dict[BlockScope, Tensor]:
    """Run a layer again from the entry on.

    Parameters
    ----------
    call, known
        The layer's call, and where it goes on behind the attention block.
    modules
        The model's modules by path.
    arrangement
        Which targets, and how many copies.
    enter
        What is let in.

    Returns
    -------
    dict
        What passed each scope, ``(batch * copies, target, d)``; live if what was let in is live. The two scopes inside
        are missing where the layer doesn't add to the vectors that were let in exactly once.

    Raises
    ------
    UnsupportedArchitecture
        If the run never comes to the entry, or returns no tensor.
    """
    passage = _Passage(known.entry, enter)
    output = _run(call, modules, arrangement, passage, known.own if known.entry is None else None)
    if output is None or not passage.stream:
        raise UnsupportedArchitecture(f"{known.path} took another way when it ran again by itself.")
    passed: dict[BlockScope, Tensor] = {}
    if len(passage.sums) == 1 and passage.sums[0][1].numel() == output.numel():
        addend, summed = passage.sums[0]
        passed["feedforward"], passed["feedforward_residual"] = (
            addend.reshape(output.shape),
            summed.reshape(output.shape),
        )
    passed["block"] = output
    return passed


def _run(
    call: LayerCall,
    modules: Mapping[str, nn.Module],
    arrangement: Arrangement,
    passage: _Passage,
    entering: str | None,
) -> Tensor | None:
    """What a layer returns when it runs again; the module called ``entering`` lets in instead of giving back."""
    args, kwargs = map_tensors(call.args, arrangement.of), map_tensors(dict(call.kwargs), arrangement.of)

    def give(path: str) -> Callable[..., Any]:
        given, first = call.held[path], first_tensor(call.held[path])
        if first is None:
            return lambda *args, **kwargs: given
        computed = arrangement.of(first)
        if path == entering:
            return lambda *args, **kwargs: swapped(given, first, passage.let_in(computed))
        return lambda *args, **kwargs: swapped(given, first, computed)

    with other_forwards((modules[path], give(path)) for path in call.held), passage:
        # an empty context: whatever observes the model's own run (to record hidden states, say) must not see this one
        return first_tensor(Context().run(call.module, *args, **kwargs))


class _Passage(TorchFunctionMode):
    """Lets vectors into a running layer, and notes where the layer adds something to them."""

    def __init__(self, entry: int | None, enter: Enter) -> None:
        super().__init__()
        self._entry, self._enter, self.operations = entry, enter, 0
        self.stream: dict[int, Tensor] = {}
        self.sums: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        addend = self._addend(name, args, kwargs)
        result = func(*args, **kwargs)
        if not is_vectors(result):
            return result
        if overwrites(name) and args:
            self.stream.pop(id(args[0]), None)
        if self.at_entry(result):
            result = self.let_in(result)
        elif addend is not None and addend.shape == result.shape:
            self.sums.append((addend, result))
        elif self._stays_stream(name, args, result):
            self.stream[id(result)] = result
        self.operations += 1
        return result

    def at_entry(self, result: Tensor) -> bool:
        """Whether the operation that gave ``result`` is the entry."""
        return self.operations == self._entry

    def let_in(self, computed: Tensor) -> Tensor:
        """What ``enter`` makes of what the layer computed at the entry."""
        entered = self._enter(computed)
        self.stream[id(entered)] = entered
        return entered

    def _addend(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
        """What is added to the vectors that were let in, if an operation does that."""
        if name not in ADD or len(args) != 2 or kwargs:
            return None
        streams = [id(x) in self.stream for x in args]
        other = args[0] if streams[1] else args[1]
        if streams.count(True) != 1 or not isinstance(other, Tensor):
            return None
        return other.clone() if overwrites(name) and other is args[0] else other

    def _stays_stream(self, name: str, args: tuple[Any, ...], result: Tensor) -> bool:
        """Whether an operation only changes the layout of the vectors, or multiplies them by one number."""
        if not args or id(args[0]) not in self.stream:
            return any(id(x) in self.stream for x in args) and name in MULTIPLY and _is_number(args[0])
        if name in MULTIPLY:
            return len(args) == 2 and _is_number(args[1])
        return name in SAME_ORDER and result.numel() == args[0].numel()


def is_vectors(x: object) -> bool:
    """Whether ``x`` is a tensor of floating-point numbers: what operations are counted by."""
    return isinstance(x, Tensor) and x.is_floating_point()


def _is_number(x: object) -> bool:
    return isinstance(x, int | float) or (isinstance(x, Tensor) and x.numel() == 1)


def find_entry(
    call: LayerCall, known: LayerAnatomy, modules: Mapping[str, nn.Module], vectors: Tensor, tolerance: float
) -> int | None:
    """Which operation of a layer gives known vectors, ``(batch, target, d)``, by what attention gives.

    The layer runs twice, once with other numbers from attention: where attention adds little, the vectors in front of it
    are the same but for rounding, and don't change. Where it adds nearly all, what it gives is the same but for rounding
    in half precision: the nearest counts, and the first of those that are equally near. Counted are operations that give
    floating-point tensors, from zero; None if none of them does, or none is nearer than what attention's module gives.
    """
    arrangement = Arrangement(vectors.shape[0], vectors.shape[1], slice(None))
    seeking = _Seeking(vectors, tolerance)
    _run(call, modules, arrangement, seeking, None)
    given = first_tensor(call.held[known.own])
    if given is None or not seeking.found:
        return None
    other = {**call.held, known.own: swapped(call.held[known.own], given, given + torch.ones_like(given).cumsum(-1))}
    comparing = _Comparing(seeking.found)
    _run(replace(call, held=other), modules, arrangement, comparing, None)
    away = {number: distance(seeking.found[number], vectors) for number in sorted(comparing.changed)}
    nearest = min(away.values(), default=tolerance) + tolerance / 100
    if distance(given, vectors) <= nearest:
        return None
    return next((number for number, found in away.items() if found <= nearest), None)


class _Seeking(_Passage):
    """Lets nothing in, and looks for known vectors instead."""

    def __init__(self, vectors: Tensor, tolerance: float) -> None:
        super().__init__(None, lambda x: x)
        self._vectors, self._tolerance = vectors, tolerance
        self.found: dict[int, Tensor] = {}

    def at_entry(self, result: Tensor) -> bool:
        if same(result, self._vectors, self._tolerance):
            self.found[self.operations] = result.clone()
        return False


class _Comparing(_Passage):
    """Lets nothing in, and notes which operations give something else than in an earlier run."""

    def __init__(self, before: Mapping[int, Tensor]) -> None:
        super().__init__(None, lambda x: x)
        self._before = before
        self.changed: set[int] = set()

    def at_entry(self, result: Tensor) -> bool:
        before = self._before.get(self.operations)
        if before is not None and not torch.equal(result, before):
            self.changed.add(self.operations)
        return False


def same(one: Tensor, other: Tensor, tolerance: float) -> bool:
    """Whether two tensors are equal but for rounding: their difference relative to the length of the second."""
    return distance(one, other) <= tolerance


def distance(one: Tensor, other: Tensor) -> float:
    """The length of the difference of two tensors, relative to the length of the second; infinite for other shapes."""
    if one.shape != other.shape:
        return float("inf")
    wide = torch.promote_types(one.dtype, torch.float32)
    gap, length = float((one.to(wide) - other.to(wide)).norm()), float(other.to(wide).norm())
    return gap / length if length else gap and float("inf")
