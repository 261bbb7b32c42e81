"""Push forward through a segment of a model: contribution vectors at its input become those at its output."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from normlens.engine.frozen.call import Product
from normlens.engine.frozen.directions import Forward
from normlens.engine.frozen.pushforward import DEFAULT_CHUNK, PushForward, require_chunk_size, unpacked
from normlens.engine.frozen.run import frozen_run
from normlens.engine.frozen.scalar import require
from normlens.engine.locks import dual_level
from normlens.engine.precision import full_precision
from normlens.errors import InvalidInput


def push_through(
    model: PreTrainedModel,
    segment: Callable[[Float[Tensor, "batch target d"]], Float[Tensor, "batch target e"]],
    x: Float[Tensor, "batch target d"],
    vectors: Float[Tensor, "batch target source d"],
    *,
    chunk_size: int = DEFAULT_CHUNK,
    product: Product = "half",
) -> PushForward:
    """Push contribution vectors through a segment of a model.

    Parameters
    ----------
    model
        The model that contains the segment.
    segment
        A function from hidden states to hidden states, such as ``lambda x: layer.mlp(layer.norm(x))``.
    x
        The segment's input in the model's own run, at which its factors are frozen, ``(batch, target, d)``.
    vectors
        Contributions to x, ``(batch, target, source, d)``; the remainder of x is added to the bias.
    chunk_size
        Number of sources to push at a time.
    product
        As in :func:`normlens.engine.frozen.pull_back`.

    Raises
    ------
    UnknownOperation
        If the segment applies an operation to a live tensor that is not on the closed list.
    ConservationError
        If vectors and bias don't add up to the segment's output.
    InvalidInput
        If ``x`` and ``vectors`` don't fit each other, the segment returns no tensor, or an option is unknown.
    """
    require_chunk_size(chunk_size)
    _require_fit(x, vectors)
    batch, count = x.shape[0], vectors.shape[2]

    def through(start: int, stop: int) -> Tensor:
        seeds = vectors[:, :, start:stop].movedim(2, 1).flatten(0, 1)
        points = x.repeat_interleave(stop - start, 0)
        _, derivative = _segment_run(model, segment, points, Forward(lambda g, v: seeds), product)
        return derivative.reshape(batch, stop - start, *derivative.shape[1:]).movedim(1, 2)

    rest = Forward(lambda g, v: x - vectors.sum(2), follow_constants=True)
    output, bias = _segment_run(model, segment, x, rest, product)
    chunks = [through(start, min(start + chunk_size, count)) for start in range(0, count, chunk_size)]
    result = PushForward(torch.cat(chunks, dim=2), output, bias, (("", count),))
    require(model, "the contributions at a segment's output and that output", float(result.conservation_error.max()))
    return result


@full_precision()
def _segment_run(
    model: PreTrainedModel, segment: Callable[[Tensor], Tensor], x: Tensor, direction: Forward, product: Product
) -> tuple[Tensor, Tensor]:
    with (
        torch.no_grad(),
        frozen_run(model, direction, batch=len(x), product=product, sources=(), unfrozen=lambda: segment(x)) as run,
        dual_level(),
    ):
        with run.mode:
            result = segment(run.admit("", x, -1))
        if not isinstance(result, Tensor):
            raise InvalidInput(
                f"The segment returned a {type(result).__name__}; hidden states, a single tensor, were expected. Select "
                "them from the module's output, as in lambda x: layer(x)[0]."
            )
        return unpacked(result, direction)


def _require_fit(x: Tensor, vectors: Tensor) -> None:
    fits = x.ndim == 3 and vectors.ndim == 4 and (*vectors.shape[:2], vectors.shape[3]) == x.shape
    if not fits or not vectors.shape[2]:
        raise InvalidInput(
            f"x has shape {tuple(x.shape)} and vectors {tuple(vectors.shape)}; expected (batch, target, d) and (batch, "
            "target, source, d) with at least one source. Take both from one push_forward: its output and its vectors."
        )
