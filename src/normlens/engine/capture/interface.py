"""Attention weights and values, captured from a running model through transformers' attention interface.

transformers lets a model be switched to another attention function by name. Ours calls the model file's *own* eager
function and reports what it saw, so nothing is re-implemented: grouped queries, softcaps, sinks, sliding windows and
position biases are whatever the model does. The switch is a context manager, visible only to the thread that analyzes:
the model's configs are not modified.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface, PretrainedConfig, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from normlens.engine.capture.target_rows import EagerFunction, TargetRows
from normlens.engine.locks import exclusive
from normlens.errors import UnsupportedArchitecture
from normlens.loading.configs import ATTENTION, configs_of, implementation_of, settings_of_this_thread

IMPLEMENTATION = "normlens"
_FUNCTIONS, _MASKS = AttentionInterface(), AttentionMaskInterface()


@dataclass(frozen=True)
class AttentionCall:
    """One call of attention, as the model made it.

    Attributes
    ----------
    module
        The attention module.
    value
        Value vectors, value bias included, ``(batch, kv_head, source, head_dim)``.
    output
        What the eager function returned, Σ_j α_ij v_j, ``(batch, target, head, head_dim)``.
    weights
        α, ``(batch, head, target, source)``; None if the call ran in chunks.
    recompute
        Recomputes α of the targets ``start:stop`` only, ``(batch, head, stop - start, source)``.
    produced
        The tensor object that the model continues with, in any layout.
    arranged
        Brings that layout to ``(batch, target, head * head_dim)``.
    operands
        The tensors from which `recompute` computes α; empty if it slices ``weights``, and keeps them in memory.
    recompute_sharing
        Recomputes α of the targets ``start:stop`` for the query heads that share a value head, with the eager function on
        slices of its inputs; a function that isn't made for that raises an error, or returns something else. None if there
        is one value head.
    """

    module: nn.Module
    value: Float[Tensor, "batch kv_head source head_dim"]
    output: Float[Tensor, "batch target head head_dim"]
    weights: Float[Tensor, "batch head target source"] | None
    recompute: Callable[[int, int], Float[Tensor, "batch head rows source"]]
    produced: Tensor
    arranged: Callable[[Tensor], Tensor]
    operands: tuple[Tensor, ...] = ()
    recompute_sharing: Callable[[int, int, int], Tensor | None] | None = None

    def rows(self, start: int, stop: int) -> Float[Tensor, "batch head rows source"]:
        """Attention weights of the targets ``start:stop``, ``(batch, head, stop - start, source)``."""
        return self.recompute(start, stop) if self.weights is None else self.weights[:, :, start:stop]


OnAttention = Callable[[AttentionCall], None]


@dataclass(frozen=True)
class _Capture:
    on_call: OnAttention
    chunk_size: int | None


_CAPTURE: ContextVar[_Capture | None] = ContextVar("normlens_capture", default=None)


@contextmanager
def capturing(model: PreTrainedModel, on_call: OnAttention, chunk_size: int | None = None) -> Iterator[None]:
    """Hand every attention call of ``model`` to ``on_call`` while the context lasts.

    Parameters
    ----------
    model
        A model whose attention goes through transformers' attention interface.
    on_call
        Called with an :class:`AttentionCall` right after each call of attention.
    chunk_size
        Run attention on this many targets at a time and keep no weights; None runs all targets of a call together.
    """
    token = _CAPTURE.set(_Capture(on_call, chunk_size))
    try:
        with attention_implementation(model, IMPLEMENTATION):
            yield
    finally:
        _CAPTURE.reset(token)


def has_interface(model: PreTrainedModel) -> bool:
    """Whether the model's attention goes through transformers' attention interface."""
    return bool(model._can_set_attn_implementation())


def asks_for_eager(model: nn.Module) -> bool:
    """Whether a model's code behaves differently under implementations named "eager".

    Such files (DeepSeek V3.2 and its relatives) build their sparse masks only under these names, and silently omit them
    under all others.
    """
    names = {type(module).__module__ for module in model.modules()}
    return any(_asks_for_eager(sys.modules[name]) for name in names if name in sys.modules)


@cache
def _asks_for_eager(file: ModuleType) -> bool:
    try:
        source = inspect.getsource(file)
    except (OSError, TypeError):
        return False
    return re.search(r"_attn_implementation\s+(not\s+)?in\s*[(\[{][^)\]}]*[\"']eager", source) is not None


@contextmanager
def attention_implementation(model: PreTrainedModel, name: str) -> Iterator[list[PretrainedConfig]]:
    """Run ``model`` with an attention implementation, in this thread only; yields the model's configs.

    The configs are not modified, so other threads keep the implementation that they name. Only one analysis of a model runs
    at a time.
    """
    with exclusive(model):
        configs = configs_of(model)
        with settings_of_this_thread((config, ATTENTION, name) for config in configs):
            yield configs


def eager_function(module: nn.Module) -> EagerFunction:
    """The eager attention function that the file of ``module`` falls back to.

    It is identified by the names that the module's own forward uses, because a file may define several eager functions.

    Raises
    ------
    UnsupportedArchitecture
        If the forward names none, or several.
    """
    forward = inspect.unwrap(type(module).forward)
    names = [name for name in forward.__code__.co_names if name.endswith("eager_attention_forward")]
    if len(names) != 1 or names[0] not in forward.__globals__:
        raise UnsupportedArchitecture(
            f"{type(module).__name__}.forward refers to {names or 'no eager attention function'}; exactly one eager "
            "attention function was expected, so normlens can't tell which one computes this model's attention."
        )
    function: EagerFunction = forward.__globals__[names[0]]
    return function


def attention_functions(model: nn.Module, configs: Iterable[PretrainedConfig]) -> list[object]:
    """The functions that compute a model's attention: those that its configs name, and the eager ones of its files."""
    names = [implementation_of(config) for config in configs]
    files = {type(module) for module in model.modules()}
    chosen = [(_FUNCTIONS.get(name), _MASKS.get(name)) for name in names if name is not None]
    return [names, chosen, [function for kind in files for function in _eager_functions(kind)]]


def _eager_functions(kind: type[nn.Module]) -> list[object]:
    forward = inspect.unwrap(kind.forward)
    names = getattr(getattr(forward, "__code__", None), "co_names", ())
    return [forward.__globals__.get(name) for name in names if name.endswith("eager_attention_forward")]


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """Attention as the model's own eager function computes it, reported to the active capture (if any)."""
    eager = eager_function(module)
    capture = _CAPTURE.get()
    if capture is None:
        return eager(module, query, key, value, attention_mask, **kwargs)

    rows = TargetRows(eager, module, query, key, value, attention_mask, kwargs)
    targets, chunk = query.shape[2], capture.chunk_size
    weights: Tensor | None = None
    if chunk is None or chunk >= targets:
        output, weights = rows.of(0, targets)
    else:
        output = rows.in_slices(chunk)
    operands = tuple(x for x in (query, key, value, attention_mask, *kwargs.values()) if isinstance(x, Tensor))
    call = AttentionCall(
        module,
        value,
        output,
        weights,
        lambda start, stop: rows.of(start, stop)[1],
        output,
        lambda y: y.flatten(2),
        operands,
        rows.weights_sharing if key.shape[1] > 1 else None,
    )
    capture.on_call(call)
    return output, weights


AttentionInterface.register(IMPLEMENTATION, _attention)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
