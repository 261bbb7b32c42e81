"""The algebra of weighted vectors: norms of contributions without the vectors.

The attention block's output at target i is Σ_j Σ_h α_ij^h f^h(x_j) plus the output bias, with
f^h(x_j) = v_j^h W_O^h, the value vector of head h carried through its slice of the output projection
(Kobayashi et al. 2020, equations 2 to 4). The published code builds every α f(x) to take its norm, a tensor of shape
(head, target, source, d). Nothing of that size is needed: with F_j, the (head, d) matrix of the head vectors of source
j, and G_j = F_j F_jᵀ,

* one head:   ‖α f(x_j)‖ = α ‖f(x_j)‖, and ‖f^h(x_j)‖² is the h-th diagonal entry of G_j;
* all heads:  ‖Σ_h a_h f^h(x_j)‖² = aᵀ G_j a;
Pure functions of tensors; float32 or float64. A model is never in sight.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.quadratic import quadratic_norms

_GATED_NUMBERS = 2**23  # size of the largest tensor of explicit vectors


def split_projection(weight: Float[Tensor, "heads_x_head_dim d"], heads: int) -> Float[Tensor, "head head_dim d"]:
    """Cut an output projection, ``(head * head_dim, d)``, into one slice per head, ``(head, head_dim, d)``."""
    return weight.reshape(heads, -1, weight.shape[-1])


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


def vector_norms(gram: Float[Tensor, "batch source head head2"]) -> Float[Tensor, "batch head source"]:
    """‖f^h(x_j)‖ from the diagonal of the Gram matrices, ``(batch, head, source)``."""
    return gram.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt().transpose(1, 2)


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


def gated_norms(
    weights: Float[Tensor, "batch head target source"],
    value: Float[Tensor, "batch head source head_dim"],
    gate: Float[Tensor, "batch target heads_x_head_dim"],
    projections: list[Float[Tensor, "heads_x_head_dim d"]],
) -> list[Float[Tensor, "batch target source"]]:
    """‖(g_i ⊙ concat_h α_ij^h v_j^h) W_O‖, for a gate between attention and its projection.

    A gate makes f depend on the target, so there is no Gram matrix per source: the vectors themselves are made, a few
    targets at a time. Exact, and as slow as the direct formula.

    Parameters
    ----------
    weights, value
        α and the value vectors, one per query head.
    gate
        What attention's output is multiplied with, ``(batch, target, head * head_dim)``.
    projections
        Output projections, ``(head * head_dim, d)`` each.
    """
    batch, _, targets, sources = weights.shape
    norms = [weights.new_empty(batch, targets, sources) for _ in projections]
    at_once = max(1, _GATED_NUMBERS // (sources * gate.shape[-1]))
    for b in range(batch):
        for start in range(0, targets, at_once):
            part = slice(start, start + at_once)
            mixed = torch.einsum("hts,hsd->tshd", weights[b, :, part], value[b]).flatten(2)
            mixed = mixed * gate[b, part, None]
            for norm, projection in zip(norms, projections, strict=True):
                norm[b, part] = torch.linalg.vector_norm(mixed @ projection, dim=-1)
    return norms


def mixing_ratio(
    context: Float[Tensor, "batch target d"], own: Float[Tensor, "batch target d"]
) -> Float[Tensor, "batch target"]:
    """r_i = ‖context part‖ / (‖context part‖ + ‖own part‖), each summed *before* the norm (2021, equation 8).

    Zero where both parts are zero.
    """
    away, kept = torch.linalg.vector_norm(context, dim=-1), torch.linalg.vector_norm(own, dim=-1)
    total = away + kept
    return torch.where(total > 0, away / total.clamp_min(torch.finfo(total.dtype).tiny), 0)


def conservation_error(
    total: Float[Tensor, "batch target d"], output: Float[Tensor, "batch target d"]
) -> Float[Tensor, "batch target"]:
    """‖Σ_j c_ij + bias_i − output_i‖ / ‖output_i‖ for every target; the plain gap where the output is zero."""
    gap = torch.linalg.vector_norm(total - output, dim=-1)
    size = torch.linalg.vector_norm(output, dim=-1)
    relative: Tensor = gap / torch.where(size > 0, size, torch.ones_like(size))
    return relative
