"""The meter: the exact error of every head's and layer's output without the pairs that were evicted.

Nothing is run again. The weights that remain are divided by their sum (and a sink's weight), and with the sources E gone
a head's output moves by Σ_{j∈E} α_ij (o_i − f(x_j)) / (1 − Σ_{j∈E} α_ij): zero, exactly, if nothing is gone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from normlens.engine.precision import working_precision
from normlens.engine.tolerance import tolerance
from normlens.engine.tracing.block import AppliedNorm
from normlens.errors import UnsupportedArchitecture
from normlens.topk.eviction.budgets import Kept
from normlens.topk.eviction.read_blocks import QueryRows, ReadBlock

_ROUNDING = 8  # machine epsilons of error in 1 − Σα
_ACCURATE = 1e-4  # the largest relative error of a sum of weights


@dataclass(frozen=True)
class OutputErrors:
    """Errors of one attention block.

    Attributes
    ----------
    head
        ‖o′ − o‖ / ‖o‖ of every head and query, ``(head, query)``.
    layer
        ‖y′ − y‖ / ‖y‖ of the output of all heads after the projection, bias included, ``(query,)``.
    """

    head: Float[Tensor, "head query"]
    layer: Float[Tensor, " query"]


def output_errors(
    block: ReadBlock, evictions: Sequence[Kept], module: Callable[[str], nn.Module]
) -> list[OutputErrors]:
    """The relative errors of a block's outputs if only some pairs are kept, for several evictions.

    A query that sees none of the pairs that are kept has the output zero, and the error one. NaN where a sink's weight,
    1 − Σα, and the remaining weights are so small that rounding hides them.

    Parameters
    ----------
    block
        The block, as it ran with all pairs.
    evictions
        The pairs that stay in each of them.
    module
        Returns the module of a path, such as a norm before the projection.
    """
    gone = [~kept.to(block.value.device).repeat_interleave(block.shared, dim=0) for kept in evictions]
    norm = block.block.head_norm
    renormed = None if norm is None else _wide_norm(module(norm.path), norm)
    heads: list[list[Tensor]] = [[] for _ in evictions]
    layers: list[list[Tensor]] = [[] for _ in evictions]
    for rows in block.rows():
        outputs = _Outputs(block, rows, renormed)
        for k, pairs in enumerate(gone):
            moved = outputs.moved(pairs)
            heads[k].append(outputs.head_errors(moved))
            layers[k].append(outputs.layer_errors(moved))
    return [OutputErrors(torch.cat(h, dim=1), torch.cat(y)) for h, y in zip(heads, layers, strict=True)]


class _Outputs:
    """The outputs of a few queries, and how they move."""

    def __init__(self, block: ReadBlock, rows: QueryRows, renormed: nn.Module | None) -> None:
        self._block, self._rows, self._renormed = block, rows, renormed
        self._mixed = rows.weights @ block.value
        self._head_sizes = torch.linalg.vector_norm(self._gated(self._mixed) @ block.projection, dim=-1)
        self._layer_sizes = torch.linalg.vector_norm(block.block.projection.output[0, rows.targets], dim=-1)

    def moved(self, gone: Bool[Tensor, "head source"]) -> Float[Tensor, "head query head_dim"]:
        """Σ_j α′ v − Σ_j α v, before gate and projection."""
        rows, mixed, value = self._rows, self._mixed, self._block.value
        going = rows.weights * gone[:, None]
        remaining = rows.weights - going
        lost, staying = going.sum(-1, keepdim=True), remaining.sum(-1, keepdim=True)
        left = staying if rows.sink is None else staying + rows.sink[..., None]
        # the smaller side, so that nothing cancels
        moved = torch.where(lost < left, lost * mixed - going @ value, remaining @ value - left * mixed)
        moved /= left.clamp_min(torch.finfo(left.dtype).tiny)
        if rows.sink is not None:
            unsure = (left < _ROUNDING * torch.finfo(left.dtype).eps / _ACCURATE) & (staying > 0) & (lost > 0)
            moved = moved.masked_fill(unsure, torch.nan)
        return torch.where(staying > 0, moved, -mixed)

    def head_errors(self, moved: Float[Tensor, "head query head_dim"]) -> Float[Tensor, "head query"]:
        """‖o′ − o‖ / ‖o‖ of every head."""
        lengths = torch.linalg.vector_norm(self._gated(moved) @ self._block.projection, dim=-1)
        return relative(lengths, self._head_sizes)

    def layer_errors(self, moved: Float[Tensor, "head query head_dim"]) -> Float[Tensor, " query"]:
        """‖y′ − y‖ / ‖y‖ of all heads together, after the projection."""
        change = self._gated(moved).transpose(0, 1).flatten(1)
        if self._renormed is not None:
            before = self._mixed.transpose(0, 1).flatten(1)
            still = (change == 0).all(-1, keepdim=True)
            change = (self._renormed(before + change) - self._renormed(before)).masked_fill(still, 0)
        return relative(
            torch.linalg.vector_norm(change @ self._block.block.projection.weight, dim=-1), self._layer_sizes
        )

    def _gated(self, x: Float[Tensor, "head query head_dim"]) -> Float[Tensor, "head query head_dim"]:
        return x if self._rows.gate is None else x * self._rows.gate


def relative(moved: Tensor, size: Tensor) -> Tensor:
    """A length in units of another; zero where both are zero."""
    return torch.where(moved == 0, 0, moved / size)


def _wide_norm(module: nn.Module, norm: AppliedNorm) -> nn.Module:
    """A norm module in the working precision; its σ depends on what is evicted.

    Raises
    ------
    UnsupportedArchitecture
        If it doesn't give what it gave in the run.
    """
    dtype = next((p.dtype for p in module.parameters()), norm.before.dtype)
    wide = copy.deepcopy(module).to(norm.before.dtype).requires_grad_(False)
    gap = working_precision(wide(norm.before)) - norm.after
    if not float(gap.norm()) <= tolerance(dtype, "other operations") * float(norm.after.norm()):
        raise UnsupportedArchitecture(
            f"{norm.path} gives another result when it is called again, so its effect on a changed input is unknown."
        )
    return wide
