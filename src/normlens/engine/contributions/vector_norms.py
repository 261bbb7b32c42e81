"""Norms and ratios of weighted vectors: single heads, gated heads, mixing ratios, conservation errors.

Pure functions of tensors in float32 or float64, independent of any model. The quadratic forms are in
:mod:`normlens.engine.contributions.gram`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_GATED_NUMBERS = 2**23  # size of the largest tensor of explicit vectors


def split_projection(weight: Float[Tensor, "heads_x_head_dim d"], heads: int) -> Float[Tensor, "head head_dim d"]:
    """Split an output projection, ``(head * head_dim, d)``, by head: ``(head, head_dim, d)``."""
    return weight.reshape(heads, -1, weight.shape[-1])


def vector_norms(gram: Float[Tensor, "batch source head head2"]) -> Float[Tensor, "batch head source"]:
    """‖f^h(x_j)‖ from the diagonal of the Gram matrices, ``(batch, head, source)``."""
    return gram.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt().transpose(1, 2)


def head_norms(
    value: Float[Tensor, "batch kv_head source head_dim"], projection: Float[Tensor, "head head_dim d"]
) -> Float[Tensor, "batch head source"]:
    """‖f^h(x_j)‖ from the vectors, head by head."""
    shared = len(projection) // value.shape[1]
    norms = [torch.linalg.vector_norm(value[:, h // shared] @ to, dim=-1) for h, to in enumerate(projection)]
    return torch.stack(norms, dim=1)


def gated_norms(
    weights: Float[Tensor, "batch head target source"],
    value: Float[Tensor, "batch head source head_dim"],
    gate: Float[Tensor, "batch target heads_x_head_dim"],
    projections: list[Float[Tensor, "heads_x_head_dim d"]],
) -> list[Float[Tensor, "batch target source"]]:
    """‖(g_i ⊙ concat_h α_ij^h v_j^h) W_O‖, for a gate between attention and its projection.

    A gate makes f depend on the target, so there is no Gram matrix per source: the vectors are computed explicitly, a few
    targets at a time. This is exact, but as slow as the direct formula.

    Parameters
    ----------
    weights, value
        α and the value vectors, one per query head.
    gate
        The factor of attention's output, ``(batch, target, head * head_dim)``.
    projections
        Output projections, ``(head * head_dim, d)`` each.
    """
    batch, _, targets, sources = weights.shape
    norms = [weights.new_empty(batch, targets, sources) for _ in projections]
    at_once = max(1, _GATED_NUMBERS // (sources * gate.shape[-1]))
    for b in range(batch):
        for start in range(0, targets, at_once):
            rows = slice(start, start + at_once)
            mixed = torch.einsum("hts,hsd->tshd", weights[b, :, rows], value[b]).flatten(2)
            mixed = mixed * gate[b, rows, None]
            for norm, projection in zip(norms, projections, strict=True):
                norm[b, rows] = torch.linalg.vector_norm(mixed @ projection, dim=-1)
    return norms


def mixing_ratio(
    context: Float[Tensor, "batch target d"], own: Float[Tensor, "batch target d"]
) -> Float[Tensor, "batch target"]:
    """r_i = ‖context part‖ / (‖context part‖ + ‖own part‖), each summed *before* the norm (Kobayashi et al. 2021, eq. 8).

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
