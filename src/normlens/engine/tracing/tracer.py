"""The tracer: observes one run of an unmodified model and reports each attention block as soon as it is complete."""

from __future__ import annotations

import inspect
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from normlens.engine.capture.hooks import enter_and_leave_hooks
from normlens.engine.capture.interface import AttentionCall
from normlens.engine.capture.running import running_calls
from normlens.engine.tracing.block import Block, LayerCall
from normlens.engine.tracing.follower import Followed, Follower
from normlens.engine.tracing.norms import is_norm
from normlens.engine.tracing.scopes import AttentionScope
from normlens.engine.tracing.steps import MULTIPLY, Constants, FunctionCall, overwrites
from normlens.engine.tracing.trace import BlockTrace
from normlens.inputs.media import medium_of

_OTHER_SEQUENCE = re.compile(
    r"^(key_value_states?|encoder_hidden_states|encoder_states|encoder_outputs?|cross_attention_states|memory|context"
    r"|kv_states|vision_\w+|image_\w+|media|inputs|current_states|key|keys|key_states|value_states|reference_\w+)$"
)


_Running = tuple[nn.Module, Mapping[str, Tensor]]
"""A running module, and the tensors that it takes, by parameter name."""

ScopesOf = Callable[[str, int], tuple[AttentionScope, ...] | None]
"""Takes the path of an attention module and the number of its earlier calls."""


class RunStopped(Exception):
    """Raised by a tracer that has captured all it needs: the rest of the run is skipped, and nothing failed."""


class Tracer(TorchFunctionMode):
    """Observes one run of a model.

    Parameters
    ----------
    model
        The model that will run.
    on_block
        Called with each block once it has reached its scopes.
    scopes_of
        The scopes of a block, by path and occurrence; None for a block that isn't reported and stays in ``open_traces``.

    Attributes
    ----------
    open_traces
        Traces of the blocks that have not been reported.
    ran_attention
        Paths of the modules with "attention" in their class name that ran, whether or not attention was captured in them.
    ignored
        Paths of attention modules whose calls are not followed.
    missed
        Attention modules that computed a softmax whose product with values wasn't recognized, for messages.
    """

    def __init__(
        self,
        model: nn.Module,
        on_block: Callable[[Block], None] = lambda block: None,
        scopes_of: ScopesOf = lambda path, occurrence: None,
    ) -> None:
        super().__init__()
        self._on_block, self._scopes_of = on_block, scopes_of
        self._paths = {module: path for path, module in model.named_modules()}
        self._composed = [module for module in self._paths if next(module.children(), None) is not None]
        self._constants = Constants(model)
        self._follower = Follower(self._constants, self._report_complete)
        self._norms: deque[tuple[Tensor, Tensor]] = deque(maxlen=6)  # output and input of the most recent norms
        self._occurrences: Counter[str] = Counter()
        self._paused = 0
        self.open_traces: list[BlockTrace] = []
        self.ran_attention: set[str] = set()
        self.missed: list[str] = []
        self.ignored: frozenset[str] = frozenset()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Observe the model while this lasts: hooks and function mode are active."""
        norms = [module for module in self._paths if is_norm(module)]
        try:
            with (
                enter_and_leave_hooks(norms, self._enter_norm, self._leave_norm),
                enter_and_leave_hooks(self._composed, self._enter, self._leave),
                self,
            ):
                yield
        finally:
            self._follower.forget()
            self._norms.clear()

    def capture(self, call: AttentionCall) -> None:
        """Start following the output of an attention call; called by every capture method."""
        path = self._paths.get(call.module, type(call.module).__name__)
        if path in self.ignored:
            return
        running = self._running()
        medium = medium_of(list(named) for _, named in running)
        other = _reads_another(call, running)
        lengths_differ = call.output.shape[1] != call.value.shape[2]
        block = BlockTrace(path, self._occurrences[path], call, lengths_differ or other, other, medium)
        self._occurrences[path] += 1
        block.candidates.update((id(x), x) for x in self._residual_candidates(running))
        self.open_traces.append(block)
        self._follower.follow(call.produced, block, "heads", call.arranged)

    def miss(self, module: nn.Module) -> None:
        """Note an attention module whose softmax had no recognized product with values; called by observing methods."""
        if "attention" in type(module).__name__.lower():
            self.missed.append(f"{self._paths.get(module, '')} ({type(module).__name__})".lstrip())

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the function, and record its effect on followed tensors."""
        kwargs = kwargs or {}
        if self._paused or not self._follower:
            return func(*args, **kwargs)
        hits = self._hits(args, kwargs)
        name = getattr(func, "__name__", str(func))
        if not hits:
            result = func(*args, **kwargs)
            if name in MULTIPLY and len(args) == 2 and isinstance(result, Tensor):
                self._note_scaled_stream(args, result)
            return result
        first = args[0] if args else None
        saved = (first.clone(), *args[1:]) if overwrites(name) and isinstance(first, Tensor) else tuple(args)
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.is_floating_point():
            call = FunctionCall(name, tuple(args), kwargs, saved, result)
            for at in sorted(hits, key=lambda followed: followed.role != "summed"):
                self._follower.step(at, call)
        return result

    def _hits(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Followed]:
        """The followed tensors among the arguments, including those in a list as first argument (cat, stack)."""
        flat = [*args, *kwargs.values()]
        if args and isinstance(args[0], (list, tuple)):
            flat.extend(args[0])
        return [at for x in flat if isinstance(x, Tensor) and (at := self._follower.get(x)) is not None]

    def _report_complete(self, trace: BlockTrace) -> None:
        """Report a block once it has reached its scopes."""
        scopes = self._scopes_of(trace.path, trace.occurrence)
        if trace in self.open_traces and scopes is not None and trace.has_reached(scopes):
            with torch._C.DisableTorchFunction():
                self._report(trace)

    def _report(self, trace: BlockTrace, layer: LayerCall | None = None) -> None:
        """Report a finished block, and stop following it."""
        self.open_traces.remove(trace)
        self._follower.forget(trace)
        self._paused += 1
        try:
            self._on_block(trace.finished(layer))
        finally:
            self._paused -= 1

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if "attention" in type(module).__name__.lower():
            self.ran_attention.add(self._paths[module])

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Called when a module with children has ended; tracers of layers override it."""

    def _enter_norm(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._paused += 1

    def _leave_norm(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        self._paused -= 1
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        if self._paused or not isinstance(output, Tensor) or not tensors:
            return
        self._norms.append((output, tensors[0]))
        at = self._follower.get(tensors[0])
        if at is None:
            return
        if len(tensors) != 1:
            at.block.obstacle = f"{self._paths[module]} takes {len(tensors)} tensors"
            return
        self._paused += 1
        try:
            self._follower.step_norm(at, self._paths[module], module, tensors[0], output)
        finally:
            self._paused -= 1

    def _running(self) -> list[_Running]:
        """The running modules with children, innermost first."""
        calls = (call for call in running_calls() if call.module in self._composed)
        return [(call.module, _named_tensors(call.module, call.args, call.kwargs)) for call in calls]

    def _residual_candidates(self, running: Sequence[_Running]) -> Iterator[Tensor]:
        """Tensors that may be the residual stream of the attention call being captured.

        The inputs of the running modules, the inputs of the norms that produced those, and the sums of earlier
        blocks.
        """
        inputs = {id(output): before for output, before in self._norms}
        candidates = [x for _, named in reversed(running) for x in _hidden(named).values()] + list(
            self._follower.streams
        )
        for x in candidates:
            yield x
            if id(x) in inputs:
                yield inputs[id(x)]

    def _note_scaled_stream(self, args: Sequence[Any], result: Tensor) -> None:
        """Record a residual stream times a constant: it is a residual stream too."""
        for block in self.open_traces[-2:]:
            for x, factor in (args, tuple(reversed(args))):
                if id(x) in block.candidates and self._constants.factor(factor, result.shape[-1]) is not None:
                    block.candidates[id(result)] = result


def _reads_another(call: AttentionCall, running: Sequence[_Running]) -> bool:
    """Whether the attention module takes its sources from a second sequence."""
    inputs = next((_hidden(named) for module, named in running if module is call.module), None)
    if inputs is None:
        return call.output.shape[1] != call.value.shape[2]
    first = next(iter(inputs.values()), None)
    return any(_OTHER_SEQUENCE.match(name) and x is not first for name, x in inputs.items())


def _hidden(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The hidden states among the tensors that a module takes."""
    return {name: x for name, x in named.items() if x.is_floating_point() and x.ndim >= 2}


_NAMES: dict[type, list[str]] = {}


def _named_tensors(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensor arguments of a module, by parameter name."""
    kind = type(module)
    if kind not in _NAMES:
        _NAMES[kind] = list(inspect.signature(kind.forward).parameters)[1:]
    named = {**dict(zip(_NAMES[kind], args, strict=False)), **kwargs}
    return {name: x for name, x in named.items() if isinstance(x, Tensor)}


def uncaptured(ran: Iterable[str], captured: Iterable[str]) -> list[str]:
    """Attention modules that ran without any attention being captured in, around or inside them."""
    measured = list(captured)
    return sorted(path for path in ran if not any(_nested(path, other) for other in measured))


def _nested(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def unfinished(traces: Iterable[BlockTrace]) -> str:
    """Paths of blocks whose trace is incomplete, for an error message."""
    return ", ".join(trace.path for trace in traces)
