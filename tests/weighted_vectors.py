"""The algebra of weighted vectors written out: head vectors, their Gram matrices, and norms of sums over heads."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.engine.contributions.gram import quadratic_norms


def head_vectors(
    value: Float[Tensor, "batch kv_head source head_dim"], projection: Float[Tensor, "head head_dim d"]
) -> Float[Tensor, "batch source head d"]:
    """Transformed vectors f^h(x_j) = v_j^h W_O^h, ``(batch, source, head, d)`` (2020, equation 4).

    With grouped queries, consecutive groups of ``head / kv_head`` query heads share a value head.
    """
    batch, kv_heads, sources, head_dim = value.shape
    heads, _, d = projection.shape
    grouped = value.transpose(0, 1).reshape(kv_heads, batch * sources, head_dim)
    if heads != kv_heads:
        grouped = grouped.repeat_interleave(heads // kv_heads, dim=0)
    return torch.bmm(grouped, projection).view(heads, batch, sources, d).permute(1, 2, 0, 3)


def gram_matrices(vectors: Float[Tensor, "batch source head d"]) -> Float[Tensor, "batch source head head2"]:
    """G_j = F_j F_jᵀ for every source, ``(batch, source, head, head)``."""
    return vectors @ vectors.transpose(-1, -2)


def summed_norms(
    weights: Float[Tensor, "batch head target source"], vectors: list[Float[Tensor, "batch source head d"]]
) -> list[Float[Tensor, "batch target source"]]:
    """‖Σ_h α_ij^h f^h(x_j)‖ for every target and source, once per entry of ``vectors`` (2020, equation 5).

    The norm *of the sum* over heads, never the sum of the norms. Where the heads cancel to less than about 3 % of
    their summed length, the quadratic form is replaced by ‖R_j a‖ with the triangular factor R_j of F_jᵀ.

    Parameters
    ----------
    weights
        α (or any signed coefficients), ``(batch, head, target, source)``.
    vectors
        One or several sets of head vectors, ``(batch, source, head, d)`` each; the weights are laid out once for all.

    Returns
    -------
    list of Tensor
        ``(batch, target, source)`` each.
    """
    return quadratic_norms(weights, [gram_matrices(f) for f in vectors], lambda b, j, k: vectors[k][b, j])


def own_contribution(
    diagonal: Float[Tensor, "batch target head"], vectors: Float[Tensor, "batch target head d"]
) -> Float[Tensor, "batch target d"]:
    """c_ii = Σ_h α_ii^h f^h(x_i): what a target's own position gives it through attention, ``(batch, target, d)``."""
    return (diagonal.unsqueeze(-2) @ vectors).squeeze(-2)
