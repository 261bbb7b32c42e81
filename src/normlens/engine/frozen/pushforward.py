"""Push forward: the contribution vectors c_ij of every source at the output of any module.

Forward-mode differentiation, without ``vmap``: the inputs are repeated along the batch axis, and each copy carries the
tangent of one source. Memory is bounded by the number of copies, ``chunk_size``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad
from transformers import PreTrainedModel

from normlens.engine.frozen.call import Product
from normlens.engine.frozen.directions import Forward, tangent
from normlens.engine.frozen.run import frozen_run, require_trained_read, unfrozen
from normlens.engine.frozen.scalar import Scalar, require
from normlens.engine.frozen.sites import Site
from normlens.engine.frozen.sources import batch_size
from normlens.engine.locks import dual_level
from normlens.engine.precision import full_precision
from normlens.errors import InvalidInput

DEFAULT_CHUNK = 32


@dataclass(frozen=True)
class PushForward:
    """An output, split over the sources.

    Attributes
    ----------
    vectors
        c_ij, the contribution of source j to target i's output, ``(batch, target, source, d)``.
    output
        The module's output, Σ_j c_ij + bias_i, ``(batch, target, d)``.
    bias
        The bias, which belongs to no source, from its own derivative, ``(batch, target, d)``.
    groups
        Label and number of sources of each group, in the order of ``vectors``.
    """

    vectors: Float[Tensor, "batch target source d"]
    output: Float[Tensor, "batch target d"]
    bias: Float[Tensor, "batch target d"]
    groups: tuple[tuple[str, int], ...]

    @property
    def conservation_error(self) -> Float[Tensor, "batch target"]:
        """‖Σ_j c_ij + bias_i − output_i‖ / (Σ_j ‖c_ij‖ + ‖bias_i‖), ``(batch, target)``."""
        gap = (self.vectors.sum(-2) + self.bias - self.output).norm(dim=-1)
        scale = self.vectors.norm(dim=-1).sum(-1) + self.bias.norm(dim=-1)
        error: Tensor = gap / scale.clamp_min(torch.finfo(gap.dtype).tiny)
        return error


@dataclass(frozen=True)
class Chunk:
    """The contributions of a range of sources.

    Attributes
    ----------
    start, stop
        The range.
    vectors
        Their c_ij, ``(batch, target, stop - start, d)``.
    """

    start: int
    stop: int
    vectors: Float[Tensor, "batch target chunk d"]


def push_forward(
    model: PreTrainedModel,
    inputs: Mapping[str, Any],
    module: str | Site,
    *,
    chunk_size: int = DEFAULT_CHUNK,
    product: Product = "half",
    sources: str | Site | None = None,
) -> PushForward:
    """Split the output of a module exactly into one vector per source.

    Parameters
    ----------
    model
        Any transformers model, in evaluation mode. It is restored afterwards, also after an error.
    inputs
        The arguments of its forward, tensors of ``batch`` rows.
    module
        Path of the module whose output is split (its last call, if it is called several times), or a :class:`Site`.
    chunk_size
        Number of sources to push at a time.
    product, sources
        As in :func:`normlens.engine.frozen.pull_back`.

    Raises
    ------
    UnknownOperation
        If the model applies an operation to a live tensor that is not on the closed list.
    ConservationError
        If vectors and bias don't add up to the output.
    InvalidInput
        If the model is in training mode or can't read the inputs, no module is called ``module`` or it doesn't run, no
        source enters, or an option is unknown.
    """
    push = Push(model, inputs, module, chunk_size=chunk_size, product=product, sources=sources)
    vectors = torch.cat([chunk.vectors for chunk in push], dim=-2)
    result = PushForward(vectors, push.output, push.bias, push.groups)
    require(model, f"the contributions at {module!r} and its output", float(result.conservation_error.max()))
    return result


class Push:
    """The contributions at one module, one :class:`Chunk` at a time: ``for chunk in Push(model, inputs, module)``.

    Parameters are those of :func:`push_forward`; ``module`` may also be a scalar of the model's output, whose
    contributions are then ``(batch, chunk)``.

    Attributes
    ----------
    output, bias, groups
        As in :class:`PushForward`; available before the first chunk.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        inputs: Mapping[str, Any],
        module: str | Site | Scalar,
        *,
        chunk_size: int = DEFAULT_CHUNK,
        product: Product = "half",
        sources: str | Site | None = None,
    ) -> None:
        self._model, self._inputs, self._module = model, inputs, module
        self._product, self._sources, self._chunk_size = product, sources, chunk_size
        self._batch = batch_size(inputs)
        require_chunk_size(chunk_size)
        direction = Forward(lambda group, x: torch.zeros_like(x), follow_constants=True)
        self.output, self.bias = self._run(direction, 1)
        require_trained_read(model, inputs, module)
        self.groups = direction.sizes()
        if not self.groups:
            raise InvalidInput(
                f"No source entered at {sources!r}: no floating tensor passed there in this run. Name a module that runs "
                "and returns one, or omit sources to use the embeddings."
            )

    def __iter__(self) -> Iterator[Chunk]:
        count = sum(size for _, size in self.groups)
        for start in range(0, count, self._chunk_size):
            stop = min(start + self._chunk_size, count)
            _, vectors = self._run(Forward(self._one_source_each(start, stop)), stop - start)
            yield Chunk(start, stop, vectors)

    def _one_source_each(self, start: int, stop: int) -> Callable[[int, Tensor], Tensor]:
        """Seeds: copy c of every row carries source start + c, and nothing else."""
        offsets = [sum(size for _, size in self.groups[:g]) for g in range(len(self.groups))]

        def seed(group: int, x: Float[Tensor, "rows source d"]) -> Float[Tensor, "rows source d"]:
            source = torch.arange(start, stop, device=x.device).repeat(self._batch) - offsets[group]
            return x * (source[:, None] == torch.arange(x.shape[1], device=x.device))[..., None]

        return seed

    @full_precision()
    def _run(self, direction: Forward, copies: int) -> tuple[Tensor, Tensor]:
        rows = self._batch * copies
        inputs = {name: repeated(x, self._batch, copies) for name, x in self._inputs.items()}
        options: dict[str, Any] = {"product": self._product, "sources": self._sources}
        with (
            torch.no_grad(),
            frozen_run(self._model, direction, batch=rows, **options, unfrozen=unfrozen(self._model, inputs)) as run,
            dual_level(),
        ):
            value, derivative = unpacked(run.read(inputs, self._module), direction)
        if copies == 1 and direction.follow_constants:
            return value, derivative
        split = derivative.reshape(self._batch, copies, *_per_row(derivative, rows))
        return value, split if split.ndim == 2 else split.movedim(1, -2)


def require_chunk_size(chunk_size: object) -> None:
    """Refuse a chunk size that isn't a positive integer."""
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise InvalidInput(f"chunk_size is {chunk_size!r}; expected a positive integer.")


def unpacked(dual: Tensor, direction: Forward) -> tuple[Tensor, Tensor]:
    """Value and derivative of a dual number. Without a tangent it is a constant, which is all bias and no source."""
    value: Tensor = forward_ad.unpack_dual(dual).primal
    derivative = tangent(dual)
    if derivative is None:
        derivative = value if direction.follow_constants else torch.zeros_like(value)
    return value.clone(), derivative.clone()


def repeated(x: Any, batch: int, copies: int) -> Any:
    """``x`` with every row of the batch repeated ``copies`` times; anything else unchanged."""
    if not isinstance(x, Tensor) or copies == 1 or x.ndim == 0:
        return x
    if batch == 1:
        return x.repeat(copies, *(1,) * (x.ndim - 1))
    return x.repeat_interleave(copies, 0) if x.shape[0] == batch else x


def _per_row(x: Tensor, rows: int) -> tuple[int, ...]:
    """The shape of one row, where rows may have been merged with positions."""
    return tuple(x.shape[1:]) if x.shape[0] == rows else (x.shape[0] // rows, *x.shape[1:])
