"""The trace of an attention block while the model runs: filled in step by step, then finished as a :class:`Block`."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from normlens.engine.capture.interface import AttentionCall
from normlens.engine.tracing.block import AppliedNorm, Block, LayerCall, Projection, ResidualSum, Step
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, AttentionScope
from normlens.errors import UnsupportedArchitecture
from normlens.inputs.media import Medium


@dataclass(eq=False)
class BlockTrace:
    """One attention call and what the model has done with its output so far.

    Attributes
    ----------
    path, occurrence, call, cross, gate, head_norm, outer_norm, obstacle
        As in :class:`Block`, as far as they are traced.
    other
        Whether the sources come from a second sequence passed to the module.
    medium
        What its targets represent.
    projection, bias, projected, parameter
        The output projection, its output, and the weight as the model multiplied with it.
    steps, other_addend, own, summed
        As in :class:`ResidualSum`; ``summed`` is its output.
    sum_used_elsewhere, projected_used_elsewhere
        Whether something other than the next step uses the sum, or the projection's output.
    candidates
        Tensors that may be the residual stream, by id.
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
    parameter: Tensor | None = None
    steps: list[Step] = field(default_factory=list)
    other_addend: Tensor | None = None
    own: Tensor | None = None
    summed: Tensor | None = None
    outer_norm: AppliedNorm | None = None
    obstacle: str = "its output reached no linear layer"
    sum_used_elsewhere: bool = False
    projected_used_elsewhere: bool = False
    candidates: dict[int, Tensor] = field(default_factory=dict)

    def reached(self) -> tuple[AttentionScope, ...]:
        """The scopes that the trace covers so far."""
        if self.projected is None:
            return ()
        if self.summed is None:
            return ("attention",)
        return ATTENTION_SCOPES if self.outer_norm is not None and not self.sum_used_elsewhere else ATTENTION_SCOPES[:2]

    def has_reached(self, scopes: tuple[AttentionScope, ...]) -> bool:
        """Whether the trace covers these scopes, which start with the first one."""
        return self.reached()[: len(scopes)] == scopes

    def finished(self, layer: LayerCall | None = None) -> Block:
        """The block as far as it is traced, with the call of its layer.

        Raises
        ------
        UnsupportedArchitecture
            If it has no output projection.
        """
        if self.projection is None or self.projected is None or self.parameter is None:
            raise UnsupportedArchitecture(
                f"{self.path}: {self.obstacle}; expected a linear output projection. Its contributions can't be measured "
                "exactly."
            )
        residual = None
        if self.own is not None and self.summed is not None:
            residual = ResidualSum(tuple(self.steps), self.own, self.other_addend, self.summed)
        return Block(
            path=self.path,
            occurrence=self.occurrence,
            call=self.call,
            cross=self.cross,
            projection=Projection(self.projection, self.bias, self.projected, self.parameter),
            gate=self.gate,
            head_norm=self.head_norm,
            residual=residual,
            outer_norm=self.outer_norm if "layernorm" in self.reached() else None,
            obstacle=self.obstacle,
            layer=layer,
        )
