"""Attention that no longer sees the pairs that were evicted: a model's own eager attention, with another mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from normlens.engine.capture.interface import attention_implementation, eager_function

IMPLEMENTATION = "normlens_without_evicted"

BatchKept = Bool[Tensor, "batch kv_head source"]

_KEPT: ContextVar[Mapping[nn.Module, BatchKept] | None] = ContextVar("normlens_kept_pairs", default=None)


@contextmanager
def without_evicted(model: PreTrainedModel, kept: Mapping[nn.Module, BatchKept]) -> Iterator[None]:
    """Let the tokens after a text attend to its remaining pairs alone, in this thread and while this lasts.

    Tokens of the text itself still see each other, and later tokens see all later ones.

    Parameters
    ----------
    model
        A model whose attention goes through transformers' attention interface.
    kept
        The pairs that stay, ``(batch, kv_head, source)``, for each attention module; modules that are missing see
        everything. The sources are the tokens of the text, which come first.
    """
    token = _KEPT.set(kept)
    try:
        with attention_implementation(model, IMPLEMENTATION):
            yield
    finally:
        _KEPT.reset(token)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    kept = (_KEPT.get() or {}).get(module)
    if kept is not None:
        attention_mask = hidden(attention_mask, kept, query, key)
    return eager_function(module)(module, query, key, value, attention_mask, **kwargs)


def hidden(
    mask: Tensor | None, kept: BatchKept, query: Float[Tensor, "batch head target d"], key: Tensor
) -> Float[Tensor, "batch head target source"]:
    """The additive mask in which targets after the text don't see evicted sources."""
    batch, heads, targets, _ = query.shape
    text, sources = kept.shape[-1], key.shape[2]
    gone = torch.zeros(batch, heads, 1, sources, dtype=torch.bool, device=query.device)
    gone[..., 0, :text] = ~kept.to(query.device).repeat_interleave(heads // kept.shape[1], dim=1)
    after = torch.arange(sources - targets, sources, device=query.device)[:, None] >= text
    mask = query.new_zeros(1, 1, targets, sources) if mask is None else mask
    return mask.expand(batch, heads, -1, -1).masked_fill(gone & after, torch.finfo(mask.dtype).min)


AttentionInterface.register(IMPLEMENTATION, _attention)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
