"""A caller's own eviction: Boolean masks, checked against the blocks of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.topk.eviction.budgets import Kept
from normlens.topk.eviction.read_blocks import ReadBlock

Masks = Any
"""``(layer, head, source)``, True for what stays: an array, or one array per layer; by name if there are several groups."""


def masks_by_group(kept: Masks, sizes: Mapping[str, int]) -> dict[str, Sequence[Any]]:
    """The masks of every group of attention blocks, one per layer.

    Parameters
    ----------
    kept
        As for `normlens.topk.eviction.measure_eviction`.
    sizes
        The number of layers of each group.

    Raises
    ------
    InvalidInput
        If groups or layers don't match.
    """
    named = kept if isinstance(kept, Mapping) else {next(iter(sizes)): kept}
    if set(named) != set(sizes):
        raise InvalidInput(
            f"kept has masks of {', '.join(map(str, named)) or 'no group'}; expected masks of {', '.join(sizes)}."
        )
    for name, masks in named.items():
        if not hasattr(masks, "__len__") or len(masks) != sizes[name]:
            seen = len(masks) if hasattr(masks, "__len__") else repr(masks)
            raise InvalidInput(
                f"kept has {seen} layers in group {name}; expected {sizes[name]}: a Boolean array (layer, head, source)."
            )
    return dict(named)


def checked_mask(mask: Any, block: ReadBlock) -> Kept:
    """The mask of one layer, one row per head whose keys are cached.

    Parameters
    ----------
    mask
        Boolean, ``(head, source)``: a row per query head, or per key and value head.
    block
        The layer's block.

    Raises
    ------
    InvalidInput
        If it has another shape or dtype, or query heads that share keys have different rows.
    """
    where = f"The mask of layer {block.layer}"
    x = mask if isinstance(mask, Tensor) else torch.as_tensor(np.array(getattr(mask, "values", mask)))
    if x.dtype != torch.bool:
        raise InvalidInput(f"{where} has dtype {x.dtype}; expected Boolean: True for pairs that stay.")
    shapes = {(block.heads, block.sources), (block.kv_heads, block.sources)}
    if tuple(x.shape) not in shapes:
        expected = " or ".join(str(shape) for shape in sorted(shapes, reverse=True))
        raise InvalidInput(f"{where} has shape {tuple(x.shape)}; expected (head, source) = {expected}.")
    if len(x) == block.kv_heads:
        return x
    grouped = x.view(block.kv_heads, block.shared, -1)
    if bool((grouped != grouped[:, :1]).any()):
        group = int((grouped != grouped[:, :1]).flatten(1).any(1).nonzero()[0])
        first = group * block.shared
        raise InvalidInput(
            f"{where} differs among heads {first} to {first + block.shared - 1}, which share keys and values: a pair is "
            "kept for all of them, or for none. Give them equal rows, or one row per key and value head."
        )
    return grouped[:, 0]
