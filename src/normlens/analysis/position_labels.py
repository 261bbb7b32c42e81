"""Labels of an attention block's positions: tokens, patches, frames, or else numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.inputs.example import Example
from normlens.inputs.grid_labels import number_positions
from normlens.inputs.media import Medium
from normlens.inputs.tokens import Tokens


def columns_of(side: str, tokens: Tokens, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Coordinates of the positions ``rows`` of a side, "source" or "target"."""
    columns = {
        "": rows, "_token": tokens.labels[rows], "_id": tokens.ids[rows], "_word": tokens.words[rows],
        "_category": tokens.categories[rows], "_start": tokens.offsets[rows, 0], "_end": tokens.offsets[rows, 1],
    }  # fmt: skip
    return {side + suffix: (side, column) for suffix, column in columns.items()}


def source_medium(example: Example, block: BlockAnatomy) -> Medium:
    """The medium of a block's sources: in cross-attention from a text to another input, that input's medium."""
    if block.group != "cross" or block.medium != "text":
        return block.medium
    return "text" if example.target is not None and example.source is not None else example.medium


def labeled(tokens: Tokens | None, length: int, example: Example, medium: Medium) -> Tokens:
    """The tokens themselves, labels of patches or frames, or numbers if the positions can't be identified."""
    if medium == "text":
        return tokens if tokens is not None and len(tokens) == length else number_positions(length)
    return example.label(length) if medium == example.medium else number_positions(length)
