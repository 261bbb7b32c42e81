"""Compare a module's own eager attention with ours on a few targets, with all sources, at its first call."""

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
    """Refuse a module whose own attention differs from ours on the same arguments.

    Parameters
    ----------
    module
        The attention module.
    query, key, value, mask
        The arguments of its call.
    options
        The arguments of the call that ours uses: keyword arguments of `topk_attention`.
    others
        The arguments that ours ignores but the module's own function may use.

    Raises
    ------
    UnsupportedArchitecture
        If the two differ by more than ten times the dtype's tolerance.
    """
    targets, sources = query.shape[2], key.shape[2]
    rows = slice(max(0, targets - _COMPARED_TARGETS), targets)
    offset = options.get("offset", sources - targets)
    with torch.no_grad():
        chunk = {**options, "bias": _cut(options["bias"], rows, targets), "offset": offset + rows.start}
        ours = topk_attention(query[:, :, rows], key, value, _cut(mask, rows, targets), k=None, **chunk)
        theirs = eager_function(module)(
            module,
            query[:, :, rows],
            key,
            value,
            _additive(mask, rows, query, sources, offset if options["causal"] else None),
            scaling=query.shape[-1] ** -0.5 if options["scale"] is None else options["scale"],
            dropout=0.0,
            softcap=options["softcap"],
            position_bias=chunk["bias"],
            s_aux=options["sinks"],
            **{name: _cut(x, rows, targets) for name, x in others.items()},
        )[0].transpose(1, 2)
    # Eager attention mixes masked sources for a target that sees none: such targets are left out.
    seeing = ours.abs().sum(-1, keepdim=True) > 0
    gap = float(torch.where(seeing, ours - theirs, 0).float().norm())
    size = float(torch.where(seeing, theirs, 0).float().norm())
    if not gap <= tolerance(query.dtype, "other operations") * size:
        raise UnsupportedArchitecture(
            f"{type(module).__name__} computes attention differently: with all sources, ours differs from it by a relative "
            f"error of {gap / max(size, torch.finfo(torch.float32).tiny):.1e}. Top-k attention would not be this model's "
            "attention, so it can't be switched."
        )


def _cut(x: Any, rows: slice, targets: int) -> Any:
    """Masks and biases ``(..., target, source)`` sliced along the targets; everything else unchanged."""
    return x[..., rows, :] if isinstance(x, Tensor) and x.ndim == 4 and x.shape[-2] == targets > 1 else x


def _additive(mask: Tensor | None, rows: slice, query: Tensor, sources: int, offset: int | None) -> Tensor | None:
    """The mask as eager functions expect it: zero, and the dtype's lowest number for masked sources."""
    if mask is None:
        if offset is None:
            return None
        positions = torch.arange(rows.start, rows.stop, device=query.device)[:, None] + offset
        visible = (positions >= torch.arange(sources, device=query.device))[None, None]
    else:
        visible = _cut(mask, rows, query.shape[2])
    if visible.dtype != torch.bool:
        return visible
    return torch.zeros_like(visible, dtype=query.dtype).masked_fill_(~visible, torch.finfo(query.dtype).min)
