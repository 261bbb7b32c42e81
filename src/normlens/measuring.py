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
from normlens.errors import ConservationError
from normlens.norms import (
    conservation_error,
    gated_norms,
    mixing_ratio,
    split_projection,
    vector_norms,
)
from normlens.quadratic import quadratic_norms, source_forms

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


@dataclass(frozen=True)
class _Carried:
    """Contributions carried to some point behind attention: head vectors, what scales row i, and the bias there."""

    projection: Float[Tensor, "inner d"]
    scale: Tensor  # (batch, target, 1), or one number
    bias: Tensor  # broadcasts to (batch, target, d)

    def through(self, step: Step) -> _Carried:
        """The same contributions behind a multiplier or a norm."""
        if isinstance(step, AppliedNorm):
            form = step.form
            bias = form.linear(self.bias) * step.scale + form.shift
            return _Carried(form.fold_after(self.projection), self.scale * step.scale, bias)
        return _Carried(self.projection * step, self.scale, self.bias * step)


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
    carried = _carried_to(block, scopes)
    moved = _GatedHeads.of(block, carried) if block.gate is not None else _Heads.of(block, carried)
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


def _carried_to(block: Block, scopes: tuple[Scope, ...]) -> dict[Scope, _Carried]:
    assert block.projection is not None
    bias = block.bias if block.bias is not None else block.projection.new_zeros(block.projection.shape[-1])
    at = _Carried(block.projection, block.projection.new_ones(()), bias)
    if block.head_norm is not None:
        form = block.head_norm.form
        shift = form.shift @ block.projection
        at = _Carried(form.fold_before(block.projection), block.head_norm.scale, bias + shift)
    carried: dict[Scope, _Carried] = {"attention": at}
    if "residual" in scopes:
        for step in block.steps:
            at = at.through(step)
        carried["residual"] = at
    if "layernorm" in scopes:
        assert block.outer_norm is not None
        carried["layernorm"] = at.through(block.outer_norm)
    return carried


@dataclass(frozen=True)
class _Heads:
    """What the heads move, at every scope: the Gram matrices of f(x), one set per distinct projection."""

    value: Float[Tensor, "batch kv_head source head_dim"]
    projections: list[Float[Tensor, "inner d"]]
    which: dict[Scope, int]
    grams: list[Float[Tensor, "batch source head head2"]]
    whole_own: Float[Tensor, "batch target d"] | None = None

    @classmethod
    def of(cls, block: Block, carried: dict[Scope, _Carried]) -> _Heads:
        value, heads = working_precision(block.call.value), block.call.output.shape[2]
        projections, which = _distinct(carried)
        weights = None if block.cross or block.call.weights is None else working_precision(block.call.weights)
        diagonal = None if weights is None else weights.diagonal(dim1=-2, dim2=-1).transpose(1, 2)
        outer = block.outer_norm.form if "layernorm" in carried and block.outer_norm is not None else None
        before = projections if outer is None else projections[:-1]  # the outer norm's come with those before it
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
        return cls(
            value, projections, which, [f.gram for f in forms] + ([] if normed is None else [normed]), forms[0].own
        )

    def lengths(self) -> Float[Tensor, "batch head source"]:
        """‖f(x)‖ of every head and source."""
        return vector_norms(self.grams[0])

    def norms(self, weights: Tensor, part: slice) -> dict[Scope, Float[Tensor, "batch target source"]]:
        """‖Σ_h α f(x)‖ for the targets of ``part``, but for what scales row i."""

        def vectors_of(batch: int, source: int, which: int) -> Float[Tensor, "head d"]:
            value = self.value[batch, :, source].repeat_interleave(weights.shape[1] // self.value.shape[1], dim=0)
            return (value.unsqueeze(1) @ split_projection(self.projections[which], weights.shape[1])).squeeze(1)

        norms = quadratic_norms(weights, self.grams, vectors_of)
        return {scope: norms[i] for scope, i in self.which.items()}

    def own(self, diagonal: Float[Tensor, "batch target head"], part: slice) -> Float[Tensor, "batch target d"]:
        """Σ_h α_ii f(x_i) at scope ``attention`` for the targets of ``part``, but for what scales row i."""
        if self.whole_own is not None:
            return self.whole_own[:, part]
        value = self.value[:, :, part].repeat_interleave(diagonal.shape[-1] // self.value.shape[1], dim=1)
        return (diagonal.unsqueeze(-1) * value.transpose(1, 2)).flatten(2) @ self.projections[0]

    def mixed(self, weights: Tensor, part: slice) -> Float[Tensor, "batch target inner"]:
        """Σ_j α v_j of all heads, side by side, as it goes into the projection."""
        groups = weights.shape[1] // self.value.shape[1]
        value = self.value if groups == 1 else self.value.repeat_interleave(groups, dim=1)
        return (weights @ value).transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class _GatedHeads(_Heads):
    """The same behind a gate, which makes f depend on the target: vectors are made one by one."""

    gate: Float[Tensor, "batch target inner"] = field(kw_only=True)

    @classmethod
    def of(cls, block: Block, carried: dict[Scope, _Carried]) -> _GatedHeads:
        assert block.gate is not None
        value, heads = working_precision(block.call.value), block.call.output.shape[2]
        return cls(value.repeat_interleave(heads // value.shape[1], dim=1), *_distinct(carried), [], gate=block.gate)

    def lengths(self) -> Float[Tensor, "batch head source"]:
        """NaN: behind a gate there is no f that belongs to the source alone."""
        return self.value.new_full(self.value.shape[:3], torch.nan)

    def norms(self, weights: Tensor, part: slice) -> dict[Scope, Float[Tensor, "batch target source"]]:
        norms = gated_norms(weights, self.value, self.gate[:, part], self.projections)
        return {scope: norms[i].clone() for scope, i in self.which.items()}

    def own(self, diagonal: Float[Tensor, "batch target head"], part: slice) -> Float[Tensor, "batch target d"]:
        mixed = (diagonal.unsqueeze(-1) * self.value[:, :, part].transpose(1, 2)).flatten(2)
        return (mixed * self.gate[:, part]) @ self.projections[0]

    def mixed(self, weights: Tensor, part: slice) -> Float[Tensor, "batch target inner"]:
        return super().mixed(weights, part) * self.gate[:, part]


def _distinct(carried: dict[Scope, _Carried]) -> tuple[list[Tensor], dict[Scope, int]]:
    """The different projections among the scopes, and which one each scope uses."""
    distinct: list[Tensor] = []
    for at in carried.values():
        if not any(at.projection is known for known in distinct):
            distinct.append(at.projection)
    return distinct, {s: next(i for i, p in enumerate(distinct) if p is at.projection) for s, at in carried.items()}


@dataclass(frozen=True)
class _Rows:
    """Some targets of a block, with everything needed to measure them."""

    block: Block
    carried: dict[Scope, _Carried]
    moved: _Heads
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
