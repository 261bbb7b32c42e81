"""Own norms, mixing ratios and conservation errors of targets, from their vectors.

They are computed for a few rows at a time, whose vectors stay in the processor's cache; whole tensors (batch, target, d)
would be written to new memory about thirty times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.engine.contributions.affine import AffineMap
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
        Norm of the contribution of a target's own vector.
    mixing_ratio, conservation_error
        As in :mod:`normlens.engine.contributions.vector_norms`.

    Both ``own`` and ``mixing_ratio`` are empty if only conservation errors were measured.
    """

    own: dict[AttentionScope, Float[Tensor, "batch target"]]
    mixing_ratio: dict[AttentionScope, Float[Tensor, "batch target"]]
    conservation_error: dict[AttentionScope, Float[Tensor, "batch target"]]


def measure_rows(
    block: Block,
    maps: dict[AttentionScope, AffineMap],
    mixed: Float[Tensor, "batch target inner"],
    kept: Float[Tensor, "batch target d"] | None,
    target_slice: slice,
    *,
    only_errors: bool = False,
) -> RowMeasures:
    """Own norms, mixing ratios and conservation errors of the targets of ``target_slice``.

    Parameters
    ----------
    block, maps
        A block, and the affine map to each of its scopes.
    mixed
        Σ_j α v_j of these targets, from α and the value vectors, as it goes into the projection.
    kept
        c_ii at scope ``attention``, without the scale of row i; None where the sources aren't the targets.
    target_slice
        The slice.
    only_errors
        Measure conservation errors only.
    """
    batch, targets, _ = mixed.shape
    measured = mixed.new_empty(1 if only_errors else 3, len(maps), batch, targets)
    for text in range(batch):
        for start in range(0, targets, _ROWS):
            rows = slice(start, min(start + _ROWS, targets))
            targets_here = slice(target_slice.start + rows.start, target_slice.start + rows.stop)
            text_rows = _TextRows(block, maps, slice(text, text + 1), targets_here)
            for scope, error in enumerate(text_rows.errors(mixed[text : text + 1, rows])):
                measured[-1, scope, text, rows] = error
            if not only_errors:
                own = None if kept is None else kept[text : text + 1, rows]
                for scope, numbers in enumerate(text_rows.kept_and_away(own)):
                    measured[0, scope, text, rows], measured[1, scope, text, rows] = numbers
    *others, errors = (dict(zip(maps, numbers, strict=True)) for numbers in measured)
    own_norm, ratio = others or ({}, {})
    return RowMeasures(own_norm, ratio, errors)


@dataclass(frozen=True)
class _TextRows:
    """A slice of targets of one text."""

    block: Block
    maps: dict[AttentionScope, AffineMap]
    text: slice
    target_slice: slice

    def kept_and_away(self, kept: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Norm of the own part and mixing ratio, scope by scope.

        The context part is the output of the projection, minus the bias and the own contribution.
        """
        block, first = self.block, self.maps["attention"]
        away = self._rows_of(block.projection.output) - self._rows_of(first.bias)
        if kept is None:
            own = torch.zeros_like(away)
        else:
            own = kept if first.unscaled else kept * self._rows_of(first.scale)
            away -= own
        yield own.norm(dim=-1), mixing_ratio(away, own)
        if block.residual is None:
            return
        for step in block.residual.steps:
            away, own = self._linear(away, step), self._linear(own, step)
        own = own + self._rows_of(block.residual.own)
        yield own.norm(dim=-1), mixing_ratio(away, own)
        if block.outer_norm is not None:
            away, own = self._linear(away, block.outer_norm), self._linear(own, block.outer_norm)
            yield own.norm(dim=-1), mixing_ratio(away, own)

    def errors(self, mixed: Float[Tensor, "1 target inner"]) -> Iterator[Tensor]:
        """Errors of the sum of contributions, from α and the value vectors, against the outputs of the modules."""
        block, residual, first = self.block, self.block.residual, self.maps["attention"]
        total = self._projected(mixed, first)
        yield conservation_error(total, self._rows_of(block.projection.output))
        if residual is None:
            return
        last = self.maps["residual"]
        summed = self._rows_of(residual.own) + (total if last is first else self._projected(mixed, last))
        if residual.other_addend is not None:
            summed += self._rows_of(residual.other_addend)
        yield conservation_error(summed, self._rows_of(residual.output))
        if block.outer_norm is not None:
            normed = block.outer_norm.form.apply(summed, self._rows_of(block.outer_norm.scale))
            yield conservation_error(normed, self._rows_of(block.outer_norm.after))

    def _projected(self, mixed: Tensor, at: AffineMap) -> Tensor:
        total = mixed @ at.projection
        if not at.unscaled:
            total *= self._rows_of(at.scale)
        return total.add_(self._rows_of(at.bias))

    def _linear(self, x: Tensor, step: Step) -> Tensor:
        """``x`` after a multiplier or the linear part of a norm."""
        return step.form.linear(x) * self._rows_of(step.scale) if isinstance(step, AppliedNorm) else x * step

    def _rows_of(self, x: Tensor) -> Tensor:
        """These rows of a tensor that has one per target; other tensors unchanged."""
        if x.ndim != 3:
            return x
        return x[self.text if x.shape[0] > 1 else slice(0, 1), self.target_slice]
