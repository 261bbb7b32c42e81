"""Replay of the rest of a layer: from the output of an attention block to the output of the layer.

The layer's own code runs, unmodified. Only the modules that contain the attention return their earlier outputs, and at the
entry, the result of one operation (or module) is replaced by the vectors to be pushed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from normlens.engine.capture.hooks import replaced_forwards
from normlens.engine.capture.trees import first_tensor, map_tensors, swapped
from normlens.engine.tracing.anatomy import LayerAnatomy
from normlens.engine.tracing.block import LayerCall
from normlens.engine.tracing.scopes import BlockScope
from normlens.engine.tracing.steps import ADD, MULTIPLY, SAME_ORDER, overwrites
from normlens.errors import UnsupportedArchitecture

FAILURES = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, NotImplementedError, AssertionError)
"""Errors of a layer that can't run on its own."""

Enter = Callable[[Tensor], Tensor]
"""Takes the layer's result at the entry, and returns its replacement of the same shape and dtype."""


@dataclass(frozen=True)
class Arrangement:
    """How the rows and targets of a layer's call are arranged for a replay.

    Attributes
    ----------
    batch, targets
        Sizes of the call.
    target_slice
        The targets to run on.
    copies
        Number of consecutive copies of each row of the batch.
    """

    batch: int
    targets: int
    target_slice: slice
    copies: int = 1

    def arrange(self, x: Tensor) -> Tensor:
        """``x`` rearranged if it has rows (and targets), otherwise unchanged."""
        if not x.ndim or x.shape[0] != self.batch or (x.ndim == 1 and self.batch == self.targets):
            return x
        sliced = x[:, self.target_slice] if x.ndim > 1 and x.shape[1] == self.targets else x
        return sliced.repeat_interleave(self.copies, 0)


def run_rest(
    call: LayerCall, layer: LayerAnatomy, modules: Mapping[str, nn.Module], arrangement: Arrangement, enter: Enter
) -> dict[BlockScope, Tensor]:
    """Run a layer again from the entry.

    Parameters
    ----------
    call, layer
        The layer's call, and where the layer continues after the attention block.
    modules
        The model's modules by path.
    arrangement
        The targets, and the number of copies.
    enter
        Replaces the vectors at the entry.

    Returns
    -------
    dict
        The vectors at each scope, ``(batch * copies, target, d)``; live if the entered vectors are live. The two inner
        scopes are missing unless the layer adds to the entered vectors exactly once.

    Raises
    ------
    UnsupportedArchitecture
        If the run never reaches the entry, or returns no tensor.
    """
    replay = _Replay(layer.entry, enter)
    output = _run(call, modules, arrangement, replay, layer.own if layer.entry is None else None)
    if output is None or not replay.stream:
        raise UnsupportedArchitecture(f"{layer.path} took a different execution path when it ran on its own.")
    by_scope: dict[BlockScope, Tensor] = {}
    if len(replay.sums) == 1 and replay.sums[0][1].numel() == output.numel():
        addend, summed = replay.sums[0]
        by_scope["feedforward"], by_scope["feedforward_residual"] = (
            addend.reshape(output.shape),
            summed.reshape(output.shape),
        )
    by_scope["block"] = output
    return by_scope


def _run(
    call: LayerCall,
    modules: Mapping[str, nn.Module],
    arrangement: Arrangement,
    replay: _Replay,
    entering: str | None,
) -> Tensor | None:
    """The output of a replayed layer; the entry is the module called ``entering``, or one of the operations if None."""
    args, kwargs = map_tensors(call.args, arrangement.arrange), map_tensors(dict(call.kwargs), arrangement.arrange)

    def replacement(path: str) -> Callable[..., Any]:
        output, first = call.held[path], first_tensor(call.held[path])
        if first is None:
            return lambda *args, **kwargs: output
        computed = arrangement.arrange(first)
        if path == entering:
            return lambda *args, **kwargs: swapped(output, first, replay.replace_at_entry(computed))
        return lambda *args, **kwargs: swapped(output, first, computed)

    with replaced_forwards((modules[path], replacement(path)) for path in call.held), replay:
        # an empty context, because observers of the model's own run (to record hidden states, say) must not see this run
        return first_tensor(Context().run(call.module, *args, **kwargs))


class _Replay(TorchFunctionMode):
    """Replaces vectors at the entry of a running layer, and records where the layer adds something to them."""

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
            result = self.replace_at_entry(result)
        elif addend is not None and addend.shape == result.shape:
            self.sums.append((addend, result))
        elif self._stays_stream(name, args, result):
            self.stream[id(result)] = result
        self.operations += 1
        return result

    def at_entry(self, result: Tensor) -> bool:
        """Whether the operation that gave ``result`` is the entry."""
        return self.operations == self._entry

    def replace_at_entry(self, computed: Tensor) -> Tensor:
        """Replace what the layer computed at the entry."""
        entered = self._enter(computed)
        self.stream[id(entered)] = entered
        return entered

    def _addend(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
        """The tensor that an operation adds to the entered vectors; None if it adds none."""
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
    """Whether ``x`` is a floating-point tensor: only operations that return one are counted."""
    return isinstance(x, Tensor) and x.is_floating_point()


def _is_number(x: object) -> bool:
    return isinstance(x, int | float) or (isinstance(x, Tensor) and x.numel() == 1)


def find_entry(
    call: LayerCall, layer: LayerAnatomy, modules: Mapping[str, nn.Module], vectors: Tensor, tolerance: float
) -> int | None:
    """The index of a layer's operation that computes ``vectors``, ``(batch, target, d)``, from attention's output.

    The layer runs twice, the second time with a modified output of attention. If attention adds little, the vectors before
    it also agree up to rounding, but they don't change in the second run. If attention adds nearly everything, its own
    output agrees up to rounding in half precision, so the closest operation is chosen, the first of equally close ones.
    Only operations that return floating-point tensors are counted, from zero. None if no operation matches, or none is
    closer than the output of attention's module.
    """
    arrangement = Arrangement(vectors.shape[0], vectors.shape[1], slice(None))
    candidates = _EntryCandidates(vectors, tolerance)
    _run(call, modules, arrangement, candidates, None)
    attended = first_tensor(call.held[layer.own])
    if attended is None or not candidates.by_number:
        return None
    modified = swapped(call.held[layer.own], attended, attended + torch.ones_like(attended).cumsum(-1))
    changed_operations = _ChangedOperations(candidates.by_number)
    _run(replace(call, held={**call.held, layer.own: modified}), modules, arrangement, changed_operations, None)
    distances = {
        number: distance(candidates.by_number[number], vectors) for number in sorted(changed_operations.changed)
    }
    nearest = min(distances.values(), default=tolerance) + tolerance / 100
    if distance(attended, vectors) <= nearest:
        return None
    return next((number for number, gap in distances.items() if gap <= nearest), None)


class _EntryCandidates(_Replay):
    """Replaces nothing, and records which operations compute the vectors."""

    def __init__(self, vectors: Tensor, tolerance: float) -> None:
        super().__init__(None, lambda x: x)
        self._vectors, self._tolerance = vectors, tolerance
        self.by_number: dict[int, Tensor] = {}

    def at_entry(self, result: Tensor) -> bool:
        if same(result, self._vectors, self._tolerance):
            self.by_number[self.operations] = result.clone()
        return False


class _ChangedOperations(_Replay):
    """Replaces nothing, and records which operations give a different result than in an earlier run."""

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
    """Whether two tensors agree within a tolerance, relative to the norm of the second."""
    return distance(one, other) <= tolerance


def distance(one: Tensor, other: Tensor) -> float:
    """The norm of the difference of two tensors, relative to the norm of the second; infinite for different shapes."""
    if one.shape != other.shape:
        return float("inf")
    wide = torch.promote_types(one.dtype, torch.float32)
    gap, length = float((one.to(wide) - other.to(wide)).norm()), float(other.to(wide).norm())
    return gap / length if length else gap and float("inf")
