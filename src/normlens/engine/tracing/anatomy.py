"""The anatomy of an attention block: output projection, norms, multipliers, residual.

Nothing is looked up by model name. A :class:`Tracer` watches the unmodified model run and follows attention's output
through a closed list of steps: into the output projection, through multipliers and norms, to the sum with the residual
stream and the norm of that sum. A step that it can't follow ends the trace; the scopes beyond that point are absent, and
the reason is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from normlens.engine.precision import working_precision
from normlens.engine.tracing.block import AppliedNorm
from normlens.engine.tracing.scopes import AttentionScope, BlockScope
from normlens.engine.tracing.trace import BlockTrace
from normlens.errors import NoAttentionCaptured, UnsupportedArchitecture
from normlens.inputs.media import Medium


@dataclass(frozen=True)
class BlockAnatomy:
    """The structure of one attention block of a model, determined once per model by running it.

    Attributes
    ----------
    path, occurrence
        As in :class:`Block`.
    group
        "encoder" (every source visible), "decoder" (causal) or "cross".
    family
        "post-norm", "pre-norm", "sandwich", "parallel", or "bare" if no residual sum was recognized.
    scopes
        The scopes that exist and are measured.
    obstacle
        Why there are no further scopes.
    targets, sources
        Lengths of the two sequences at inspection.
    heads
        Number of query heads.
    sinks
        Whether the rows of α sum to less than one, because a sink without a vector takes the remainder.
    layer
        Where the layer continues after the block; None if it wasn't requested, or doesn't continue.
    medium
        What its targets represent: tokens, patches, frames.
    beyond
        Why ``layer`` is None, or why it lacks a scope.
    """

    path: str
    occurrence: int
    group: str
    family: str
    scopes: tuple[AttentionScope, ...]
    obstacle: str
    targets: int
    sources: int
    heads: int
    sinks: bool
    layer: LayerAnatomy | None = None
    beyond: str = ""
    medium: Medium = "text"


def describe(block: BlockTrace) -> BlockAnatomy:
    """The anatomy of a block, from its trace after the model's run."""
    scopes = block.reached()
    if "residual" not in scopes:
        family = "bare"
    elif block.other_addend is not None:
        family = "parallel"
    elif any(isinstance(step, AppliedNorm) for step in block.steps):
        family = "sandwich"
    else:
        family = "post-norm" if "layernorm" in scopes else "pre-norm"
    targets, sources = block.call.output.shape[1], block.call.value.shape[2]
    weights = block.call.rows(0, targets)
    group, sinks = _group(block), has_sinks(weights, weights.dtype)
    return BlockAnatomy(
        path=block.path,
        occurrence=block.occurrence,
        group=group,
        family=family,
        scopes=scopes,
        obstacle=block.obstacle,
        targets=targets,
        sources=sources,
        heads=block.call.output.shape[2],
        sinks=sinks,
        medium=block.medium,
    )


def has_sinks(
    weights: Float[Tensor, "batch head target source"],
    dtype: torch.dtype,
    valid: Bool[Tensor, "batch target"] | None = None,
) -> bool:
    """Whether a row of α sums to less than one, beyond rounding in ``dtype``; only ``valid`` targets if not None."""
    missing = 1 - working_precision(weights).sum(-1)
    rows = missing if valid is None else missing.transpose(1, 2)[valid]
    return bool((rows > max(1e-4, 5 * torch.finfo(dtype).eps)).any())


def _group(block: BlockTrace) -> str:
    if block.cross and block.other:
        return "cross"
    if "decoder" in block.path.split("."):
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
        The blocks whose attention was captured.
    model
        The model, for the message.
    missed
        Modules that computed a softmax whose product with values wasn't recognized.

    Raises
    ------
    UnsupportedArchitecture
        Naming the first such module and the obstacle; also if no attention was captured at all.
    """
    if not blocks and missed:
        raise UnsupportedArchitecture(
            f"{missed[0]} computes a softmax, but doesn't multiply it with value vectors as a target-by-source map; "
            f"blockwise, windowed and low-rank attention can't be measured. {type(model).__name__} has no other attention."
        )
    if not blocks:
        raise NoAttentionCaptured(
            f"No attention was captured while {type(model).__name__} ran: no softmax of its own was seen, so it has no "
            "softmax attention, or computes it in a fused kernel. Choose a Transformer whose eager attention uses softmax."
        )
    for block in blocks:
        if not block.scopes:
            raise UnsupportedArchitecture(
                f"{block.path} ({type(model).__name__}): {block.obstacle}; expected a linear output projection. "
                "Its contributions can't be measured exactly."
            )


@dataclass(frozen=True)
class LayerAnatomy:
    """Where a layer continues after an attention block.

    Attributes
    ----------
    path
        Module path of the layer.
    own
        The module in it that contains the block's attention.
    held
        All modules in it that contain attention.
    entry
        The index of the layer's operation that computes the output of the attention block (its last scope), counted from
        zero; None if ``own`` returns it.
    scopes
        Those of :data:`normlens.engine.tracing.scopes.BLOCK_SCOPES` that exist.
    """

    path: str
    own: str
    held: tuple[str, ...]
    entry: int | None
    scopes: tuple[BlockScope, ...]
