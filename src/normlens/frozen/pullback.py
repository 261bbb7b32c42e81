"""Pull back: one backward pass splits a scalar into one signed share per source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from normlens.errors import InvalidInput
from normlens.frozen.call import Product
from normlens.frozen.directions import Backward
from normlens.frozen.running import frozen_run
from normlens.frozen.sites import Site
from normlens.frozen.sources import batch_size
from normlens.frozen.tolerance import Scalar, check_value_once, require


@dataclass(frozen=True)
class PullBack:
    """A scalar, split over the sources.

    Attributes
    ----------
    value
        The scalar of every row of the batch, as the model computes it with eager attention, ``(batch,)``, float64.
    shares
        ⟨∂value/∂x_j, x_j⟩ of every source j, ``(batch, source)``, float64.
    bias_share
        What belongs to no source: value − Σ_j shares, ``(batch,)``.
    groups
        Label and number of sources of each place where sources enter, in the order of ``shares``; an encoder-decoder
        has two.
    conservation_error
        |Σ_j shares + Σ_b ⟨∂value/∂b, b⟩ − value| / (Σ_j |shares| + |bias share|), where b runs over all constants that
        are added on the way (biases, position embeddings, literals): here the bias share is measured as a derivative,
        not taken as the remainder. The rows of a batch share their biases, so this is one number for the batch.
    """

    value: Float[Tensor, " batch"]
    shares: Float[Tensor, "batch source"]
    bias_share: Float[Tensor, " batch"]
    groups: tuple[tuple[str, int], ...]
    conservation_error: float

    @property
    def scale(self) -> Float[Tensor, " batch"]:
        """Σ_j |shares| + |bias share|, what errors are relative to, ``(batch,)``."""
        return self.shares.abs().sum(1) + self.bias_share.abs()

    def by_group(self) -> dict[str, Float[Tensor, "batch source"]]:
        """The shares of each group of sources, by its label."""
        parts = self.shares.split([count for _, count in self.groups], dim=1)
        return {label: part for (label, _), part in zip(self.groups, parts, strict=True)}


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
        Any transformers model, in evaluation mode. It is put back as it was, also after an error.
    inputs
        What its forward takes, tensors of ``batch`` rows.
    scalar
        From the model's output to one number per row, ``(batch,)``: linear functions, such as a difference of two
        logits. It runs under the same rules as the model.
    product
        The derivative of a product of two live factors: half to each, or all to the first or the second.
    sources
        None for the embeddings (patches, audio frames); or a module path, whose output is then the source, or a
        :class:`Site`.

    Raises
    ------
    UnknownOperation
        If the model does something to a live tensor that is not on the closed list.
    ConservationError
        If shares and biases don't add up to the value, or (on first use of a model) the value isn't the unfrozen
        model's.
    InvalidInput
        If the scalar depends on no source.

    Notes
    -----
    The frozen model is affine in its sources, value = Σ_j ⟨∂value/∂x_j, x_j⟩ + bias share; see
    :mod:`normlens.frozen.operations` for what is held fixed.
    """
    result = split(model, inputs, scalar, product=product, sources=sources)
    require(model, "the shares with the biases' and the value", result.conservation_error)
    check_value_once(model, inputs, scalar, result.value, result.scale)
    return result


def split(
    model: PreTrainedModel, inputs: Mapping[str, Any], scalar: Scalar, *, product: Product, sources: str | Site | None
) -> PullBack:
    """:func:`pull_back` without its checks."""
    direction = Backward()
    batch = batch_size(inputs)
    with torch.enable_grad(), frozen_run(model, direction, batch=batch, product=product, sources=sources) as run:
        value = run.read(inputs, scalar)
    if value.shape != (batch,):
        raise InvalidInput(f"The scalar has shape {tuple(value.shape)}; one number per row, ({batch},), was expected.")
    if not value.requires_grad:
        raise InvalidInput(
            f"The scalar depends on none of the sources; those that entered are {direction.sizes()}. "
            "Name the module whose output is the source with sources=, and let the scalar be linear in the output."
        )
    contributions = [*(group.value for group in direction.groups), *(x for _, x in direction.constants)]
    leaves = [*direction.leaves, *(leaf for leaf, _ in direction.constants)]
    gradients = torch.autograd.grad(value, leaves, torch.ones_like(value), allow_unused=True)
    parts = [_inner(g, x) for g, x in zip(gradients, contributions, strict=True)]
    groups = len(direction.groups)
    shares = torch.cat([part.sum(-1) for part in parts[:groups]], dim=1)
    bias = sum(float(part.sum()) for part in parts[groups:])
    return _accounted(value.detach().double(), shares, bias, direction.sizes())


def _inner(gradient: Tensor | None, x: Tensor) -> Tensor:
    """``gradient · x`` element by element in float64; where there is no gradient, nothing, even if x is infinite."""
    if gradient is None:
        return torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    wide = torch.complex128 if x.is_complex() else torch.float64
    return torch.where(gradient == 0, 0, gradient.to(wide).conj() * x.to(wide)).real.double()


def _accounted(
    value: Float[Tensor, " batch"],
    shares: Float[Tensor, "batch source"],
    bias: float,
    groups: tuple[tuple[str, int], ...],
) -> PullBack:
    bias_share = value - shares.sum(1)
    gap = abs(float(shares.sum()) + bias - float(value.sum()))
    scale = float(shares.abs().sum() + bias_share.abs().sum())
    return PullBack(value, shares, bias_share, groups, gap / scale if scale else 0.0)
