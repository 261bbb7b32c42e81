"""The contribution vectors c_ij of an attention block, for slices of its targets and sources.

Norms need no vectors (:mod:`normlens.engine.contributions.gram`). Other uses do: following contributions through the rest of
the layer, or measuring something other than their norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.engine.contributions.affine import AffineMap, affine_maps
from normlens.engine.contributions.vector_norms import split_projection
from normlens.engine.precision import working_precision
from normlens.engine.tracing.block import Block
from normlens.engine.tracing.scopes import AttentionScope


@dataclass(frozen=True)
class Contributions:
    """The contributions of an attention block's sources to its targets at one scope, for a batch of texts.

    Σ_j c_ij + bias_i (+ own_i in cross-attention) is what the model computed. All tensors are at least float32.

    Attributes
    ----------
    block
        The block as it ran.
    scope
        How far into the block contributions are followed: one of its scopes.
    """

    block: Block
    scope: AttentionScope

    @cached_property
    def affine_map(self) -> AffineMap:
        """The affine map from value vectors to the scope."""
        return affine_maps(self._within)[self.scope]

    def vectors(
        self,
        target_slice: slice,
        source_slice: slice | None = None,
        weights: Float[Tensor, "batch head target source"] | None = None,
    ) -> Float[Tensor, "batch target few d"]:
        """c_ij for slices of targets and sources; in self-attention, the residual vector is added on the diagonal.

        Parameters
        ----------
        target_slice
            The targets; needs a start and a stop.
        source_slice
            The sources; None for all.
        weights
            α of these targets; None to take them from the block.
        """
        source_slice = slice(0, self.block.call.value.shape[2]) if source_slice is None else source_slice
        if weights is None:
            weights = working_precision(self.block.call.rows(target_slice.start, target_slice.stop))
        weights = weights[..., source_slice]
        value, gate, at = self._value[:, :, source_slice], self.block.gate, self.affine_map
        if gate is None:
            moved = value @ split_projection(at.projection, value.shape[1])
            vectors = torch.einsum("bhts,bhsd->btsd", weights, moved)
        else:
            mixed = torch.einsum("bhts,bhsi->btshi", weights, value).flatten(3)
            vectors = (mixed * gate[:, target_slice, None]) @ at.projection
        if not at.unscaled:
            vectors = vectors * (at.scale[:, target_slice, None] if at.scale.ndim == 3 else at.scale)
        targets, sources = self.diagonal(target_slice, source_slice)
        if targets and (own := self.own(target_slice)) is not None:
            vectors[:, targets, sources] += own[:, targets]
        return vectors

    def along(
        self,
        direction: Float[Tensor, "batch target d"],
        target_slice: slice | None = None,
        weights: Float[Tensor, "batch head target source"] | None = None,
    ) -> Float[Tensor, "batch target source"]:
        """⟨g_i, c_ij⟩ with a direction g_i for every target, without computing vectors, and without the residual stream.

        Parameters
        ----------
        direction
            One vector per target of the slice; rows that are zero give zeros.
        target_slice
            The targets; None for all.
        weights
            α of these targets; None to take them from the block.
        """
        target_slice = slice(0, direction.shape[1]) if target_slice is None else target_slice
        if weights is None:
            weights = working_precision(self.block.call.rows(target_slice.start, target_slice.stop))
        gate, scale = self.block.gate, self.affine_map.scale
        back = direction @ self.affine_map.projection.transpose(-1, -2)
        back = back if gate is None else back * gate[:, target_slice]
        back = back.unflatten(-1, (weights.shape[1], -1)).transpose(1, 2)
        moved = weights.new_empty(len(weights), *weights.shape[2:])
        for text, products in enumerate(moved):  # whose maps stay in the processor's cache
            alpha, rows = weights[text], back[text]
            torch.sum((rows @ self._value[text].transpose(-1, -2)).mul_(alpha), dim=0, out=products)
        return moved * (scale[:, target_slice] if scale.ndim == 3 else scale)

    def diagonal(self, target_slice: slice, source_slice: slice) -> tuple[list[int], list[int]]:
        """Indices in the two slices where target and source are the same position; none between two sequences."""
        both = (
            range(0)
            if self.block.cross
            else range(max(target_slice.start, source_slice.start), min(target_slice.stop, source_slice.stop))
        )
        return [i - target_slice.start for i in both], [i - source_slice.start for i in both]

    def own(self, target_slice: slice) -> Float[Tensor, "batch target d"] | None:
        """The contribution of the residual stream at the scope, for these targets; None at scope ``attention``."""
        residual, outer = self._within.residual, self._within.outer_norm
        if residual is None:
            return None
        own = residual.own[:, target_slice]
        if outer is None:
            return own
        return outer.form.linear(own) * outer.scale[:, target_slice]

    def bias(self, target_slice: slice) -> Float[Tensor, "batch target d"]:
        """The bias, which belongs to no source."""
        bias = self.affine_map.bias
        return (bias[:, target_slice] if bias.ndim == 3 else bias).expand_as(self.output(target_slice))

    def output(self, target_slice: slice) -> Float[Tensor, "batch target d"]:
        """The model's output at the scope, without the other addend of a parallel block."""
        within = self._within
        output = within.output[:, target_slice]
        if within.residual is None or within.residual.other_addend is None:
            return output
        return output - within.residual.other_addend[:, target_slice]

    @cached_property
    def _within(self) -> Block:
        """The block up to the scope."""
        return self.block.up_to(self.scope)

    @cached_property
    def _value(self) -> Float[Tensor, "batch head source head_dim"]:
        """The value vectors, one set per query head."""
        value, heads = working_precision(self.block.call.value), self.block.call.output.shape[2]
        return value.repeat_interleave(heads // value.shape[1], dim=1)
