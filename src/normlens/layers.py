"""The layer that an attention block is in, and where it goes on behind the block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from normlens.scopes import BlockScope


@dataclass(frozen=True)
class LayerCall:
    """One call of the layer that an attention block is in, as the model made it.

    Attributes
    ----------
    module
        The layer.
    args, kwargs
        What it was given.
    output
        What it returned.
    held
        What the modules in it returned that attention runs in, by path.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any
    held: Mapping[str, Any]


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
        Those of :data:`normlens.scopes.BLOCK_SCOPES` that exist.
    """

    path: str
    own: str
    held: tuple[str, ...]
    entry: int | None
    scopes: tuple[BlockScope, ...]
