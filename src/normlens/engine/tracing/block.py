"""One attention block as a model ran it: an attention call, what the model did with its output, the call of its layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from normlens.engine.capture.interface import AttentionCall
from normlens.engine.tracing.norms import NormForm
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, AttentionScope


@dataclass(frozen=True)
class AppliedNorm:
    """A norm as one run applied it.

    Attributes
    ----------
    path
        Module path.
    form
        Its affine map.
    scale
        1/σ of each target, ``(batch, target, 1)``.
    before, after
        Its input and output, ``(batch, target, d)``.
    """

    path: str
    form: NormForm
    scale: Float[Tensor, "batch target 1"]
    before: Float[Tensor, "batch target d"]
    after: Float[Tensor, "batch target d"]


Step = AppliedNorm | Tensor  # a norm, or a multiplier: one number, or one number per dimension


@dataclass(frozen=True)
class Projection:
    """The output projection of an attention block, as one run applied it.

    Attributes
    ----------
    weight, bias
        ``(head * head_dim, d)``, and ``(d,)`` or None; at least float32.
    output
        ``(batch, target, d)``.
    parameter
        The weight as the model multiplied with it, in the model's dtype.
    """

    weight: Float[Tensor, "inner d"]
    bias: Float[Tensor, " d"] | None
    output: Float[Tensor, "batch target d"]
    parameter: Float[Tensor, "inner d"]


@dataclass(frozen=True)
class ResidualSum:
    """The sum of an attention block's projected output and the residual stream.

    Attributes
    ----------
    steps
        Multipliers and norms between the projection and the sum, in order.
    own
        The residual stream's vector, ``(batch, target, d)``.
    other_addend
        A third addend of the sum (the feed-forward output of a parallel block), ``(batch, target, d)``, or None.
    output
        The sum, ``(batch, target, d)``.
    """

    steps: tuple[Step, ...]
    own: Float[Tensor, "batch target d"]
    other_addend: Float[Tensor, "batch target d"] | None
    output: Float[Tensor, "batch target d"]


@dataclass(frozen=True, eq=False)
class Block:
    """One attention call, and what the model did with its output, as far as it was traced.

    Attributes
    ----------
    path, occurrence
        Module path of the attention module, and the number of its earlier calls in this run (shared layers).
    call
        Weights, values and output.
    cross
        Whether sources and targets are different sequences: a target's own vector isn't among its sources.
    projection
        The output projection: scope ``attention``.
    gate
        The factor of attention's output before the projection, ``(batch, target, head * head_dim)``, or None.
    head_norm
        A norm between attention and the projection, or None.
    residual
        The sum with the residual stream: scope ``residual``. None if the trace ended before it.
    outer_norm
        The norm of that sum, if nothing else uses the sum (post-norm blocks): scope ``layernorm``. None if there is none.
    obstacle
        Why the trace ended.
    layer
        The call of the block's layer, if requested.
    """

    path: str
    occurrence: int
    call: AttentionCall
    cross: bool
    projection: Projection
    gate: Float[Tensor, "batch target inner"] | None = None
    head_norm: AppliedNorm | None = None
    residual: ResidualSum | None = None
    outer_norm: AppliedNorm | None = None
    obstacle: str = ""
    layer: LayerCall | None = None

    @property
    def scopes(self) -> tuple[AttentionScope, ...]:
        """The scopes that the block was traced to."""
        if self.residual is None:
            return ATTENTION_SCOPES[:1]
        return ATTENTION_SCOPES[:2] if self.outer_norm is None else ATTENTION_SCOPES

    @property
    def output(self) -> Float[Tensor, "batch target d"]:
        """The model's output at the last scope."""
        if self.residual is None:
            return self.projection.output
        return self.residual.output if self.outer_norm is None else self.outer_norm.after

    def up_to(self, scope: AttentionScope) -> Block:
        """The block up to a scope: without what comes after it."""
        if scope == "attention":
            return replace(self, residual=None, outer_norm=None)
        return replace(self, outer_norm=None) if scope == "residual" else self


@dataclass(frozen=True)
class LayerCall:
    """One call of an attention block's layer, as the model made it.

    Attributes
    ----------
    module
        The layer.
    args, kwargs
        Its arguments.
    output
        Its output.
    held
        The outputs of the modules in it that contain attention, by path.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any
    held: Mapping[str, Any]
