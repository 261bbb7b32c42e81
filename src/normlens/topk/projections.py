"""The output projections behind a model's attention, found by watching a model run: what ‖f(x)‖ is measured with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.anatomy import Block, working_precision
from normlens.capture import capturing
from normlens.errors import UnsupportedArchitecture
from normlens.precision import full_precision
from normlens.topk.selection import log_vector_norms, projection_factors
from normlens.tracing import Tracer


class Projection:
    """An output projection W_O, and the triangular factors of its heads' parts.

    Parameters
    ----------
    weight
        W_O as it was when the model was watched, ``(head * head_dim, d)``.
    heads
        Number of query heads.
    parameters
        Among which the one is found that the projection comes from, so that factors follow its updates.
    """

    def __init__(self, weight: Float[Tensor, "heads_x_head_dim d"], heads: int, parameters: Iterator[Tensor]) -> None:
        self._heads, self._weight, self._transposed = heads, weight, False
        for parameter in parameters:
            for transposed in (False, True):
                seen = parameter.T if transposed and parameter.ndim == 2 else parameter
                if seen.shape == weight.shape and torch.equal(working_precision(seen), weight):
                    self._weight, self._transposed = parameter, transposed
        self._known: tuple[tuple[int, torch.device], Tensor] | None = None

    def factors(self) -> Float[Tensor, "head rank head_dim"]:
        """The factors of the projection as it is now."""
        state = (self._weight._version, self._weight.device)
        if self._known is None or self._known[0] != state:
            weight = self._weight.T if self._transposed else self._weight
            self._known = state, projection_factors(working_precision(weight), self._heads)
        return self._known[1]

    def log_norms(self, value: Float[Tensor, "batch kv_head source head_dim"]) -> Float[Tensor, "batch head source"]:
        """log‖f(x)‖ of every source and head, from value vectors (cached ones too)."""
        with torch.no_grad():
            return log_vector_norms(value, self.factors())


@full_precision()
def find_projections(part: PreTrainedModel, inputs: dict[str, Any]) -> dict[nn.Module, Projection]:
    """Run a model once and note the projection behind each attention module.

    Parameters
    ----------
    part
        A model or a part of one, in evaluation mode.
    inputs
        Keyword arguments for it.

    Raises
    ------
    UnsupportedArchitecture
        If a gate, a norm or something unknown comes between attention and its projection.
    """
    tracer = Tracer(part, on_block=lambda block: None, complete=lambda block: False)
    with torch.no_grad(), capturing(part, tracer.hear), tracer.watching():
        part(**inputs)
    return {block.call.module: _projection_of(block, part) for block in tracer.open_blocks}


def _projection_of(block: Block, part: nn.Module) -> Projection:
    if block.projection is None or block.gate is not None or block.head_norm is not None:
        between = "a gate or a norm comes between attention and its projection"
        raise UnsupportedArchitecture(
            f"{block.path}: {block.obstacle if block.projection is None else between}, so sources have no norm ‖f(x)‖ "
            "that is the same for all targets. Choose them by='weight' instead."
        )
    return Projection(block.projection, block.call.output.shape[2], part.parameters())
