"""A model's own eager attention beside ours with all sources, on a few targets: at the first call of every module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from normlens.engine.capture.interface import eager_function
from normlens.engine.precision import full_precision
from normlens.engine.tolerance import tolerance
from normlens.errors import UnsupportedArchitecture
from normlens.topk.attention import topk_attention

_COMPARED_TARGETS = 8


@full_precision()
def require_same_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    options: Mapping[str, Any],
    others: Mapping[str, Any],
) -> None:
    """Refuse a module whose own attention is not the one that ours computes from the same arguments.

    Parameters
    ----------
    module
        The attention module.
    query, key, value, mask
        Of its call.
    options
        What ours takes from its call: keyword arguments of `topk_attention`.
    others
        What ours doesn't know, and the module's own function may heed.

    Raises
    ------
    UnsupportedArchitecture
        If the two differ by more than ten times the dtype's tolerance.
    """
    targets, sources = query.shape[2], key.shape[2]
    rows = slice(max(0, targets - _COMPARED_TARGETS), targets)
    offset = options.get("offset", sources - targets)
    with torch.no_grad():
        part = {**options, "bias": _cut(options["bias"], rows, targets), "offset": offset + rows.start}
        ours = topk_attention(query[:, :, rows], key, value, _cut(mask, rows, targets), k=None, **part)
        theirs = eager_function(module)(
            module,
            query[:, :, rows],
            key,
            value,
            _additive(mask, rows, query, sources, offset if options["causal"] else None),
            scaling=query.shape[-1] ** -0.5 if options["scale"] is None else options["scale"],
            dropout=0.0,
            softcap=options["softcap"],
            position_bias=part["bias"],
            s_aux=options["sinks"],
            **{name: _cut(x, rows, targets) for name, x in others.items()},
        )[0].transpose(1, 2)
    seeing = (
        ours.abs().sum(-1, keepdim=True) > 0
    )  # where a target sees nothing, eager attention mixes what it should not
    gap = float(torch.where(seeing, ours - theirs, 0).float().norm())
    size = float(torch.where(seeing, theirs, 0).float().norm())
    if not gap <= tolerance(query.dtype, "other operations") * size:
        raise UnsupportedArchitecture(
            f"{type(module).__name__} computes attention in a way of its own: with all sources, ours differs from it by "
            f"{gap / max(size, torch.finfo(torch.float32).tiny):.1e} of its length. Top-k attention would not be this "
            "model's attention; it is refused."
        )


def _cut(x: Any, rows: slice, targets: int) -> Any:
    """Masks and biases ``(..., target, source)`` cut along the targets; everything else as it is."""
    return x[..., rows, :] if isinstance(x, Tensor) and x.ndim == 4 and x.shape[-2] == targets > 1 else x


def _additive(mask: Tensor | None, rows: slice, query: Tensor, sources: int, offset: int | None) -> Tensor | None:
    """The mask as eager functions take it: zeros, and the dtype's lowest number where a source may not be seen."""
    if mask is None:
        if offset is None:
            return None
        positions = torch.arange(rows.start, rows.stop, device=query.device)[:, None] + offset
        part = (positions >= torch.arange(sources, device=query.device))[None, None]
    else:
        part = _cut(mask, rows, query.shape[2])
    if part.dtype != torch.bool:
        return part
    return torch.zeros_like(part, dtype=query.dtype).masked_fill_(~part, torch.finfo(query.dtype).min)
