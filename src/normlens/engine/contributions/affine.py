"""The affine map from value vectors to each scope, and the heads' contributions there."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.engine.contributions.gram import quadratic_norms, source_forms
from normlens.engine.contributions.vector_norms import gated_norms, head_norms, split_projection, vector_norms
from normlens.engine.precision import working_precision
from normlens.engine.tracing.block import AppliedNorm, Block, Step
from normlens.engine.tracing.scopes import AttentionScope


@dataclass(frozen=True)
class AffineMap:
    """The affine map from value vectors to a point after attention: a projection, the scale of row i, and a bias."""

    projection: Float[Tensor, "inner d"]
    scale: Tensor  # (batch, target, 1), or one number
    bias: Tensor  # broadcasts to (batch, target, d)
    unscaled: bool = False  # True if the scale is one everywhere

    def through(self, step: Step) -> AffineMap:
        """The map followed by a multiplier or a norm."""
        if isinstance(step, AppliedNorm):
            form = step.form
            bias = form.linear(self.bias) * step.scale + form.shift
            return AffineMap(form.fold_after(self.projection), self.scale * step.scale, bias)
        return AffineMap(self.projection * step, self.scale, self.bias * step)


def affine_maps(block: Block) -> dict[AttentionScope, AffineMap]:
    """The affine map of a block to each of its scopes."""
    weight, bias = block.projection.weight, block.projection.bias
    bias = weight.new_zeros(weight.shape[-1]) if bias is None else bias
    at = AffineMap(weight, weight.new_ones(()), bias, unscaled=True)
    if block.head_norm is not None:
        form = block.head_norm.form
        at = AffineMap(form.fold_before(weight), block.head_norm.scale, bias + form.shift @ weight)
    maps: dict[AttentionScope, AffineMap] = {"attention": at}
    if block.residual is not None:
        for step in block.residual.steps:
            at = at.through(step)
        maps["residual"] = at
    if block.outer_norm is not None:
        maps["layernorm"] = at.through(block.outer_norm)
    return maps


def heads_of(block: Block, maps: dict[AttentionScope, AffineMap], with_norms: bool = True) -> Heads:
    """The contributions of a block's heads, with or without a gate after them, and with what their norms need."""
    if block.gate is not None:
        return GatedHeads.gated(block, maps, block.gate)
    return Heads.from_block(block, maps) if with_norms else Heads.without_norms(block, maps)


@dataclass(frozen=True)
class Heads:
    """The heads' contributions at every scope: the Gram matrices of f(x), one set per distinct projection."""

    value: Float[Tensor, "batch kv_head source head_dim"]
    projections: list[Float[Tensor, "inner d"]]
    which: dict[AttentionScope, int]
    grams: list[Float[Tensor, "batch source head head2"]]
    whole_own: Float[Tensor, "batch target d"] | None = None
    normed_heads: bool = False

    @classmethod
    def from_block(cls, block: Block, maps: dict[AttentionScope, AffineMap]) -> Heads:
        """Gram matrices of a block's head vectors, for every projection among its scopes."""
        value, heads = working_precision(block.call.value), block.call.output.shape[2]
        projections, which = _distinct(maps)
        weights = None if block.cross or block.call.weights is None else working_precision(block.call.weights)
        diagonal = None if weights is None else weights.diagonal(dim1=-2, dim2=-1).transpose(1, 2)
        outer = None if block.outer_norm is None else block.outer_norm.form
        # the outer norm's Gram matrices are computed together with those before it
        before = projections if outer is None else projections[:-1]
        forms = [
            source_forms(
                value,
                split_projection(projection, heads),
                outer if i == len(before) - 1 else None,
                diagonal if i == 0 else None,
            )
            for i, projection in enumerate(before)
        ]
        normed = forms[-1].normed
        grams = [f.gram for f in forms] + ([] if normed is None else [normed])
        return cls(value, projections, which, grams, forms[0].own, block.head_norm is not None)

    @classmethod
    def without_norms(cls, block: Block, maps: dict[AttentionScope, AffineMap]) -> Heads:
        """A block's head vectors, whose norms over all heads nobody wants: no Gram matrices."""
        return cls(working_precision(block.call.value), *_distinct(maps), [], normed_heads=block.head_norm is not None)

    def lengths(self, heads: int) -> Float[Tensor, "batch head source"]:
        """‖f(x)‖ of every head and source; NaN after a joint norm of all heads, whose 1/σ_i depends on the target."""
        projection = split_projection(self.projections[0], heads)
        norms = vector_norms(self.grams[0]) if self.grams else head_norms(self.value, projection)
        return torch.full_like(norms, torch.nan) if self.normed_heads else norms

    def norms(self, weights: Tensor, target_slice: slice) -> dict[AttentionScope, Float[Tensor, "batch target source"]]:
        """‖Σ_h α f(x)‖ of the sources of ``weights`` for the targets of ``target_slice``, without the scale of row i."""

        def vectors_of(batch: int, source: int, which: int) -> Float[Tensor, "head d"]:
            value = self.value[batch, :, source].repeat_interleave(weights.shape[1] // self.value.shape[1], dim=0)
            return (value.unsqueeze(1) @ split_projection(self.projections[which], weights.shape[1])).squeeze(1)

        norms = quadratic_norms(weights, self.grams, vectors_of)
        return {scope: norms[i] for scope, i in self.which.items()}

    def own(self, diagonal: Float[Tensor, "batch target head"], target_slice: slice) -> Float[Tensor, "batch target d"]:
        """Σ_h α_ii f(x_i) at scope ``attention`` for the targets of ``target_slice``, without the scale of row i."""
        if self.whole_own is not None:
            return self.whole_own[:, target_slice]
        value = self.value[:, :, target_slice].repeat_interleave(diagonal.shape[-1] // self.value.shape[1], dim=1)
        return (diagonal.unsqueeze(-1) * value.transpose(1, 2)).flatten(2) @ self.projections[0]

    def mixed(self, weights: Tensor, target_slice: slice) -> Float[Tensor, "batch target inner"]:
        """Σ_j α v_j of all heads, side by side, as it goes into the projection."""
        value = self.value[:, :, : weights.shape[3]]
        by_value = weights.unflatten(1, (value.shape[1], -1)).flatten(2, 3)  # heads that share values, below each other
        mixed: Tensor = (by_value @ value).unflatten(2, (-1, weights.shape[2])).flatten(1, 2)
        return mixed.transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class GatedHeads(Heads):
    """The heads of a block with a gate, which makes f depend on the target: vectors are computed explicitly."""

    gate: Float[Tensor, "batch target inner"] = field(kw_only=True)

    @classmethod
    def gated(cls, block: Block, maps: dict[AttentionScope, AffineMap], gate: Tensor) -> GatedHeads:
        """The value vectors of a block, one per query head, with its gate."""
        value, heads = working_precision(block.call.value), block.call.output.shape[2]
        return cls(value.repeat_interleave(heads // value.shape[1], dim=1), *_distinct(maps), [], gate=gate)

    def lengths(self, heads: int) -> Float[Tensor, "batch head source"]:
        """NaN: with a gate, f doesn't depend on the source alone."""
        return self.value.new_full(self.value.shape[:3], torch.nan)

    def norms(self, weights: Tensor, target_slice: slice) -> dict[AttentionScope, Float[Tensor, "batch target source"]]:
        """The norms as in :meth:`Heads.norms`, from explicit vectors."""
        norms = gated_norms(weights, self.value[:, :, : weights.shape[3]], self.gate[:, target_slice], self.projections)
        return {scope: norms[i].clone() for scope, i in self.which.items()}

    def own(self, diagonal: Float[Tensor, "batch target head"], target_slice: slice) -> Float[Tensor, "batch target d"]:
        """Σ_h α_ii (g_i ⊙ v_i) W_O for the targets of ``target_slice``."""
        mixed = (diagonal.unsqueeze(-1) * self.value[:, :, target_slice].transpose(1, 2)).flatten(2)
        return (mixed * self.gate[:, target_slice]) @ self.projections[0]

    def mixed(self, weights: Tensor, target_slice: slice) -> Float[Tensor, "batch target inner"]:
        """Gated Σ_j α v_j of all heads, as it goes into the projection."""
        return super().mixed(weights, target_slice) * self.gate[:, target_slice]


def _distinct(maps: dict[AttentionScope, AffineMap]) -> tuple[list[Tensor], dict[AttentionScope, int]]:
    """The distinct projections among the scopes, and the index of the one that each scope uses."""
    distinct: list[Tensor] = []
    for at in maps.values():
        if not any(at.projection is other for other in distinct):
            distinct.append(at.projection)
    return distinct, {s: next(i for i, p in enumerate(distinct) if p is at.projection) for s, at in maps.items()}
