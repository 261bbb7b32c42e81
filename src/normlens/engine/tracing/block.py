"""The trace of one attention block: an attention call, what the model did with its output, and the call of its layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from normlens.engine.capture.interface import AttentionCall
from normlens.engine.tracing.norms import NormForm
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, AttentionScope
from normlens.inputs.media import Medium


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


@dataclass
class Block:
    """One attention call and what the model did with its output, filled in as the model runs.

    Attributes
    ----------
    path, occurrence
        Module path of the attention module, and the number of its earlier calls in this run (shared layers).
    call
        Weights, values and output.
    cross
        Whether sources and targets are different sequences: a target's own vector isn't among its sources.
    other
        Whether the sources come from a second sequence passed to the module.
    medium
        What its targets represent.
    gate
        The factor of attention's output before the output projection, ``(batch, target, head * head_dim)``.
    head_norm
        A norm between attention and the output projection, or None.
    projection, bias
        Output projection ``(head * head_dim, d)`` and its bias ``(d,)`` or None.
    projected
        The output of the projection, ``(batch, target, d)``.
    steps
        Multipliers and norms between the projection and the residual sum, in order.
    left_out
        What was added in addition to the residual stream (the feed-forward output of a parallel block), or None.
    own, summed
        The residual stream's vector, and its sum with the attention output, ``(batch, target, d)``.
    outer_norm
        The norm of that sum, if nothing else uses the sum (post-norm blocks).
    obstacle
        Why the trace ended.
    layer
        The call of the block's layer; set when the layer has ended, if requested.
    """

    path: str
    occurrence: int
    call: AttentionCall
    cross: bool
    other: bool = True
    medium: Medium = "text"
    gate: Tensor | None = None
    head_norm: AppliedNorm | None = None
    projection: Tensor | None = None
    bias: Tensor | None = None
    projected: Tensor | None = None
    steps: list[Step] = field(default_factory=list)
    left_out: Tensor | None = None
    own: Tensor | None = None
    summed: Tensor | None = None
    outer_norm: AppliedNorm | None = None
    obstacle: str = "its output reached no linear layer"
    sum_used_elsewhere: bool = False
    projected_used_elsewhere: bool = False
    layer: LayerCall | None = None
    candidates: dict[int, Tensor] = field(default_factory=dict)

    def reached(self) -> tuple[AttentionScope, ...]:
        """The scopes that the trace covers so far."""
        if self.projected is None:
            return ()
        if self.summed is None:
            return ("attention",)
        return ATTENTION_SCOPES if self.outer_norm is not None and not self.sum_used_elsewhere else ATTENTION_SCOPES[:2]


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
