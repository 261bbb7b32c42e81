"""Pull back: one backward pass splits a scalar into one signed share per source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from normlens.engine.frozen.call import Product
from normlens.engine.frozen.directions import Backward
from normlens.engine.frozen.pushforward import Push
from normlens.engine.frozen.run import frozen_run, require_trained_read, unfrozen
from normlens.engine.frozen.scalar import Scalar, check_value_once, require, require_sources
from normlens.engine.frozen.sites import Site
from normlens.engine.frozen.sources import batch_size
from normlens.engine.precision import double, full_precision
from normlens.engine.tolerance import tolerance
from normlens.errors import InvalidInput

Scalars = Callable[[Any], Float[Tensor, " scalar"]]

SMALL = 2**16
"""Constants with at most this many numbers are processed together, larger ones one by one, to bound memory."""


@dataclass(frozen=True)
class PullBack:
    """A scalar, split over the sources.

    Attributes
    ----------
    value
        The scalar of every row of the batch, as the model computes it, ``(batch,)``, float64.
    shares
        ⟨∂value/∂x_j, x_j⟩ of every source j, ``(batch, source)``, float64.
    bias_share
        The share that belongs to no source: value − Σ_j shares, ``(batch,)``.
    groups
        Label and number of sources of each group, in the order of ``shares``; an encoder-decoder has two groups.
    conservation_error
        |Σ_j shares + Σ_b ⟨∂value/∂b, b⟩ − value| / (Σ_j |shares| + |bias share|) of every row, ``(batch,)``, where b runs
        over all constants that the model adds (biases, position embeddings, literals): here the bias share is measured as a
        derivative, not computed as the remainder.
    gradients
        ∂value/∂x_j of the frozen model, ``(batch, source, d)`` for each group.
    """

    value: Float[Tensor, " batch"]
    shares: Float[Tensor, "batch source"]
    bias_share: Float[Tensor, " batch"]
    groups: tuple[tuple[str, int], ...]
    conservation_error: Float[Tensor, " batch"]
    gradients: tuple[Float[Tensor, "batch source d"], ...] = field(repr=False)

    @property
    def largest_conservation_error(self) -> float:
        """The largest conservation error of any row."""
        return float(self.conservation_error.max())

    @property
    def scale(self) -> Float[Tensor, " batch"]:
        """Σ_j |shares| + |bias share|, the reference of relative errors, ``(batch,)``."""
        return self.shares.abs().sum(1) + self.bias_share.abs()

    def by_group(self) -> dict[str, Float[Tensor, "batch source"]]:
        """The shares of each group of sources, by its label."""
        shares = self.shares.split([count for _, count in self.groups], dim=1)
        return {label: x for (label, _), x in zip(self.groups, shares, strict=True)}


def pull_back(
    model: PreTrainedModel,
    inputs: Mapping[str, Any],
    scalar: Scalar,
    *,
    product: Product = "half",
    sources: str | Site | None = None,
) -> PullBack:
    """Split a scalar of the model's output exactly into one signed share per source.

    The model runs once with the data-dependent factors of its non-linear operations held fixed, and one backward pass
    gives every source's share.

    Parameters
    ----------
    model
        Any transformers model, in evaluation mode. It is restored afterwards, also after an error.
    inputs
        The arguments of its forward, tensors of ``batch`` rows.
    scalar
        A linear function from the model's output to one number per row, a tensor ``(batch,)``, such as a difference of
        two logits. It runs under the same rules as the model.
    product
        The derivative of a product of two live factors: half to each, or all to the first or the second.
    sources
        None for the embeddings (patches, audio frames); or a module path, whose output is then the source, or a
        :class:`Site`.

    Raises
    ------
    UnknownOperation
        If the model applies an operation to a live tensor that is not on the closed list.
    ConservationError
        If shares and biases don't add up to the value, all shares are zero, or (on first use of a model) the value isn't
        the unfrozen model's.
    InvalidInput
        If the model is in training mode or can't read the inputs (wrong names, ids outside an embedding, too many
        positions), the scalar isn't one number per row or depends on no source, or ``product`` or ``sources`` is unknown.

    Notes
    -----
    The frozen model is affine in its sources, value = Σ_j ⟨∂value/∂x_j, x_j⟩ + bias share; see
    :mod:`normlens.engine.frozen.operations` for what is held fixed. The backward pass gives every row's bias share as well,
    where rows lie along the first axis of what constants are added to. Where they don't (axes permuted, tokens routed to
    experts), or where a row's error is above the tolerance, the biases are pushed forward in one more run, which separates
    rows in any layout, and its errors are reported.
    """
    result = split(model, inputs, scalar, product=product, sources=sources)
    require(model, "the shares with the biases' and the value", result.largest_conservation_error)
    require_sources(model, result.shares)
    check_value_once(model, inputs, scalar, result.value, result.scale)
    return result


def pull_back_each(
    model: PreTrainedModel, inputs: Mapping[str, Any], scalars: Scalars, *, product: Product = "half"
) -> list[PullBack]:
    """Split several scalars of one output: one frozen run, and one backward pass through it for each scalar.

    Parameters
    ----------
    model, product
        As in :func:`pull_back`.
    inputs
        The arguments of its forward, tensors of one row.
    scalars
        Linear functions from the model's output to one number each, ``(scalar,)``.

    Returns
    -------
    list of PullBack
        One for each scalar, with a batch of one row; ``gradients`` are dropped.

    Raises
    ------
    NormLensError
        As :func:`pull_back`.
    """
    results = split_each(model, inputs, scalars, product=product)
    for result in results:
        require(model, "the shares with the biases' and the value", result.largest_conservation_error)
        require_sources(model, result.shares)
    value = double(torch.stack([result.value for result in results]).sum(0))
    scale = torch.stack([result.scale for result in results]).sum(0)
    check_value_once(model, inputs, lambda output: scalars(output).sum()[None], value, scale)
    return results


@full_precision()
def split_each(
    model: PreTrainedModel, inputs: Mapping[str, Any], scalars: Scalars, *, product: Product
) -> list[PullBack]:
    """:func:`pull_back_each` without its checks."""
    direction, seen = Backward(1), list[Tensor]()

    def total(output: Any) -> Tensor:
        seen[:] = [scalars(output)]
        return seen[0].sum()[None]

    with (
        torch.enable_grad(),
        frozen_run(model, direction, batch=1, product=product, unfrozen=unfrozen(model, inputs)) as run,
    ):
        run.read(inputs, total)
    values = seen[0]
    _require_live(values, direction)
    require_trained_read(model, inputs, total)
    results = []
    for k in range(len(values)):
        shares, measured, _ = _pulled(values[k : k + 1], direction, 1, retain=k + 1 < len(values))
        results.append(_accounted(double(values[k : k + 1].detach()), shares, measured, direction.sizes(), ()))
    return results


@full_precision()
def split(
    model: PreTrainedModel, inputs: Mapping[str, Any], scalar: Scalar, *, product: Product, sources: str | Site | None
) -> PullBack:
    """:func:`pull_back` without its checks."""
    if not callable(scalar):
        raise InvalidInput(
            f"The scalar is a {type(scalar).__name__}; expected a function from the model's output to one number per row, "
            "such as lambda output: output.last_hidden_state[:, -1, 0]."
        )
    batch = batch_size(inputs)
    direction = Backward(batch)
    options: dict[str, Any] = {"product": product, "sources": sources, "unfrozen": unfrozen(model, inputs)}
    with torch.enable_grad(), frozen_run(model, direction, batch=batch, **options) as run:
        value = run.read(inputs, scalar)
    _require_live(value, direction)
    require_trained_read(model, inputs, scalar)
    shares, measured, gradients = _pulled(value, direction, batch)
    result = _accounted(double(value.detach()), shares, measured, direction.sizes(), gradients)
    if batch == 1 or result.largest_conservation_error <= tolerance(model.dtype):
        return result
    pushed = double(Push(model, inputs, scalar, product=product, sources=sources).bias)
    return _accounted(result.value, shares, pushed, direction.sizes(), gradients)


def _require_live(value: Tensor, direction: Backward) -> None:
    if not value.requires_grad:
        raise InvalidInput(
            f"The scalar depends on none of the sources; those that entered are {direction.sizes()}. "
            "Pass sources= with the module whose output is the source, and a scalar that is linear in the output."
        )


def _pulled(
    value: Float[Tensor, " batch"], direction: Backward, batch: int, *, retain: bool = False
) -> tuple[Float[Tensor, "batch source"], Float[Tensor, " batch"], tuple[Tensor, ...]]:
    """One backward pass: the shares, the biases' share as a derivative, and the gradients; the graph may be kept."""
    leaves = [*direction.leaves, *(leaf for leaf, _ in direction.constants)]
    by_leaf = torch.autograd.grad(value, leaves, torch.ones_like(value), retain_graph=retain, allow_unused=True)
    groups, vectors = len(direction.groups), [group.value for group in direction.groups]
    gradients = tuple(torch.zeros_like(x) if g is None else g for g, x in zip(by_leaf[:groups], vectors, strict=True))
    shares = torch.cat([_inner(g, x).sum(-1) for g, x in zip(gradients, vectors, strict=True)], dim=1)
    contributions = [x for _, x in direction.constants]
    return shares, _bias_share(by_leaf[groups:], contributions, batch).to(shares.device), gradients


def _bias_share(gradients: Sequence[Tensor | None], constants: Sequence[Tensor], batch: int) -> Float[Tensor, " batch"]:
    """Σ_b ⟨∂value/∂b, b⟩ of every row, if rows, or rows times positions, lie along the first axis; NaN if they don't."""
    total = double(torch.zeros(batch))
    small: list[tuple[Tensor, Tensor]] = []
    for gradient, x in zip(gradients, constants, strict=True):
        if gradient is None or not gradient.numel():
            continue
        if batch > 1 and (not gradient.ndim or len(gradient) % batch):
            total = total if not _inner(gradient, x).any() else torch.full_like(total, torch.nan)
        elif gradient.numel() > SMALL:
            total = total + _inner(gradient, x).reshape(batch, -1).sum(1).to(total)
        else:
            small.append((gradient.reshape(batch, -1), x.expand_as(gradient).reshape(batch, -1)))
    if not small:
        return total
    joined_gradients, vectors = (torch.cat(rows, dim=1) for rows in zip(*small, strict=True))
    return total + _inner(joined_gradients, vectors).sum(1).to(total)


def _inner(gradient: Tensor, x: Tensor) -> Tensor:
    """``gradient · x`` element by element in float64; zero where the gradient is zero, even if x is infinite."""
    gradient = double(gradient)
    return torch.where(gradient == 0, 0, gradient.conj() * double(x)).real


def _accounted(
    value: Float[Tensor, " batch"],
    shares: Float[Tensor, "batch source"],
    measured: Float[Tensor, " batch"],
    groups: tuple[tuple[str, int], ...],
    gradients: tuple[Tensor, ...],
) -> PullBack:
    """Combine shares and value, and compare the measured bias share with their remainder."""
    bias_share = value - shares.sum(1)
    gap = (measured - bias_share).abs()
    scale = shares.abs().sum(1) + bias_share.abs()
    return PullBack(value, shares, bias_share, groups, torch.where(scale == 0, 0.0, gap / scale), gradients)
