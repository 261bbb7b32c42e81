"""A measure of one head of a block, without the others, where it has the same bits as with them."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from normlens.engine.contributions.affine import affine_maps, heads_of
from normlens.engine.contributions.displacement import HeadMeasure, is_measured_alone, measured_alone
from normlens.engine.contributions.vector_norms import split_projection
from normlens.engine.tracing.block import Block


def single_head(
    block: Block,
    weights: Float[Tensor, "1 1 rows source"],
    head: int,
    rows: slice,
    name: HeadMeasure,
) -> Float[Tensor, "1 1 rows source"] | None:
    """A measure of one head for a slice of targets; None if heads of this size are measured together.

    Parameters
    ----------
    block
        A block of one text.
    weights
        α of these targets.
    head, rows, name
        The head, the targets, and the measure.
    """
    if not is_measured_alone(weights):
        return None
    block = block.up_to("attention")
    maps = affine_maps(block)
    at, heads = maps["attention"], block.call.output.shape[2]
    value = heads_of(block, maps, with_norms=False).value
    gate = None if block.gate is None else block.gate[0, rows].unflatten(-1, (heads, -1))[:, head]
    return measured_alone(
        name,
        weights,
        value[0, head // (heads // value.shape[1])],
        split_projection(at.projection, heads)[head],
        gate,
        at.scale[:, rows] if at.scale.ndim else None,
    )
