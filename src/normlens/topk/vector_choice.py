"""Choices by the vectors that a target mixes: the sources farthest from its output, and the set that comes closest to it.

Both need a head's output o = Σα·f(x), so they cost about as much as attention itself. They are instruments: they show what
a choice by weight or by norm loses.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from normlens.engine.precision import without_autocast


@without_autocast()
def source_vectors(
    value: Float[Tensor, "batch kv_head source head_dim"], factors: Float[Tensor, "head rank head_dim"]
) -> Float[Tensor, "batch head source rank"]:
    """Vectors with the lengths and inner products of a head's f(x), from value vectors.

    Parameters
    ----------
    value
        Value vectors, value bias included.
    factors
        As `normlens.topk.projection_factors` returns them.

    Returns
    -------
    Tensor
        In the dtype of the factors; no gradient.
    """
    working = value.detach().to(factors.dtype)
    shared = len(factors) // value.shape[1]
    return working.repeat_interleave(shared, dim=1) @ factors.detach().transpose(-1, -2)


def log_displacements(
    weights: Float[Tensor, "batch head rows span"], vectors: Float[Tensor, "batch head span rank"]
) -> Float[Tensor, "batch head rows span"]:
    """log‖f(x_j) − o_i‖: how far each source lies from the output of each target; finite even where it lies on it.

    Parameters
    ----------
    weights
        α over all sources.
    vectors
        From `source_vectors`.
    """
    outputs = weights @ vectors
    # distances through inner products would lose the digits of a source that dominates the output
    distances = torch.cdist(outputs, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.clamp_min_(torch.finfo(distances.dtype).tiny).log_()


def joint_sources(
    weights: Float[Tensor, "batch head rows span"],
    vectors: Float[Tensor, "batch head span rank"],
    k: int,
    sink_weights: Float[Tensor, "batch head rows 1"],
    renormalize: bool,
) -> Int[Tensor, "batch head rows k"]:
    """The set of k sources whose mixture comes closest to the head's output, chosen greedily.

    The first is the source of the largest weight. Each further one is the source that leaves the least of ‖o − o_S‖,
    o_S being what the head would mix from the set: Σ_S α·f(x), divided by Σ_S α and the sink's weight if the
    weights are renormalized. The memory is a map source × source, and some maps target × source.

    Parameters
    ----------
    weights
        α over all sources; zero where a source is masked.
    vectors
        From `source_vectors`.
    k
        At most the number of sources.
    sink_weights
        Weight of a sink without a vector; zero without one.
    renormalize
        Whether the kept weights sum to one again.
    """
    weights, vectors = (x.double() for x in (weights, vectors))
    gram = vectors @ vectors.transpose(-1, -2)
    squared = gram.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)
    onto_output = weights @ gram  # ⟨o_i, f_j⟩
    visible = weights > 0
    along = torch.zeros_like(weights)  # ⟨Σ_S α f, f_j⟩
    length, overlap = torch.zeros_like(weights[..., :1]), torch.zeros_like(weights[..., :1])  # ‖Σ_S α f‖², ⟨o, Σ_S α f⟩
    total = sink_weights.double().clone()
    taken = torch.zeros_like(visible)
    chosen = []
    for step in range(k):
        if step:
            lengths = length + weights * (2 * along + weights * squared)
            overlaps = overlap + weights * onto_output
            totals = (total + weights).clamp_min(torch.finfo(weights.dtype).tiny) if renormalize else 1.0
            costs = (lengths / totals - 2 * overlaps) / totals
            costs = costs.masked_fill_(~visible, torch.finfo(costs.dtype).max).masked_fill_(taken, torch.inf)
            best = costs.argmin(-1, keepdim=True)
        else:
            best = weights.argmax(-1, keepdim=True)
        weight = weights.gather(-1, best)
        length = length + weight * (2 * along.gather(-1, best) + weight * squared.expand_as(weights).gather(-1, best))
        overlap = overlap + weight * onto_output.gather(-1, best)
        along = along + weight * gram.gather(-2, best.expand(-1, -1, -1, gram.shape[-1]))
        total = total + weight
        taken = taken.scatter(-1, best, True)
        chosen.append(best)
    return torch.cat(chosen, dim=-1)
