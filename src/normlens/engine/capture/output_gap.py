"""How far two outputs of a model differ, over all tensors in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def gap(one: Any, other: Any) -> float:
    """The difference of two outputs relative to the norm of the second: the largest over all their tensors.

    In half precision it is the median over positions: where experts are chosen, rounding changes single choices.
    """
    pairs = list(zip(_tensors(one), _tensors(other), strict=True))
    return max((_gap(x, y) for x, y in pairs), default=0.0)


def real_positions(output: Any, mask: Any) -> list[Tensor]:
    """The tensors of an output without padded positions, whose values don't matter."""
    tensors = _tensors(output)
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        return tensors
    return [x[mask.bool()] if x.shape[:2] == mask.shape and x.device == mask.device else x for x in tensors]


def _gap(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape or not torch.equal(one.isfinite(), other.isfinite()):
        return float("inf")
    half = other.dtype in (torch.float16, torch.bfloat16)
    x, y = (t.nan_to_num(posinf=0, neginf=0).to(torch.promote_types(t.dtype, torch.float32)) for t in (one, other))
    if not x.numel():
        return 0.0
    rows = -1 if half and x.ndim > 1 else tuple(range(x.ndim))
    tiny = torch.finfo(y.dtype).tiny
    difference = torch.linalg.vector_norm(x - y, dim=rows) / torch.linalg.vector_norm(y, dim=rows).clamp_min(tiny)
    return float(difference.median())


def _tensors(output: Any) -> list[Tensor]:
    """All floating tensors in an output."""
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    children = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return [x for child in children for x in _tensors(child)]
