"""The measures of a block, returned only if contributions add up and the block is as it was at the inspection."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool
from torch import Tensor

from normlens.engine.contributions.choice import DEFAULT_MEASURES, MeasureName
from normlens.engine.contributions.measure import Measures, PushFunction, check_conservation, measure
from normlens.engine.tracing.anatomy import BlockAnatomy, has_sinks
from normlens.engine.tracing.block import Block
from normlens.errors import ExecutionPathChanged


def checked_measures(
    block: Block,
    anatomy: BlockAnatomy,
    dtype: torch.dtype,
    chunk_size: int | None = None,
    valid: Bool[Tensor, "batch target"] | None = None,
    push: PushFunction | None = None,
    chosen: frozenset[MeasureName] = frozenset(DEFAULT_MEASURES),
) -> Iterator[Measures]:
    """Measure a block, ``chunk_size`` targets at a time (None: all at once).

    Parameters
    ----------
    block, anatomy
        The block as it ran, and as it was at the inspection.
    dtype
        The model's dtype, which sets the tolerance.
    chunk_size
        Number of targets.
    valid
        True for targets that aren't padding; None if there is no padding.
    push
        Pushes contributions through the rest of the layer; None for the attention block only.
    chosen
        Names of measures.

    Raises
    ------
    ConservationError
        If contributions don't add up.
    ExecutionPathChanged
        If there is an attention sink that wasn't there at the inspection.
    """
    for measures in measure(block, anatomy.scopes, chunk_size, anatomy.sinks, push, chosen):
        valid_rows = None if valid is None else valid[:, measures.start : measures.start + measures.weight.shape[2]]
        check_conservation(measures, block.path, dtype, valid_rows)
        if not anatomy.sinks and has_sinks(measures.weight, dtype, valid_rows):
            raise ExecutionPathChanged(
                f"{block.path}: rows of its weights sum to less than one, as with an attention sink; at the inspection "
                "they didn't. Nothing was returned."
            )
        yield measures
