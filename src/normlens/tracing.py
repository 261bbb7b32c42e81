"""The tracer: follows attention's output through the running model, one torch function at a time.

Each tensor on the way is remembered with its role and with the way back to the layout (batch, target, dimension).
"""

from __future__ import annotations

import inspect
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from normlens.anatomy import AppliedNorm, Block, Restore, identify_norm, working_precision
from normlens.capture import AttentionCall
from normlens.errors import UnsupportedArchitecture
from normlens.norms import NormForm

Role = Literal["heads", "projected", "summed", "normed"]

_SAME_ORDER = {
    "view", "reshape", "contiguous", "to", "float", "type", "type_as", "squeeze", "unsqueeze", "flatten", "unflatten",
    "view_as", "reshape_as", "clone", "dropout", "dropout_", "feature_dropout", "identity", "double", "half", "bfloat16",
}  # fmt: skip
_MULTIPLY = {"mul", "multiply", "__mul__", "__rmul__", "mul_", "__imul__"}
_ADD = {"add", "__add__", "__radd__", "add_", "__iadd__"}
_DIVIDE = {"div", "__truediv__", "true_divide", "div_", "__itruediv__"}
_OTHER_SEQUENCE = re.compile(
    r"^(key_value_states?|encoder_hidden_states|encoder_states|encoder_outputs?|cross_attention_states|memory|context"
    r"|kv_states|vision_\w+|image_\w+|media|inputs|current_states|key|keys|key_states|value_states|reference_\w+)$"
)


@dataclass
class _Tracked:
    tensor: Tensor  # held, so that its id stays its own
    block: Block
    role: Role
    restore: Restore


@dataclass
class _Frame:
    """A module that is running: its path and the hidden states that came in, by parameter name."""

    path: str
    module: nn.Module
    inputs: dict[str, Tensor]


class Tracer(TorchFunctionMode):
    """Watches one run of a model and reports each attention block as soon as it is complete.

    Parameters
    ----------
    model
        The model that will run.
    on_block
        Called with each block when ``complete`` says so.
    complete
        Whether a block has reached all the scopes that it will reach.
    """

    def __init__(self, model: nn.Module, on_block: Callable[[Block], None], complete: Callable[[Block], bool]) -> None:
        super().__init__()
        self._on_block, self._complete = on_block, complete
        self._paths = {module: path for path, module in model.named_modules()}
        self._tracked: dict[int, _Tracked] = {}
        self._frames: list[_Frame] = []
        self._norm_inputs: deque[tuple[Tensor, Tensor]] = deque(maxlen=6)  # (output, input) of the last norms
        self._streams: deque[Tensor] = deque(maxlen=6)  # sums and norms of the blocks before: where a residual may start
        self._occurrences: Counter[str] = Counter()
        self._forms: dict[nn.Module, NormForm] = {}
        self._constants = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self._paused = 0
        self.ran_attention: set[str] = set()
        self.open_blocks: list[Block] = []

    # -- what the model does -------------------------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks and function mode on, and off again afterwards."""
        handles = []
        for module in self._paths:
            if _is_norm(module):
                handles.append(module.register_forward_pre_hook(self._enter_norm, with_kwargs=True))
                handles.append(module.register_forward_hook(self._leave_norm, with_kwargs=True, always_call=True))
            elif next(module.children(), None) is not None:
                handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
                handles.append(module.register_forward_hook(self._leave, always_call=True))
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()
            self._tracked.clear()

    def hear(self, call: AttentionCall) -> None:
        """Start following the output of an attention call; the listener for :func:`normlens.capture.capturing`."""
        path = self._paths.get(call.module, type(call.module).__name__)
        block = Block(path, self._occurrences[path], call, self._is_cross(call))
        self._occurrences[path] += 1
        for x in self._residual_candidates():
            block.candidates[id(x)] = x
        self.open_blocks.append(block)
        self._follow(call.produced, block, "heads", call.arranged)

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the function; note what it did if a tracked tensor went in."""
        kwargs = kwargs or {}
        if self._paused or not self._tracked:
            return func(*args, **kwargs)
        hits = [t for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and (t := self._tracked.get(id(x)))]
        if not hits:
            if args and isinstance(args[0], (list, tuple)):
                hits = [t for x in args[0] if isinstance(x, Tensor) and (t := self._tracked.get(id(x)))]
            if not hits:
                return self._scaled_candidate(func, args, kwargs)
        name = getattr(func, "__name__", str(func))
        overwrites = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
        if overwrites:
            args = (args[0], *args[1:])
            before = args[0].clone() if isinstance(args[0], Tensor) else args[0]
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and (result.is_floating_point() or result.is_complex()):
            seen = (before, *args[1:]) if overwrites else tuple(args)
            for hit in sorted(hits, key=lambda t: t.role != "summed"):
                self._step(hit, name, args, seen, kwargs, result)
        return result

    # -- the steps -----------------------------------------------------------------------------------------------

    def _step(
        self, hit: _Tracked, name: str, args: Sequence[Any], seen: Sequence[Any], kwargs: dict[str, Any], result: Tensor
    ) -> bool:
        """Follow one step of one tracked tensor; True when it is understood."""
        if result is hit.tensor and name not in _ADD | _MULTIPLY | _DIVIDE:
            return True
        restore = _way_back(name, hit, args, kwargs, result)
        if restore is not None:
            self._follow(result, hit.block, hit.role, restore)
            return True
        if hit.role == "heads":
            return self._step_heads(hit, name, args, kwargs, result)
        if hit.role == "projected":
            return self._step_projected(hit, name, args, seen, kwargs, result)
        if hit.role == "summed":
            hit.block.sum_used_elsewhere = True
            self._close(hit.block)
        return False

    def _step_heads(self, hit: _Tracked, name: str, args: Sequence[Any], kwargs: dict[str, Any], result: Tensor) -> bool:
        block = hit.block
        if block.projected is not None:
            block.projected, block.obstacle = None, "its output goes into several linear layers (unmerged adapters?)"
            self._forget(block)
            return True
        found = self._linear_weight(name, hit.tensor, args, kwargs)
        if found is None:
            block.obstacle = f"`{name}` comes between attention and its output projection"
            return False
        weight, bias = found
        batch, targets = block.call.output.shape[:2]
        expected = block.call.output.reshape(batch, targets, -1) if block.head_norm is None else block.head_norm.after
        layout = _layout_of(hit.tensor, expected)
        if layout is None:
            block.obstacle = "the output projection takes attention's output in another order than heads by dimensions"
            return False
        block.projection = working_precision(weight)
        block.bias = None if bias is None else working_precision(bias)
        block.obstacle = "the projected output meets no residual stream"
        block.projected = working_precision(layout(result)).clone() if result.is_inference() else working_precision(layout(result))
        self._follow(result, block, "projected", layout)
        self._close(block)
        return True

    def _linear_weight(
        self, name: str, tensor: Tensor, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None] | None:
        """Weight ``(in, out)`` and bias of a linear map applied to ``tensor``, or None if the function is no such thing."""
        if name == "linear" and args[0] is tensor:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            bias = args[2] if len(args) > 2 else kwargs.get("bias")
            return weight.T, bias
        if name == "addmm" and len(args) == 3 and args[1] is tensor and not kwargs:
            return args[2], args[0]
        if name in ("matmul", "__matmul__", "mm") and args[0] is tensor and self._is_constant(args[1]):
            return (args[1], None) if args[1].ndim == 2 else None
        return None

    def _is_constant(self, x: Any) -> bool:
        """Whether a tensor is a parameter of the model, or a view of one."""
        return isinstance(x, Tensor) and x.untyped_storage().data_ptr() in self._constants

    def _step_projected(
        self, hit: _Tracked, name: str, args: Sequence[Any], seen: Sequence[Any], kwargs: dict[str, Any], result: Tensor
    ) -> bool:
        block = hit.block
        if block.summed is not None:
            return False
        other = next((s for a, s in zip(args, seen, strict=True) if a is not hit.tensor), None)
        if args and args[0] is hit.tensor and len(args) > 1:
            other = seen[1]
        if name in _MULTIPLY | _DIVIDE and (factor := _constant_factor(other, hit.restore(result).shape[-1])) is not None:
            block.steps.append(working_precision(1 / factor if name in _DIVIDE else factor))
            self._follow(result, block, "projected", hit.restore)
            return True
        if name in _ADD and isinstance(other, Tensor) and not kwargs and other.shape == result.shape:
            return self._add(hit, args, other, result)
        if name in _ADD and other is not None and other.ndim == 1 and not block.steps and self._is_constant(other):
            bias = working_precision(other)
            block.bias = bias if block.bias is None else block.bias + bias
            block.projected = working_precision(hit.restore(result))
            self._follow(result, block, "projected", hit.restore)
            return True
        block.obstacle = f"`{name}` takes the projected output before it meets the residual stream"
        return False

    def _add(self, hit: _Tracked, args: Sequence[Any], other: Tensor, result: Tensor) -> bool:
        block = hit.block
        original = next((a for a in args if a is not hit.tensor), None)
        if id(original) in block.candidates:
            block.own = working_precision(hit.restore(other))
            block.summed = working_precision(hit.restore(result)).clone() if result is original else working_precision(hit.restore(result))
            block.obstacle = "no norm takes the sum alone"
            self._streams.append(result)
            self._follow(result, block, "summed", hit.restore)
            self._close(block)
            return True
        if block.left_out is not None:
            block.obstacle = "several sums before the residual stream"
            return False
        block.left_out = working_precision(hit.restore(other))
        self._follow(result, block, "projected", hit.restore)
        return True

    # -- modules -------------------------------------------------------------------------------------------------

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if "attention" in type(module).__name__.lower():
            self.ran_attention.add(self._paths[module])
        self._frames.append(_Frame(self._paths[module], module, _hidden_inputs(module, args, kwargs)))

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self._frames and self._frames[-1].module is module:
            self._frames.pop()

    def _enter_norm(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._paused += 1

    def _leave_norm(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self._paused -= 1
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        if self._paused or not isinstance(output, Tensor) or not tensors:
            return
        self._norm_inputs.append((output, tensors[0]))
        hit = self._tracked.get(id(tensors[0]))
        if hit is None:
            return
        if len(tensors) != 1:
            hit.block.obstacle = f"{self._paths[module]} takes {len(tensors)} tensors"
            return
        self._paused += 1
        try:
            self._step_norm(hit, module, tensors[0], output)
        finally:
            self._paused -= 1

    def _step_norm(self, hit: _Tracked, module: nn.Module, before: Tensor, after: Tensor) -> None:
        block = hit.block
        if hit.role == "normed" or (hit.role == "projected" and block.summed is not None):
            return
        if hit.role == "heads" and before.shape[-1] != block.call.output.shape[2] * block.call.output.shape[3]:
            block.obstacle = f"{self._paths[module]} normalises each head by itself"
            return
        u, z = working_precision(hit.restore(before)), working_precision(hit.restore(after))
        try:
            if module not in self._forms:
                self._forms[module] = identify_norm(module, u, z)
        except UnsupportedArchitecture as error:
            block.obstacle = str(error)
            return
        form = self._forms[module]
        norm = AppliedNorm(self._paths[module], form, form.row_scale(u, z), u, z)
        if hit.role == "heads":
            block.head_norm = norm
            self._follow(after, block, "heads", hit.restore)
        elif hit.role == "projected":
            block.steps.append(norm)
            self._follow(after, block, "projected", hit.restore)
        elif block.outer_norm is None and block.left_out is None and _same_layer(norm.path, block.path):
            block.outer_norm = norm
            self._streams.append(after)
            self._follow(after, block, "normed", hit.restore)
            self._close(block)

    # -- bookkeeping ---------------------------------------------------------------------------------------------

    def _follow(self, tensor: Tensor, block: Block, role: Role, restore: Restore) -> None:
        self._tracked[id(tensor)] = _Tracked(tensor, block, role, restore)

    def _forget(self, block: Block) -> None:
        self._tracked = {key: value for key, value in self._tracked.items() if value.block is not block}

    def _close(self, block: Block) -> None:
        """Report a block that is complete, and let go of it."""
        if block in self.open_blocks and self._complete(block):
            self.open_blocks.remove(block)
            self._forget(block)
            self._paused += 1
            try:
                self._on_block(block)
            finally:
                self._paused -= 1

    def _residual_candidates(self) -> Iterator[Tensor]:
        """Tensors that may be the residual stream of the attention call being heard.

        What came into the modules that are running, what the norms before those inputs took, and the sums of the
        blocks before.
        """
        inputs = {id(output): before for output, before in self._norm_inputs}
        found = [x for frame in self._frames for x in frame.inputs.values()] + list(self._streams)
        for x in found:
            yield x
            if id(x) in inputs:
                yield inputs[id(x)]

    def _scaled_candidate(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run a function on untracked tensors; a residual stream times a constant stays a residual stream."""
        result = func(*args, **kwargs)
        if getattr(func, "__name__", "") in _MULTIPLY and len(args) == 2 and isinstance(result, Tensor):
            for block in self.open_blocks[-2:]:
                for x, factor in (args, tuple(reversed(args))):
                    if id(x) in block.candidates and _constant_factor(factor, result.shape[-1]) is not None:
                        block.candidates[id(result)] = result
        return result

    def _is_cross(self, call: AttentionCall) -> bool:
        targets, sources = call.output.shape[1], call.value.shape[2]
        frame = next((f for f in reversed(self._frames) if f.module is call.module), None)
        if targets != sources or frame is None:
            return targets != sources
        hidden = next(iter(frame.inputs.values()), None)
        return any(_OTHER_SEQUENCE.match(name) and x is not hidden for name, x in frame.inputs.items())


def _same_layer(one: str, other: str) -> bool:
    """Whether two module paths lie in the same numbered layer; a model's final norm lies in none."""
    common = []
    for a, b in zip(one.split("."), other.split("."), strict=False):
        if a != b:
            break
        common.append(a)
    return any(part.isdigit() for part in common)


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() and next(module.children(), None) is None


def _hidden_inputs(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """Floating-point inputs of a module that may be hidden states, by parameter name."""
    named = {**dict(zip(_parameter_names(type(module)), args, strict=False)), **kwargs}
    return {name: x for name, x in named.items() if isinstance(x, Tensor) and x.is_floating_point() and x.ndim >= 2}


_NAMES: dict[type, list[str]] = {}


def _parameter_names(kind: type[nn.Module]) -> list[str]:
    if kind not in _NAMES:
        _NAMES[kind] = list(inspect.signature(kind.forward).parameters)[1:]
    return _NAMES[kind]


def _way_back(
    name: str, hit: _Tracked, args: Sequence[Any], kwargs: dict[str, Any], result: Tensor
) -> Restore | None:
    """How to undo a change of layout, composed with the way back from before it; None if it is no change of layout."""
    if not args or args[0] is not hit.tensor:
        return None
    shape, earlier = hit.tensor.shape, hit.restore
    if name in _SAME_ORDER and result.numel() == hit.tensor.numel():
        return lambda y: earlier(y.reshape(shape))
    rest = [*args[1:], *kwargs.values()]
    if name in ("transpose", "swapaxes", "swapdims"):
        return lambda y: earlier(y.transpose(rest[0], rest[1]))
    if name == "permute":
        order = rest[0] if isinstance(rest[0], (tuple, list, torch.Size)) else rest
        inverse = torch.tensor([d % len(shape) for d in order]).argsort().tolist()
        return lambda y: earlier(y.permute(inverse))
    if name == "roll":
        shifts, dims = kwargs.get("shifts", rest[0]), kwargs.get("dims", rest[-1])
        back = [-s for s in shifts] if isinstance(shifts, (tuple, list)) else -shifts
        return lambda y: earlier(torch.roll(y, back, dims))
    return None


def _layout_of(x: Tensor, expected: Tensor) -> Restore | None:
    """The way from the layout of ``x`` to that of ``expected``, ``(batch, target, dimension)``, found by comparing."""
    batch, targets, size = expected.shape
    if x.shape[-1] != size or x.numel() != expected.numel():
        return None
    if x.data_ptr() == expected.data_ptr() and x.is_contiguous() and expected.is_contiguous():
        return lambda y: y.reshape(batch, targets, -1)
    if torch.equal(x.reshape(batch, targets, size).to(expected.dtype), expected):
        return lambda y: y.reshape(batch, targets, -1)
    if torch.equal(x.reshape(targets, batch, size).transpose(0, 1).to(expected.dtype), expected):
        return lambda y: y.reshape(targets, batch, -1).transpose(0, 1)
    return None


def _constant_factor(x: Any, size: int) -> Tensor | None:
    """``x`` as a multiplier that doesn't depend on the input: a number, or a parameter of one number per dimension."""
    if isinstance(x, (int, float)):
        return torch.tensor(float(x), dtype=torch.float64)
    if isinstance(x, Tensor) and isinstance(x, nn.Parameter) and x.numel() in (1, size):
        return x.detach().reshape(-1) if x.numel() > 1 else x.detach().reshape(())
    return None


def unheard(ran: Iterable[str], heard: Iterable[str]) -> list[str]:
    """Attention modules that ran without any attention being heard in, around or inside them."""
    heard = list(heard)
    related = lambda a, b: a == b or a.startswith(f"{b}.") or b.startswith(f"{a}.")  # noqa: E731
    return sorted(path for path in ran if not any(related(path, other) for other in heard))


def unfinished(blocks: Iterable[Block]) -> str:
    """Paths of blocks that never got as far as their anatomy says, for an error message."""
    return ", ".join(block.path for block in blocks)
