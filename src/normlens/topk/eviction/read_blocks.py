"""One attention block as the queries of a text read it: their weights, a few queries at a time, and the sources' vectors.

With f(x_j) = v_j P for a head, P its slice of the output projection, inner products of vectors f are v_j M v_kᵀ with
M = P Pᵀ. A gate between attention and projection (v becomes g_i ⊙ v) and a norm there (a factor 1/σ_i) make f depend on
the target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.analysis.checked_measures import checked_measures
from normlens.engine.contributions.affine import AffineMap, affine_maps
from normlens.engine.contributions.choice import MeasureName
from normlens.engine.contributions.displacement import head_measures
from normlens.engine.contributions.vector_norms import split_projection
from normlens.engine.precision import working_precision
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.block import Block
from normlens.errors import UnsupportedArchitecture

BlockName = tuple[str, int]
"""Path of an attention module, and the number of its earlier calls."""

QUERIES_AT_ONCE = 64
"""Queries whose weights are in memory at a time."""

_REMEMBERED = 2**22  # weights that are kept instead of computed again, for one block
_GATED_ROWS = 2**22  # numbers in memory at a time where a gate needs explicit vectors


@dataclass(frozen=True)
class QueryRows:
    """A few queries of one block.

    Attributes
    ----------
    targets
        Their positions among the block's targets.
    weights
        α, ``(head, query, source)``.
    sink
        The weight of a sink without a vector, ``(head, query)``; None where the rows of α sum to one.
    gate
        The factor of attention's output before the projection, ``(head, query, head_dim)``, or None.
    scale
        1/σ of a norm before the projection, ``(query, 1)``, or None.
    """

    targets: slice
    weights: Float[Tensor, "head query source"]
    sink: Float[Tensor, "head query"] | None
    gate: Float[Tensor, "head query head_dim"] | None
    scale: Float[Tensor, "query 1"] | None


@dataclass(frozen=True, eq=False)
class ReadBlock:
    """One attention block of a model, as a text's queries read it.

    Attributes
    ----------
    block, anatomy
        The block as it ran, for one text, and as it was at the inspection.
    group, layer
        The kind of attention, and the model's number of the layer.
    queries
        The first target that counts as a query.
    chunk_size
        Queries in memory at a time.
    dtype
        The model's dtype.
    """

    block: Block
    anatomy: BlockAnatomy
    group: str
    layer: int
    queries: int
    dtype: torch.dtype
    chunk_size: int = QUERIES_AT_ONCE
    _affine: AffineMap = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_affine", affine_maps(self.block.up_to("attention"))["attention"])

    @property
    def name(self) -> BlockName:
        """The path of its module, and the number of that module's earlier calls."""
        return self.block.path, self.block.occurrence

    @property
    def heads(self) -> int:
        """The number of query heads."""
        return int(self.block.call.output.shape[2])

    @property
    def sources(self) -> int:
        """The number of sources."""
        return int(self.block.call.value.shape[2])

    @property
    def size(self) -> int:
        """The number of queries."""
        return int(self.block.call.output.shape[1]) - self.queries

    @cached_property
    def shared(self) -> int:
        """How many consecutive query heads read the same keys and values."""
        return shared_heads(self.block.call.value[0], self.heads)

    @property
    def kv_heads(self) -> int:
        """The number of heads whose keys and values are cached."""
        return self.heads // self.shared

    @cached_property
    def value(self) -> Float[Tensor, "head source head_dim"]:
        """The value vectors of every query head."""
        value = working_precision(self.block.call.value)[0]
        return value.repeat_interleave(self.heads // len(value), dim=0)

    @cached_property
    def projection(self) -> Float[Tensor, "head head_dim d"]:
        """The slice of the output projection of every head."""
        return split_projection(self._affine.projection, self.heads)

    @cached_property
    def metric(self) -> Float[Tensor, "head head_dim head_dim2"]:
        """M = P Pᵀ of every head."""
        return self.projection @ self.projection.transpose(-1, -2)

    def rows(self, last: int | None = None) -> Iterator[QueryRows]:
        """The queries, a few at a time, with every check of an analysis.

        Parameters
        ----------
        last
            Only this many of the last queries; None for all.

        Raises
        ------
        ConservationError
            If contributions don't add up to the module's output.
        ExecutionPathChanged
            If there is an attention sink that wasn't there at the inspection.
        """
        if last is None and self.heads * self.size * self.sources <= _REMEMBERED:
            yield from self._remembered
        else:
            yield from self._computed(self.queries if last is None else self.queries + max(0, self.size - last))

    @cached_property
    def _remembered(self) -> list[QueryRows]:
        """All rows, of a short text."""
        return list(self._computed(self.queries))

    def _computed(self, first: int) -> Iterator[QueryRows]:
        """The queries from position ``first`` on."""
        chosen: frozenset[MeasureName] = frozenset({"weight"})
        for measures in checked_measures(self.block, self.anatomy, self.dtype, self.chunk_size, chosen=chosen):
            stop = measures.start + measures.weight.shape[2]
            if stop > first:
                targets = slice(max(first, measures.start), stop)
                here = slice(targets.start - measures.start, None)
                sink = None if measures.sink_weight is None else measures.sink_weight[0, :, here].clamp_min(0)
                yield QueryRows(targets, measures.weight[0, :, here], sink, self._gate(targets), self._scale(targets))

    def vector_lengths(self) -> Float[Tensor, "head source"]:
        """‖f(x_j)‖ of every head, without 1/σ_i.

        Raises
        ------
        UnsupportedArchitecture
            If a gate makes f depend on the target.
        """
        self.require_no_gate("‖f(x)‖")
        return ((self.value @ self.metric) * self.value).sum(-1).clamp_min(0).sqrt()

    def weighted_norms(self, rows: QueryRows) -> Float[Tensor, "head query source"]:
        """α‖f(x_j)‖ of some queries."""
        if rows.gate is None:
            lengths = self.vector_lengths()[:, None].expand_as(rows.weights)
        else:
            lengths = self._gated_lengths(rows.gate)
        return rows.weights * lengths * (1 if rows.scale is None else rows.scale)

    def displacements(self, rows: QueryRows) -> Float[Tensor, "head query source"]:
        """α‖f(x_j) − o_i‖ of some queries."""
        gate = None if rows.gate is None else rows.gate[None]
        scale = None if rows.scale is None else rows.scale[None]
        return head_measures(rows.weights[None], self.value[None], self.projection, gate, scale).displacement[0]

    def stream_lengths(self, rows: QueryRows) -> Float[Tensor, " query"]:
        """The length of the residual stream at some queries.

        Raises
        ------
        UnsupportedArchitecture
            If the block has no scope ``residual``.
        """
        if self.block.residual is None:
            raise UnsupportedArchitecture(
                f"{self.block.path} has no scope 'residual' ({self.block.obstacle}), so a vector can't be measured relative "
                "to the residual stream. Choose another score, such as displacement."
            )
        lengths: Tensor = torch.linalg.vector_norm(self.block.residual.own[0, rows.targets], dim=-1)
        return lengths

    def require_no_gate(self, what: str) -> None:
        """Refuse a block in which ``what`` isn't a number of the source alone."""
        if self.block.gate is not None:
            raise UnsupportedArchitecture(
                f"{self.block.path} multiplies attention's output by a gate, so {what} depends on the target. Choose a "
                "score that allows for it, such as weight, norm or displacement."
            )

    def _gate(self, targets: slice) -> Float[Tensor, "head query head_dim"] | None:
        gate = self.block.gate
        return None if gate is None else gate[0, targets].unflatten(-1, (self.heads, -1)).transpose(0, 1)

    def _scale(self, targets: slice) -> Float[Tensor, "query 1"] | None:
        return self._affine.scale[0, targets] if self._affine.scale.ndim == 3 else None

    def _gated_lengths(self, gate: Float[Tensor, "head query head_dim"]) -> Float[Tensor, "head query source"]:
        """‖(g_i ⊙ v_j) P‖ = √(v_j (g_i g_iᵀ ∘ M) v_jᵀ)."""
        lengths = self.value.new_empty(*gate.shape[:2], self.sources)
        at_once = max(1, _GATED_ROWS // self.value[0].numel())
        for head, value in enumerate(self.value):
            for start in range(0, gate.shape[1], at_once):
                some = gate[head, start : start + at_once]
                metric = some[:, :, None] * self.metric[head] * some[:, None, :]
                squared = ((value @ metric) * value).sum(-1)
                lengths[head, start : start + at_once] = squared.clamp_min_(0).sqrt_()
        return lengths


def shared_heads(value: Float[Tensor, "stored_head source head_dim"], heads: int) -> int:
    """How many consecutive query heads share value vectors, stored once or as copies.

    Parameters
    ----------
    value
        The value vectors as the attention call received them.
    heads
        The number of query heads.
    """
    stored = len(value)
    copies = next(
        (
            n
            for n in range(stored, 1, -1)
            if stored % n == 0 and all(torch.equal(value[k], value[k - k % n]) for k in range(stored))
        ),
        1,
    )
    return heads // stored * copies
