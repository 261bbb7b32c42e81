"""Where the pieces of an attention block sit: output projection, norms, multipliers, residual.

Nothing is looked up by model name. A :class:`Tracer` watches the unmodified model run and follows attention's output
through a closed list of steps: into the output projection, through multipliers and norms, to the sum with the residual
stream and the norm behind it. What it can't follow ends the trace, and the scopes beyond that point are absent, with
the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from normlens.engine.precision import working_precision
from normlens.engine.tracing.block import AppliedNorm, Block
from normlens.engine.tracing.scopes import AttentionScope, BlockScope
from normlens.errors import NoAttentionCaptured, UnsupportedArchitecture
from normlens.inputs.media import Medium


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
        The blocks whose attention was captured.
    model
        The model, for the message.
    missed
        Modules that took a softmax whose product with values wasn't recognized.

    Raises
    ------
    UnsupportedArchitecture
        Naming the first such module and what stands in the way; also if no attention was captured at all.
    """
    if not blocks and missed:
        raise UnsupportedArchitecture(
            f"{missed[0]} takes a softmax, but doesn't multiply it with value vectors as a target-by-source map; "
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
    """Where a layer goes on behind an attention block.

    Attributes
    ----------
    path
        Module path of the layer.
    own
        The module in it that the block's attention runs in.
    held
        All modules in it that attention runs in.
    entry
        Which of the layer's operations, counted from zero, gives the vectors with which the attention block ends (its
        last scope); None if ``own`` returns them.
    scopes
        Those of :data:`normlens.engine.tracing.scopes.BLOCK_SCOPES` that exist.
    """

    path: str
    own: str
    held: tuple[str, ...]
    entry: int | None
    scopes: tuple[BlockScope, ...]
