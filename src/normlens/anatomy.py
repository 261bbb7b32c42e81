"""Where the pieces of an attention block sit: output projection, norms, multipliers, residual.

Nothing is looked up by model name. A :class:`Tracer` watches the unmodified model run and follows attention's output
through a closed list of steps: into the output projection, through multipliers and norms, to the sum with the residual
stream and the norm behind it. What it can't follow ends the trace, and the scopes beyond that point are absent, with
the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from normlens.capture import AttentionCall
from normlens.errors import NoAttentionHeard, UnsupportedArchitecture
from normlens.layers import LayerAnatomy, LayerCall
from normlens.media import Medium
from normlens.normform import NormForm
from normlens.scopes import ATTENTION_SCOPES, AttentionScope


@dataclass(frozen=True)
class AppliedNorm:
    """A norm as it acted in one run.

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
        Module path of the attention module, and how often it had been called before in this run (shared layers).
    call
        Weights, values and output.
    cross
        True where sources and targets are different sequences: a target's own vector isn't among its sources.
    other
        True where the sources come from another sequence that the module was given, and not from the targets' own.
    medium
        What its targets stand for.
    gate
        What attention's output is multiplied with before the output projection, ``(batch, target, head * head_dim)``.
    head_norm
        A norm between attention and the output projection, or None.
    projection, bias
        Output projection ``(head * head_dim, d)`` and its bias ``(d,)`` or None.
    projected
        What the projection produced, ``(batch, target, d)``.
    steps
        Multipliers and norms between the projection and the residual sum, in order.
    left_out
        What was added besides the residual stream (the feed-forward part of a parallel block), or None.
    own, summed
        The residual stream's vector, and its sum with the attention output, ``(batch, target, d)``.
    outer_norm
        The norm that takes the sum, and nothing else does (post-norm blocks).
    obstacle
        Why the trace ended where it ended.
    layer
        The call of the layer that the block is in; known when that has ended, where it is asked for.
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
class BlockAnatomy:
    """What one attention block of a model looks like: data, found once per model by running it.

    Attributes
    ----------
    path, occurrence
        As in :class:`Block`.
    group
        "encoder" (every source visible), "decoder" (causal) or "cross".
    family
        "post-norm", "pre-norm", "sandwich", "parallel", or "bare" where no residual sum was found.
    scopes
        The scopes that exist and are measured.
    obstacle
        Why there are no more, for the scopes that a family should have.
    targets, sources
        Lengths of the two sequences in the run that was watched.
    sinks
        Whether the rows of α sum to less than one, because a sink without a vector takes the rest.
    layer
        Where the layer goes on behind the block; None if it wasn't asked for, or there is none.
    medium
        What its targets stand for: tokens, patches, frames.
    beyond
        Why there is none, or why a scope is missing there.
    """

    path: str
    occurrence: int
    group: str
    family: str
    scopes: tuple[AttentionScope, ...]
    obstacle: str
    targets: int
    sources: int
    sinks: bool
    layer: LayerAnatomy | None = None
    beyond: str = ""
    medium: Medium = "text"


def describe(block: Block) -> BlockAnatomy:
    """The anatomy of a block whose model has run to the end."""
    scopes = block.reached()
    if "residual" not in scopes:
        family = "bare"
    elif block.left_out is not None:
        family = "parallel"
    elif any(isinstance(step, AppliedNorm) for step in block.steps):
        family = "sandwich"
    else:
        family = "post-norm" if "layernorm" in scopes else "pre-norm"
    targets, sources = block.call.output.shape[1], block.call.value.shape[2]
    weights = block.call.rows(0, targets)
    group, sinks = _group(block), has_sinks(weights, weights.dtype)
    known = (block.path, block.occurrence, group, family, scopes, block.obstacle, targets, sources, sinks)
    return BlockAnatomy(*known, medium=block.medium)


def has_sinks(
    weights: Float[Tensor, "batch head target source"],
    dtype: torch.dtype,
    valid: Bool[Tensor, "batch target"] | None = None,
) -> bool:
    """Whether some row of α misses more than rounding in ``dtype`` explains; ``valid`` targets only, if given."""
    missing = 1 - working_precision(weights).sum(-1)
    rows = missing if valid is None else missing.transpose(1, 2)[valid]
    return bool((rows > max(1e-4, 5 * torch.finfo(dtype).eps)).any())


def _group(block: Block) -> str:
    if block.cross and block.other:
        return "cross"
    parts = block.path.split(".")
    if "decoder" in parts:
        return "decoder"
    weights = block.call.rows(0, block.call.output.shape[1])
    if weights.shape[-1] > 1:
        return "encoder" if bool(weights.triu(1).any()) else "decoder"
    return "decoder" if getattr(block.call.module, "is_causal", False) is True else "encoder"


def require_attention_scope(blocks: Sequence[BlockAnatomy], model: nn.Module, missed: Sequence[str] = ()) -> None:
    """Refuse a model in which some attention block can't be measured even at scope ``attention``.

    Parameters
    ----------
    blocks
        What was heard.
    model
        The model, for the message.
    missed
        Modules that took a softmax whose product with values wasn't recognised.

    Raises
    ------
    UnsupportedArchitecture
        Naming the first such module and what stands in the way; also when no attention was heard at all.
    """
    if not blocks and missed:
        raise UnsupportedArchitecture(
            f"{missed[0]} takes a softmax, but doesn't multiply it with value vectors as a map of target by source; "
            f"attention in blocks, windows or low rank isn't measured. {type(model).__name__} has no other attention."
        )
    if not blocks:
        raise NoAttentionHeard(
            f"No attention was heard while {type(model).__name__} ran: no softmax of its own was seen, so it has no softmax "
            "attention, or computes it in a fused kernel. Choose a Transformer whose eager attention takes a softmax."
        )
    for block in blocks:
        if not block.scopes:
            raise UnsupportedArchitecture(
                f"{block.path} ({type(model).__name__}): {block.obstacle}; expected a linear output projection. "
                "Its contributions can't be measured exactly by the fast path."
            )


_NORM_MISFIT = {torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""How far a norm's output may be from its form, relative to its size; 1e-3 in full precision."""


def identify_norm(module: nn.Module, before: Tensor, after: Tensor, dtype: torch.dtype = torch.float32) -> NormForm:
    """Find out what a norm module computes by holding the possible forms against what it did.

    Parameters
    ----------
    module
        A LayerNorm or RMSNorm of any spelling: with or without gain, shift, centring; gain ``w`` or ``1 + w``.
    before, after
        Its input and output, ``(..., d)``, at least float32.
    dtype
        In which the module computed them, which says how much is rounding.

    Raises
    ------
    UnsupportedArchitecture
        If no form gives the module's output.
    """
    parameters = dict(module.named_parameters(recurse=False))
    ones = torch.ones_like(before[..., 0, :].reshape(-1, before.shape[-1])[0])
    weight = next((p for n, p in parameters.items() if n in ("weight", "gamma", "scale", "g")), None)
    shift = next((p for n, p in parameters.items() if n in ("bias", "beta", "b") and p is not None), None)
    if any(p.shape != ones.shape for p in (weight, shift) if p is not None):
        raise UnsupportedArchitecture(
            f"{type(module).__name__} has parameters of shape {[tuple(p.shape) for p in parameters.values()]}; a norm "
            f"over {ones.shape[0]} dimensions was expected."
        )
    gains = [ones] if weight is None else [weight.detach().to(ones), 1 + weight.detach().to(ones), ones]
    beta = torch.zeros_like(ones) if shift is None else shift.detach().to(ones)
    forms = [NormForm(gain, beta, centred) for gain in gains for centred in (False, True)]
    errors = [_misfit(form, *(_some_rows(x) for x in (before, after))) for form in forms]
    best = min(range(len(forms)), key=errors.__getitem__)
    if errors[best] > _NORM_MISFIT.get(dtype, 1e-3):
        raise UnsupportedArchitecture(
            f"{type(module).__name__} is no LayerNorm or RMSNorm that normlens knows: the closest form misses its "
            f"output by {errors[best]:.1e} of its size."
        )
    return forms[best]


def _some_rows(x: Float[Tensor, "*rows d"]) -> Float[Tensor, "row d"]:
    """At most 32 rows from all over ``x``; all rows are held to the norm's form by the conservation error."""
    rows = x.reshape(-1, x.shape[-1])
    return rows[:: max(1, len(rows) // 16)]


def _misfit(form: NormForm, before: Tensor, after: Tensor) -> float:
    gap = form.apply(before, form.row_scale(before, after)) - after
    size = (after - form.shift).norm() + torch.finfo(after.dtype).tiny
    return float(gap.norm() / size)


def working_precision(x: Tensor) -> Tensor:
    """``x`` detached, in float32 at least: the algebra never runs in half precision."""
    x = x.detach()
    return x if x.dtype == torch.float64 else x.float()
