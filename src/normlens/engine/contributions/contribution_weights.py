"""Contribution weights of the sum over heads, scope by scope: ⟨c_ij, y_i⟩ / ‖y_i‖² with y_i = Σ_j c_ij.

y_i is the output at the scope without biases, which belong to no source. In cross-attention the target's own vector is an
extra source. Each row sums to one, signs included (Cunningham & Muça Cirone 2026, https://arxiv.org/abs/2606.07604).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.engine.contributions.affine import AffineMap
from normlens.engine.contributions.vectors import Contributions
from normlens.engine.tracing.block import Block
from normlens.engine.tracing.scopes import AttentionScope

_ROUNDING = 100  # machine epsilons

Shares = tuple[Float[Tensor, "batch target source"], Float[Tensor, "batch target"] | None]
"""Contribution weights of the sources, and of the extra source ``own`` where there is one."""


def contribution_weights(
    block: Block,
    maps: Mapping[AttentionScope, AffineMap],
    weights: Float[Tensor, "batch head target source"],
    mixed: Float[Tensor, "batch target inner"],
    target_slice: slice,
) -> dict[AttentionScope, Shares]:
    """Contribution weights at every scope of ``maps``.

    Parameters
    ----------
    block, maps
        A block, and the affine map to each of its scopes.
    weights, mixed
        α of the targets of ``target_slice``, and Σ_j α v_j as it goes into the projection.
    target_slice
        The targets.
    """
    shares: dict[AttentionScope, Shares] = {}
    for scope, at in maps.items():
        contributions = Contributions(block, scope)
        own = contributions.own(target_slice)
        total = mixed @ at.projection
        if not at.unscaled:
            total *= at.scale[:, target_slice] if at.scale.ndim == 3 else at.scale
        output = total if own is None else total + own
        products = contributions.along(output, target_slice, weights)
        extra = None if own is None else (own * output).sum(-1)
        if extra is not None and not block.cross:
            targets, sources = contributions.diagonal(target_slice, slice(0, products.shape[-1]))
            products[:, targets, sources] += extra[:, targets]
            extra = None
        shares[scope] = in_shares(products, extra)
    return shares


def in_shares(products: Float[Tensor, "batch target source"], own: Float[Tensor, "batch target"] | None) -> Shares:
    """The inner products of one scope in shares of their sum; NaN where that is zero up to rounding.

    Parameters
    ----------
    products, own
        ⟨c_ij, y_i⟩ of the sources, and of the extra source.
    """
    total, size = products.sum(-1), products.abs().sum(-1)
    if own is not None:
        total, size = total + own, size + own.abs()
    total = total.masked_fill(total <= _ROUNDING * torch.finfo(total.dtype).eps * size, torch.nan)
    return products / total[..., None], None if own is None else own / total
