"""Displacement and contribution weight of single heads: how each source's vector relates to the head's output.

A head's output at target i is o_i = Σ_j α_ij f(x_j), without biases. Beside the lengths of f(x_j) and o_i, both
measures need only their inner products. With f(x_j) = v_j P and o_i = u_i P, u_i = Σ_j α_ij v_j, these are v_j M u_iᵀ with
M = P Pᵀ, ``(head_dim, head_dim)``: one product of the size of queries and keys, and no vector of the model's width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_CANCELED = (
    1e-2  # below this share of ‖f‖² + ‖o‖², ‖f‖² − 2⟨f, o⟩ + ‖o‖² has lost too many digits: take ‖(v − u)P‖ instead
)
_ROUNDING = 100  # machine epsilons
_VECTORS = 4096  # explicit vectors in memory at a time
_TOGETHER = 2**16  # numbers of a map above which heads are measured one at a time, and their maps stay in the cache
HeadMeasure = Literal["displacement", "contribution_weight"]


@dataclass(frozen=True)
class HeadMeasures:
    """Measures of every head, target and source, ``(batch, head, target, source)``.

    Attributes
    ----------
    displacement
        |α| ‖f(x_j) − o_i‖.
    contribution_weight
        ⟨α f(x_j), o_i⟩ / ‖o_i‖², signed: each row sums to one. NaN where the head's output is zero.
    """

    displacement: Float[Tensor, "batch head target source"]
    contribution_weight: Float[Tensor, "batch head target source"]


def head_measures(
    weights: Float[Tensor, "batch head target source"],
    value: Float[Tensor, "batch kv_head source head_dim"],
    projection: Float[Tensor, "head head_dim d"],
    gate: Float[Tensor, "batch head target head_dim"] | None = None,
    scale: Float[Tensor, "batch target 1"] | None = None,
) -> HeadMeasures:
    """Displacement and contribution weight of every head.

    Parameters
    ----------
    weights, value
        α of some targets, and the value vectors of all sources; a value head is shared by consecutive query heads.
    projection
        The slice of the output projection of each head.
    gate
        The factor of each head's output before the projection, of these targets; f then depends on the target.
    scale
        A factor of each target's row, such as 1/σ of a norm before the projection.

    References
    ----------
    Displacement is the first-order part of o′ − o = α/(1 − α) (o − f), the change of a head's output when a source is taken
    out and the remaining weights are renormalized. Contribution weights: Cunningham & Muça Cirone 2026,
    https://arxiv.org/abs/2606.07604.
    """
    heads = weights.shape[1]
    value = value.repeat_interleave(heads // value.shape[1], dim=1)
    displacement, contribution = torch.empty_like(weights), torch.empty_like(weights)
    for part in [slice(one, one + 1) for one in range(heads)] if is_measured_alone(weights) else [slice(None)]:
        for text in range(len(weights)):  # whose maps stay in the processor's cache
            rows = _TextHeads(
                weights[text, part], value[text, part], projection[part], None if gate is None else gate[text, part]
            )
            displacement[text, part], contribution[text, part] = rows.displacement(), rows.contribution_weight()
    if scale is not None:
        displacement *= scale.abs()[:, None]
    return HeadMeasures(displacement, contribution)


def is_measured_alone(weights: Float[Tensor, "batch head target source"]) -> bool:
    """Whether each head's map is so large that it is measured by itself: then it has the same bits without the others."""
    return weights.shape[2] * weights.shape[3] >= _TOGETHER


def measured_alone(
    name: HeadMeasure,
    weights: Float[Tensor, "1 1 target source"],
    value: Float[Tensor, "source head_dim"],
    projection: Float[Tensor, "head_dim d"],
    gate: Float[Tensor, "target head_dim"] | None,
    scale: Float[Tensor, "1 target 1"] | None,
) -> Float[Tensor, "1 1 target source"]:
    """One measure of one head of a text, as in :func:`head_measures`."""
    rows = _TextHeads(weights[0], value[None], projection[None], None if gate is None else gate[None])
    if name == "contribution_weight":
        return rows.contribution_weight()[None]
    displacement = rows.displacement()[None]
    return displacement if scale is None else displacement * scale.abs()[:, None]


class _TextHeads:
    """The heads of one text: their outputs and the inner products with the sources' vectors."""

    def __init__(
        self,
        weights: Float[Tensor, "head target source"],
        value: Float[Tensor, "head source head_dim"],
        projection: Float[Tensor, "head head_dim d"],
        gate: Float[Tensor, "head target head_dim"] | None,
    ) -> None:
        if len(weights) == 1:  # in memory of their own: where a product's factors begin may change how it is rounded
            weights, value, projection = weights.clone(), value.clone(), projection.clone()
        self._weights, self._value, self._projection, self._gate = weights, value, projection, gate
        self._mixed = weights @ value
        self._metric = projection @ projection.transpose(-1, -2)
        output = self._gated(self._gated(self._mixed) @ self._metric)
        self._products = output @ value.transpose(-1, -2)
        self._squared_output = (output * self._mixed).sum(-1, keepdim=True).clamp_min_(0)

    def displacement(self) -> Float[Tensor, "head target source"]:
        """|α| ‖f(x_j) − o_i‖."""
        if self._gate is not None:
            return self._explicit(torch.ones_like(self._weights, dtype=torch.bool)).mul_(self._weights.abs())
        squared_length = ((self._value @ self._metric) * self._value).sum(-1).clamp_min_(0).unsqueeze(-2)
        largest = squared_length + self._squared_output
        squared = torch.add(largest, self._products, alpha=-2)
        canceled = (squared < largest.mul_(_CANCELED)).logical_and_(self._weights != 0)
        distance = squared.clamp_min_(0).sqrt_()
        if canceled.any():
            distance = torch.where(canceled, self._explicit(canceled), distance)
        return distance.mul_(self._weights.abs())

    def contribution_weight(self) -> Float[Tensor, "head target source"]:
        """⟨α f(x_j), o_i⟩ / ‖o_i‖², each row divided by its own sum; NaN where ‖o_i‖ is zero up to rounding."""
        share = self._weights * self._products
        total = share.sum(-1, keepdim=True)
        return share.div_(total.masked_fill(self._is_zero(share), torch.nan))

    def _is_zero(self, share: Float[Tensor, "head target source"]) -> Bool[Tensor, "head target 1"]:
        """Whether ‖o_i‖², the sum of a row, is no more than the rounding of its terms."""
        return self._squared_output <= _ROUNDING * torch.finfo(share.dtype).eps * share.abs().sum(-1, keepdim=True)

    def _explicit(self, chosen: Bool[Tensor, "head target source"]) -> Float[Tensor, "head target source"]:
        """‖f(x_j) − o_i‖ from vectors where chosen, else zero."""
        distance = torch.zeros_like(self._weights)
        for head in range(len(chosen)):
            for targets, sources in zip(*(x.split(_VECTORS) for x in chosen[head].nonzero(as_tuple=True)), strict=True):
                apart = self._value[head, sources] - self._mixed[head, targets]
                apart = apart if self._gate is None else apart * self._gate[head, targets]
                distance[head, targets, sources] = torch.linalg.vector_norm(apart @ self._projection[head], dim=-1)
        return distance

    def _gated(self, x: Float[Tensor, "head target head_dim"]) -> Float[Tensor, "head target head_dim"]:
        return x if self._gate is None else x * self._gate
