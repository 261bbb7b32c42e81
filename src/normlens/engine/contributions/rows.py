"""What targets keep of their own vector, what they take in, and whether it all adds up: vector by vector.

A few rows at a time: their vectors stay in a processor's cache from one operation to the next, where whole tensors
(batch, target, d) would be written to fresh memory some thirty times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.engine.contributions.affine import Carried
from normlens.engine.contributions.vector_norms import conservation_error, mixing_ratio
from normlens.engine.tracing.block import AppliedNorm, Block, Step
from normlens.engine.tracing.scopes import AttentionScope

_ROWS = 128


@dataclass(frozen=True)
class RowMeasures:
    """Per scope, ``(batch, target)`` each.

    Attributes
    ----------
    own
        Norm of what a target gets from its own vector.
    mixing_ratio, conservation_error
        As in :mod:`normlens.engine.contributions.vector_norms`.
    """

    own: dict[AttentionScope, Float[Tensor, "batch target"]]
    mixing_ratio: dict[AttentionScope, Float[Tensor, "batch target"]]
    conservation_error: dict[AttentionScope, Float[Tensor, "batch target"]]


def measure_rows(
    block: Block,
    carried: dict[AttentionScope, Carried],
    mixed: Float[Tensor, "batch target inner"],
    kept: Float[Tensor, "batch target d"] | None,
    part: slice,
) -> RowMeasures:
    """Own norms, mixing ratios and conservation errors of the targets of ``part``.

    Parameters
    ----------
    block, carried
        A traced block and its contributions at every scope.
    mixed
        Σ_j α v_j of these targets, from α and the value vectors, as it goes into the projection.
    kept
        c_ii at scope ``attention``, but for what scales row i; None where the sources aren't the targets.
    part
        Which targets.
    """
    batch, targets, _ = mixed.shape
    found = mixed.new_empty(3, len(carried), batch, targets)
    for text in range(batch):
        for start in range(0, targets, _ROWS):
            rows = slice(start, min(start + _ROWS, targets))
            few = _Few(block, carried, slice(text, text + 1), slice(part.start + rows.start, part.start + rows.stop))
            own = None if kept is None else kept[text : text + 1, rows]
            measured = zip(few.kept_and_away(own), few.errors(mixed[text : text + 1, rows]), strict=True)
            for scope, (numbers, error) in enumerate(measured):
                found[0, scope, text, rows], found[1, scope, text, rows] = numbers
                found[2, scope, text, rows] = error
    return RowMeasures(*(dict(zip(carried, numbers, strict=True)) for numbers in found))


@dataclass(frozen=True)
class _Few:
    """Some targets of one text."""

    block: Block
    carried: dict[AttentionScope, Carried]
    text: slice
    part: slice

    def kept_and_away(self, kept: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Norm of the own part and mixing ratio, scope by scope.

        The context part is what the projection itself produced, less the bias and the own contribution.
        """
        block, first = self.block, self.carried["attention"]
        assert block.projected is not None
        away = self._cut(block.projected) - self._cut(first.bias)
        if kept is None:
            own = torch.zeros_like(away)
        else:
            own = kept if first.unscaled else kept * self._cut(first.scale)
            away -= own
        yield own.norm(dim=-1), mixing_ratio(away, own)
        if "residual" not in self.carried:
            return
        assert block.own is not None
        for step in block.steps:
            away, own = self._linear(away, step), self._linear(own, step)
        own = own + self._cut(block.own)
        yield own.norm(dim=-1), mixing_ratio(away, own)
        if "layernorm" in self.carried:
            assert block.outer_norm is not None
            away, own = self._linear(away, block.outer_norm), self._linear(own, block.outer_norm)
            yield own.norm(dim=-1), mixing_ratio(away, own)

    def errors(self, mixed: Float[Tensor, "1 target inner"]) -> Iterator[Tensor]:
        """Contributions added up from α and the value vectors, held against what the modules produced."""
        block = self.block
        first, last = self.carried["attention"], self.carried.get("residual")
        assert block.projected is not None
        total = self._projected(mixed, first)
        yield conservation_error(total, self._cut(block.projected))
        if last is None:
            return
        assert block.summed is not None and block.own is not None
        summed = self._cut(block.own) + (total if last is first else self._projected(mixed, last))
        if block.left_out is not None:
            summed += self._cut(block.left_out)
        yield conservation_error(summed, self._cut(block.summed))
        if "layernorm" in self.carried:
            assert block.outer_norm is not None
            normed = block.outer_norm.form.apply(summed, self._cut(block.outer_norm.scale))
            yield conservation_error(normed, self._cut(block.outer_norm.after))

    def _projected(self, mixed: Tensor, at: Carried) -> Tensor:
        total = mixed @ at.projection
        if not at.unscaled:
            total *= self._cut(at.scale)
        return total.add_(self._cut(at.bias))

    def _linear(self, x: Tensor, step: Step) -> Tensor:
        """``x`` behind a multiplier or the linear part of a norm."""
        return step.form.linear(x) * self._cut(step.scale) if isinstance(step, AppliedNorm) else x * step

    def _cut(self, x: Tensor) -> Tensor:
        """These rows of something per target; what doesn't depend on the target stays whole."""
        if x.ndim != 3:
            return x
        return x[self.text if x.shape[0] > 1 else slice(0, 1), self.part]
