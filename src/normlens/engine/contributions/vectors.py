"""The contribution vectors c_ij of an attention block themselves, for some of its targets and sources.

Norms need no vectors (:mod:`normlens.engine.contributions.gram`);
whoever goes on behind the block does: to the rest of the layer, or to another
measure than the norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.engine.contributions.affine import Carried, carried_to
from normlens.engine.contributions.vector_norms import split_projection
from normlens.engine.precision import working_precision
from normlens.engine.tracing.block import AppliedNorm, Block
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, AttentionScope


@dataclass(frozen=True)
class Contributions:
    """What the sources of one attention block bring to its targets at one scope, for a batch of texts.

    Σ_j c_ij + bias_i (+ own_i in cross-attention) is what the model computed. All tensors are float32 at least.

    Attributes
    ----------
    block
        The block as it ran.
    scope
        How far into the block contributions are followed.
    """

    block: Block
    scope: AttentionScope

    @cached_property
    def carried(self) -> Carried:
        """The affine map from value vectors to the scope."""
        order = ATTENTION_SCOPES
        return carried_to(self.block, order[: order.index(self.scope) + 1])[self.scope]

    def vectors(
        self, part: slice, few: slice | None = None, weights: Float[Tensor, "batch head target source"] | None = None
    ) -> Float[Tensor, "batch target few d"]:
        """c_ij for some targets and sources; the residual vector is on the diagonal (self-attention).

        Parameters
        ----------
        part
            Which targets, with start and stop.
        few
            Which sources; None for all.
        weights
            α of these targets where they are at hand; None to ask the block for them.
        """
        few = slice(0, self.block.call.value.shape[2]) if few is None else few
        if weights is None:
            weights = working_precision(self.block.call.rows(part.start, part.stop))
        weights = weights[..., few]
        value, gate, at = self._value[:, :, few], self.block.gate, self.carried
        if gate is None:
            moved = value @ split_projection(at.projection, value.shape[1])
            vectors = torch.einsum("bhts,bhsd->btsd", weights, moved)
        else:
            mixed = torch.einsum("bhts,bhsi->btshi", weights, value).flatten(3)
            vectors = (mixed * gate[:, part, None]) @ at.projection
        if not at.unscaled:
            vectors = vectors * (at.scale[:, part, None] if at.scale.ndim == 3 else at.scale)
        targets, places = self.diagonal(part, few)
        if targets and (own := self.own(part)) is not None:
            vectors[:, targets, places] += own[:, targets]
        return vectors

    def along(self, direction: Float[Tensor, "batch target d"]) -> Float[Tensor, "batch target source"]:
        """⟨g_i, c_ij⟩ with a direction g_i for every target, without the vectors; what the residual stream brings apart.

        Parameters
        ----------
        direction
            One vector per target; rows that are zero give zeros.
        """
        weights = working_precision(self.block.call.rows(0, direction.shape[1]))
        back = direction @ self.carried.projection.transpose(-1, -2)
        back = back if self.block.gate is None else back * self.block.gate
        back = back.unflatten(-1, (weights.shape[1], -1)).transpose(1, 2)
        moved: Tensor = (weights * (back @ self._value.transpose(-1, -2))).sum(1) * self.carried.scale
        return moved

    def diagonal(self, part: slice, few: slice) -> tuple[list[int], list[int]]:
        """Where targets of ``part`` meet themselves among the sources of ``few``; nowhere between two sequences."""
        both = range(0) if self.block.cross else range(max(part.start, few.start), min(part.stop, few.stop))
        return [i - part.start for i in both], [i - few.start for i in both]

    def own(self, part: slice) -> Float[Tensor, "batch target d"] | None:
        """What the residual stream brings at the scope, for these targets; None at scope ``attention``."""
        if self.scope == "attention":
            return None
        assert self.block.own is not None
        own = working_precision(self.block.own)[:, part]
        if self.scope == "residual":
            return own
        outer = self.block.outer_norm
        assert isinstance(outer, AppliedNorm)
        return outer.form.linear(own) * outer.scale[:, part]

    def bias(self, part: slice) -> Float[Tensor, "batch target d"]:
        """What belongs to no source."""
        bias = self.carried.bias
        return (bias[:, part] if bias.ndim == 3 else bias).expand_as(self.output(part))

    def output(self, part: slice) -> Float[Tensor, "batch target d"]:
        """What the model computed at the scope; what a parallel block adds besides is left out."""
        block = self.block
        if self.scope == "attention":
            assert block.projected is not None
            return working_precision(block.projected)[:, part]
        if self.scope == "layernorm":
            assert block.outer_norm is not None
            return block.outer_norm.after[:, part]
        assert block.summed is not None
        summed = working_precision(block.summed)[:, part]
        return summed if block.left_out is None else summed - working_precision(block.left_out)[:, part]

    @cached_property
    def _value(self) -> Float[Tensor, "batch head source head_dim"]:
        """The value vectors, one set per query head."""
        value, heads = working_precision(self.block.call.value), self.block.call.output.shape[2]
        return value.repeat_interleave(heads // value.shape[1], dim=1)
