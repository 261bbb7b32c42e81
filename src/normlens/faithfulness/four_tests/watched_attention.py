"""Attention in some layers of a running model: handed out with its gradient, held uniform, or replaced.

The model runs as its authors wrote it, with its own eager attention; the other layers are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from normlens.engine.capture.interface import attention_implementation, eager_function
from normlens.errors import UnsupportedArchitecture

_IMPLEMENTATION = "normlens-four-tests"


@dataclass
class Watch:
    """What the attention function does in the layers under test, and what it saw there.

    Attributes
    ----------
    modules
        Their attention modules.
    uniform
        Whether every target attends evenly to all tokens that it may see.
    change
        Replaces α of all heads, ``(text, head, target, source)``, before values are mixed.
    weights
        α of each module, in the order of the layers.
    """

    modules: Sequence[nn.Module]
    uniform: bool
    change: Callable[[Tensor], Tensor] | None = None
    weights: list[Tensor] = field(default_factory=list)


_WATCH: ContextVar[Watch | None] = ContextVar("normlens_four_tests", default=None)


@contextmanager
def watching(model: PreTrainedModel, watch: Watch) -> Iterator[None]:
    """Run a model in this thread with its attention watched and changed.

    Parameters
    ----------
    model
        A model whose attention goes through transformers' attention interface.
    watch
        What to do, and where what is seen goes.
    """
    token = _WATCH.set(watch)
    try:
        with attention_implementation(model, _IMPLEMENTATION):
            yield
    finally:
        _WATCH.reset(token)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """The model's own eager attention; in the layers under test without dropout, seen and changed as the watch says."""
    eager, watch = eager_function(module), _WATCH.get()
    if watch is None or module not in watch.modules:
        return eager(module, query, key, value, attention_mask, **kwargs)
    query = (
        torch.zeros_like(query) if watch.uniform else query
    )  # equal scores for all tokens that the mask lets through
    output, weights = eager(module, query, key, value, attention_mask, **{**kwargs, "dropout": 0.0})
    if weights is None:
        raise UnsupportedArchitecture(f"The eager attention of {type(module).__name__} returns no weights.")
    if watch.uniform:
        _require_even(module, weights)
    if watch.change is not None:
        _require_same(module, output, _mixed(weights, value))
        weights = watch.change(weights)
        output = _mixed(weights, value).to(output.dtype)
    watch.weights.append(weights)
    return output, weights


def _mixed(
    weights: Float[Tensor, "text head target source"], value: Float[Tensor, "text kv_head source size"]
) -> Float[Tensor, "text target head size"]:
    """Σ α v, each value head shared by a group of query heads."""
    shared = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
    return (weights.to(value.dtype) @ shared).transpose(1, 2).contiguous()


def _require_same(module: nn.Module, theirs: Tensor, ours: Tensor) -> None:
    off = float((theirs - ours).detach().norm() / theirs.detach().norm().clamp_min(1e-30))
    if not off < 100 * torch.finfo(theirs.dtype).eps:
        raise UnsupportedArchitecture(
            f"The output of {type(module).__name__} is not the sum of its weighted values (relative error {off:.1e}), so "
            "other weights can't be put in. Test another model."
        )


def _require_even(module: nn.Module, weights: Float[Tensor, "text head target source"]) -> None:
    seen = weights.detach() > 0
    largest, smallest = weights.detach().amax(dim=-1), weights.detach().where(seen, torch.inf).amin(dim=-1)
    if not bool((largest - smallest <= 1e-3 * largest).all()):
        raise UnsupportedArchitecture(
            f"The attention of {type(module).__name__} depends on positions beside queries and keys, so it can't be held "
            "uniform. Test another model."
        )


AttentionInterface.register(_IMPLEMENTATION, _attention)
AttentionMaskInterface.register(_IMPLEMENTATION, eager_mask)
