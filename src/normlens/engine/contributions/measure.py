"""Measures of a traced block: weights, norms at every scope, mixing ratios, conservation errors.

Blocks are measured one at a time, and with chunks one slice of targets at a time, so that nothing of size head × target ×
source outlives its block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from normlens.engine.contributions.affine import AffineMap, Heads, affine_maps, heads_of
from normlens.engine.contributions.choice import DEFAULT_MEASURES, MeasureName
from normlens.engine.contributions.contribution_weights import Shares, contribution_weights
from normlens.engine.contributions.displacement import HeadMeasures, head_measures
from normlens.engine.contributions.gram import reached_sources
from normlens.engine.contributions.rows import measure_rows
from normlens.engine.contributions.vector_norms import head_norms, split_projection
from normlens.engine.precision import working_precision
from normlens.engine.tolerance import tolerance
from normlens.engine.tracing.block import Block
from normlens.engine.tracing.scopes import AttentionScope, BlockScope, Scope
from normlens.errors import ConservationError


@dataclass(frozen=True)
class Pushed:
    """Measures of the contributions to a slice of targets, per scope after the attention block.

    Attributes
    ----------
    norm
        ‖c_ij‖, ``(batch, target, source)``.
    own
        Norm of the contribution of a target's own vector, ``(batch, target)``.
    mixing_ratio, conservation_error
        As in :mod:`normlens.engine.contributions.vector_norms`, ``(batch, target)``.
    contribution_weight
        As in :mod:`normlens.engine.contributions.contribution_weights`; empty if not chosen.
    """

    norm: dict[BlockScope, Float[Tensor, "batch target source"]]
    own: dict[BlockScope, Float[Tensor, "batch target"]]
    mixing_ratio: dict[BlockScope, Float[Tensor, "batch target"]]
    conservation_error: dict[BlockScope, Float[Tensor, "batch target"]]
    contribution_weight: dict[BlockScope, Shares] = field(default_factory=dict)


PushFunction = Callable[[Float[Tensor, "batch head target source"], slice, int | None], Pushed]
"""Takes α of a slice of targets, the slice, and the chunk size; see
:meth:`normlens.engine.feedforward.push.Pusher.push`."""


@dataclass(frozen=True)
class Measures:
    """The measures of a slice of targets of one attention call.

    Attributes
    ----------
    start
        First target.
    weight
        α, ``(batch, head, target, source)``.
    vector_norm
        ‖f(x)‖, ``(batch, head, source)``; NaN if neither these nor norms were chosen.
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
    heads
        Displacement and contribution weights of every head; None if neither was chosen.
    contribution_weight
        Contribution weights of the sum over heads per scope, ``(batch, target, source)``.
    own_contribution_weight
        That of the extra source ``own`` per scope, ``(batch, target)``.
    output_norm
        ‖o‖ with o = Σ_j α f(x_j), ``(batch, head, target)``; None if not chosen.
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
    heads: HeadMeasures | None = None
    contribution_weight: dict[Scope, Float[Tensor, "batch target source"]] = field(default_factory=dict)
    own_contribution_weight: dict[Scope, Float[Tensor, "batch target"]] = field(default_factory=dict)
    output_norm: Float[Tensor, "batch head target"] | None = None


def measure(
    block: Block,
    scopes: tuple[AttentionScope, ...],
    chunk_size: int | None = None,
    sinks: bool = False,
    push: PushFunction | None = None,
    chosen: frozenset[MeasureName] = frozenset(DEFAULT_MEASURES),
) -> Iterator[Measures]:
    """Measure a block, ``chunk_size`` targets at a time (None: all at once).

    Parameters
    ----------
    block
        A block with these scopes at least.
    scopes
        Which scopes to measure: the first one, two or three.
    chunk_size
        Number of targets.
    sinks
        Whether the remainder 1 − Σ_j α goes to a sink.
    push
        Pushes contributions through the rest of the layer; None for the attention block only.
    chosen
        Which measures to take. α and conservation errors are always there.

    Yields
    ------
    Measures
        For consecutive slices of the targets.
    """
    block = block.up_to(scopes[-1])
    targets = block.call.output.shape[1]
    maps = affine_maps(block)
    moved = heads_of(block, maps, with_norms="norm" in chosen)
    size = chunk_size or targets
    for start in range(0, targets, size):
        rows = _TargetSlice(block, maps, moved, slice(start, min(start + size, targets)), chosen)
        measures = rows.measures(sinks)
        if push is not None:
            pushed = push(measures.weight, rows.target_slice, chunk_size)
            measures = _with_block_scopes(measures, pushed, block)
        yield measures


def _with_block_scopes(measures: Measures, pushed: Pushed, block: Block) -> Measures:
    """The measures of an attention block, with those of the scopes after it."""
    return _with_shares(
        replace(
            measures,
            norm=_joined(measures.norm, pushed.norm),
            own=_joined(measures.own, pushed.own) if block.cross else {},
            mixing_ratio=_joined(measures.mixing_ratio, pushed.mixing_ratio),
            conservation_error=_joined(measures.conservation_error, pushed.conservation_error),
        ),
        pushed.contribution_weight,
    )


def _with_shares(measures: Measures, shares: Mapping[Any, Shares]) -> Measures:
    """The measures, with contribution weights of the sum over heads at further scopes."""
    of_sources = {scope: sources for scope, (sources, _) in shares.items()}
    of_own = {scope: own for scope, (_, own) in shares.items() if own is not None}
    return replace(
        measures,
        contribution_weight=_joined(measures.contribution_weight, of_sources),
        own_contribution_weight=_joined(measures.own_contribution_weight, of_own),
    )


def _joined(*by_scope: Mapping[Any, Tensor]) -> dict[Scope, Tensor]:
    """Several dictionaries by scope, in one."""
    return {scope: x for values in by_scope for scope, x in values.items()}


def check_conservation(measures: Measures, path: str, dtype: torch.dtype, valid: Tensor | None) -> None:
    """Refuse results whose contributions don't add up.

    Parameters
    ----------
    measures
        The measures to check.
    path
        The attention module, for the message.
    dtype
        The model's dtype, which sets the tolerance.
    valid
        True for targets that aren't padding, ``(batch, target)``; None if there is no padding.

    Raises
    ------
    ConservationError
        If an error is above ten times the tolerance, or isn't a number.
    """
    limit = tolerance(dtype, "other operations")
    for scope, errors in measures.conservation_error.items():
        checked = errors if valid is None else errors[valid]
        if checked.numel() and not bool((checked <= limit).all()):
            raise ConservationError(
                f"{path}: at scope {scope!r} the contributions miss the module's output by {float(checked.max()):.1e} of "
                f"its norm; at most {limit:.0e} is accepted for a {dtype} model. The numbers are withheld; please report "
                "the model type."
            )


@dataclass(frozen=True)
class _TargetSlice:
    """A slice of a block's targets, with everything needed to measure them."""

    block: Block
    maps: dict[AttentionScope, AffineMap]
    moved: Heads
    target_slice: slice
    chosen: frozenset[MeasureName]

    def measures(self, sinks: bool) -> Measures:
        block, target_slice = self.block, self.target_slice
        weights = working_precision(block.call.rows(target_slice.start, target_slice.stop))
        seen = weights[..., : reached_sources(weights)]
        norm: dict[Scope, Tensor] = _joined(self._norms(seen)) if "norm" in self.chosen else {}
        missing = 1 - weights.sum(-1)
        only_errors = not self.chosen & {"norm", "mixing_ratio"}
        diagonal = None if block.cross else weights.diagonal(offset=target_slice.start, dim1=-2, dim2=-1)
        by_target = None if diagonal is None or only_errors else diagonal.transpose(1, 2)
        kept = None if by_target is None else self.moved.own(by_target, target_slice)
        mixed = self.moved.mixed(seen, target_slice)
        rows = measure_rows(block, self.maps, mixed, kept, target_slice, only_errors=only_errors)
        own: dict[Scope, Tensor] = {scope: x for scope, x in rows.own.items() if scope != "attention"}
        away: dict[Scope, Tensor] = {}
        if diagonal is not None:
            for scope in own.keys() & norm.keys():
                norm[scope].diagonal(offset=target_slice.start, dim1=-2, dim2=-1).copy_(own[scope])
            away["attention"] = (1 - missing - diagonal).mean(1)
            if "residual" in self.maps:
                away["residual"] = away["attention"] / 2
        lengths = weights.new_full((1, 1, 1), torch.nan).expand(*weights.shape[:2], weights.shape[3])
        if self.chosen & {"vector_norm", "norm"}:
            lengths = self.moved.lengths(weights.shape[1])
        measures = Measures(
            target_slice.start, weights, lengths, norm, own if block.cross else {},
            _joined(rows.mixing_ratio), away, _joined(rows.conservation_error), missing if sinks else None,
            self._heads(weights), output_norm=self._output_norm(mixed, weights.shape[1]),
        )  # fmt: skip
        if "contribution_weight" not in self.chosen:
            return measures
        return _with_shares(measures, contribution_weights(block, self.maps, weights, mixed, target_slice))

    def _output_norm(self, mixed: Tensor, heads: int) -> Float[Tensor, "batch head target"] | None:
        """Lengths of the heads' outputs, if they were chosen."""
        if "output_norm" not in self.chosen:
            return None
        at = self.maps["attention"]
        by_head = mixed.unflatten(-1, (heads, -1)).transpose(1, 2)
        norms = head_norms(by_head, split_projection(at.projection, heads))
        return norms if at.unscaled else norms * at.scale[:, self.target_slice].abs().transpose(1, 2)

    def _heads(self, weights: Tensor) -> HeadMeasures | None:
        """Displacement and contribution weights of every head, if they were chosen."""
        if not self.chosen & {"displacement", "contribution_weight"}:
            return None
        block, at, rows = self.block, self.maps["attention"], self.target_slice
        heads = weights.shape[1]
        gate = None if block.gate is None else block.gate[:, rows].unflatten(-1, (heads, -1)).transpose(1, 2)
        projection = split_projection(at.projection, heads)
        return head_measures(weights, self.moved.value, projection, gate, at.scale[:, rows] if at.scale.ndim else None)

    def _norms(self, seen: Tensor) -> dict[AttentionScope, Float[Tensor, "batch target source"]]:
        """The norms with the scale of row i; scopes with the same projection get a tensor each.

        ``seen`` are the weights of the sources that have any; the norms of all others are zero.
        """
        norms = self.moved.norms(seen, self.target_slice)
        of = {scope: id(x) for scope, x in norms.items()}
        for scope, at in reversed(self.maps.items()):
            scale = at.scale[:, self.target_slice] if at.scale.ndim == 3 else at.scale
            if list(of.values()).count(of[scope]) > 1 and scope != "attention":
                norms[scope] = norms[scope] * scale
            elif not at.unscaled:
                norms[scope].mul_(scale)
        unseen = self.moved.value.shape[2] - seen.shape[3]
        return {scope: pad(x, (0, unseen)) for scope, x in norms.items()} if unseen else norms
