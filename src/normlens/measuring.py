"""From a traced block to numbers: weights, norms at every scope, mixing ratios, conservation errors.

One block at a time, and with chunks one slice of its targets at a time, so that nothing of size head × target × source
outlives its block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.anatomy import AppliedNorm, Block, Scope, Step, working_precision
from normlens.carrying import Carried, Heads, carried_to, heads_of
from normlens.errors import ConservationError
from normlens.norms import conservation_error, mixing_ratio

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""Largest conservation error expected of a model, by its dtype; model files compute norms and softmax in float32."""


@dataclass(frozen=True)
class Measures:
    """What was measured on the targets ``start:stop`` of one attention call.

    Attributes
    ----------
    start
        First target.
    weight
        α, ``(batch, head, target, source)``.
    vector_norm
        ‖f(x)‖, ``(batch, head, source)``.
    norm
        ‖Σ_h α f(x)‖ per scope, ``(batch, target, source)``.
    own
        Norm of the extra source ``own`` per scope, ``(batch, target)``; empty where sources are targets.
    mixing_ratio, mixing_ratio_weight
        Per scope, ``(batch, target)``.
    conservation_error
        Per scope, ``(batch, target)``.
    sink_weight
        1 − Σ_j α, ``(batch, head, target)``, or None where the rows of α sum to one.
    """

    start: int
    weight: Float[Tensor, "batch head target source"]
    vector_norm: Float[Tensor, "batch head source"]
    norm: dict[Scope, Float[Tensor, "batch target source"]]
    own: dict[Scope, Float[Tensor, "batch target"]] = field(default_factory=dict)
    mixing_ratio: dict[Scope, Float[Tensor, "batch target"]] = field(default_factory=dict)
    mixing_ratio_weight: dict[Scope, Float[Tensor, "batch target"]] = field(default_factory=dict)
    conservation_error: dict[Scope, Float[Tensor, "batch target"]] = field(default_factory=dict)
    sink_weight: Float[Tensor, "batch head target"] | None = None


def measure(
    block: Block, scopes: tuple[Scope, ...], chunk_size: int | None = None, sinks: bool = False
) -> Iterator[Measures]:
    """Measure a block, ``chunk_size`` targets at a time (None: all at once).

    Parameters
    ----------
    block
        A block traced as far as ``scopes`` need.
    scopes
        Which scopes to measure.
    chunk_size
        Number of targets.
    sinks
        Whether what the rows of α miss went to a sink.

    Yields
    ------
    Measures
        For consecutive slices of the targets.
    """
    targets = block.call.output.shape[1]
    carried = carried_to(block, scopes)
    moved = heads_of(block, carried)
    size = chunk_size or targets
    for start in range(0, targets, size):
        yield _Rows(block, carried, moved, slice(start, min(start + size, targets))).measures(sinks)


def check_conservation(measures: Measures, path: str, dtype: torch.dtype, valid: Tensor | None) -> None:
    """Refuse results whose contributions don't add up.

    Parameters
    ----------
    measures
        What was measured.
    path
        The attention module, for the message.
    dtype
        The model's dtype, which sets the tolerance.
    valid
        Targets that are no padding, ``(batch, target)``; None if all are.

    Raises
    ------
    ConservationError
        If some error is above ten times the tolerance, or is not a number.
    """
    limit = 10 * TOLERANCE.get(dtype, TOLERANCE[torch.float32])
    for scope, errors in measures.conservation_error.items():
        seen = errors if valid is None else errors[valid]
        if seen.numel() and not bool((seen <= limit).all()):
            raise ConservationError(
                f"{path}: at scope {scope!r} the contributions miss the module's output by {float(seen.max()):.1e} of its "
                f"length; at most {limit:.0e} is accepted for a {dtype} model. The numbers are withheld; please report "
                "the model type."
            )


@dataclass(frozen=True)
class _Rows:
    """Some targets of a block, with everything needed to measure them."""

    block: Block
    carried: dict[Scope, Carried]
    moved: Heads
    part: slice

    def measures(self, sinks: bool) -> Measures:
        weights = working_precision(self.block.call.rows(self.part.start, self.part.stop))
        raw = self.moved.norms(weights, self.part)
        norm = {scope: raw[scope] * self._cut(at.scale) for scope, at in self.carried.items()}
        missing = 1 - weights.sum(-1)
        result = Measures(self.part.start, weights, self.moved.lengths(), norm, sink_weight=missing if sinks else None)
        self._own_and_context(result, weights, 1 - missing)
        self._conservation(result, weights)
        return result

    def _own_and_context(self, result: Measures, weights: Tensor, received: Tensor) -> None:
        """Diagonals of the scopes that hold the own vector, and mixing ratios."""
        block, part = self.block, self.part
        diagonal = None if block.cross else weights.diagonal(offset=part.start, dim1=-2, dim2=-1)
        moved = None if diagonal is None else self.moved.own(diagonal.transpose(1, 2), part)
        for scope in self.carried:
            through_attention = self._through_attention(scope)
            kept = torch.zeros_like(through_attention)
            if moved is not None:
                kept = self._behind(moved * self._cut(self.carried["attention"].scale), scope)
            own = kept + self._residual_vector(scope)
            if scope != "attention" and diagonal is not None:
                result.norm[scope].diagonal(offset=part.start, dim1=-2, dim2=-1).copy_(own.norm(dim=-1))
            elif scope != "attention":
                result.own[scope] = own.norm(dim=-1)
            result.mixing_ratio[scope] = mixing_ratio(through_attention - kept, own)
        if diagonal is not None:
            away = (received - diagonal).mean(1)
            result.mixing_ratio_weight["attention"] = away
            if "residual" in self.carried:
                result.mixing_ratio_weight["residual"] = away / 2

    def _through_attention(self, scope: Scope) -> Float[Tensor, "batch target d"]:
        """Σ_j c_ij without the own vector, from what the projection itself produced."""
        block = self.block
        assert block.projected is not None
        return self._behind(self._cut(block.projected) - self._cut(self.carried["attention"].bias), scope)

    def _behind(self, x: Float[Tensor, "batch target d"], scope: Scope) -> Float[Tensor, "batch target d"]:
        """A vector of scope ``attention`` as it arrives at ``scope``."""
        for step in self._steps_to(scope):
            x = self._linear(x, step)
        return x

    def _steps_to(self, scope: Scope) -> list[Step]:
        behind = [] if scope == "attention" else list(self.block.steps)
        return [*behind, self.block.outer_norm] if scope == "layernorm" and self.block.outer_norm else behind

    def _linear(self, x: Tensor, step: Step) -> Tensor:
        """``x`` behind a multiplier or the linear part of a norm."""
        return step.form.linear(x) * self._cut(step.scale) if isinstance(step, AppliedNorm) else x * step

    def _residual_vector(self, scope: Scope) -> Float[Tensor, "batch target d"]:
        """The target's own vector as it arrives at ``scope``; zero at scope ``attention``."""
        block = self.block
        if scope == "attention":
            return self.moved.value.new_zeros(())
        assert block.own is not None
        own = self._cut(block.own)
        return self._linear(own, block.outer_norm) if scope == "layernorm" and block.outer_norm else own

    def _conservation(self, result: Measures, weights: Tensor) -> None:
        """Add the contributions up from α and the value vectors, and hold them against what the modules produced."""
        block = self.block
        mixed = self.moved.mixed(weights, self.part)
        first, last = self.carried["attention"], self.carried.get("residual")
        total = (mixed @ first.projection) * self._cut(first.scale) + self._cut(first.bias)
        assert block.projected is not None
        result.conservation_error["attention"] = conservation_error(total, self._cut(block.projected))
        if last is None:
            return
        if last is not first:
            total = (mixed @ last.projection) * self._cut(last.scale) + self._cut(last.bias)
        assert block.summed is not None and block.own is not None
        summed = total + self._cut(block.own)
        if block.left_out is not None:
            summed = summed + self._cut(block.left_out)
        result.conservation_error["residual"] = conservation_error(summed, self._cut(block.summed))
        if "layernorm" in self.carried:
            assert block.outer_norm is not None
            normed = block.outer_norm.form.apply(summed, self._cut(block.outer_norm.scale))
            result.conservation_error["layernorm"] = conservation_error(normed, self._cut(block.outer_norm.after))

    def _cut(self, x: Tensor) -> Tensor:
        """The rows of this part of something per target; what doesn't depend on the target stays whole."""
        return x[:, self.part] if x.ndim == 3 else x
