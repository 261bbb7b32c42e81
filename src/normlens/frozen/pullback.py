"""Pull back: one backward pass splits a scalar into one signed share per source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from normlens.errors import InvalidInput
from normlens.frozen.directions import Backward
from normlens.frozen.rules import Product
from normlens.frozen.running import Site, frozen_run

Scalar = Callable[[Any], Float[Tensor, " batch"]]


@dataclass(frozen=True)
class PullBack:
    """A scalar, split over the sources.

    Attributes
    ----------
    value
        The scalar of every row of the batch, bit for bit as the model computes it with eager attention, ``(batch,)``.
    shares
        ⟨∂value/∂x_j, x_j⟩ of every source j, ``(batch, source)``, in float64.
    bias_share
        What belongs to no source: value − Σ_j shares, ``(batch,)``.
    groups
        Label and number of sources of each place where sources enter, in the order of ``shares``; an encoder-decoder
        has two.
    conservation_error
        |Σ shares + Σ_b ⟨∂value/∂b, b⟩ − value| / (Σ|shares| + |bias share|), where b runs over all constants that are
        added on the way (biases, position embeddings, literals): the bias share measured as a derivative, not as the
        remainder. Biases are shared by the rows of a batch, so this is one number for the batch.
    """

    value: Float[Tensor, " batch"]
    shares: Float[Tensor, "batch source"]
    bias_share: Float[Tensor, " batch"]
    groups: tuple[tuple[str, int], ...]
    conservation_error: float

    def by_group(self) -> dict[str, Float[Tensor, "batch source"]]:
        """The shares of each group of sources by its label."""
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
    """Split a scalar of the model's output exactly into one signed share per source."""
    direction = Backward()
    with torch.enable_grad(), frozen_run(
        model, direction, batch=batch_size(inputs), product=product, sources=sources
    ) as run:
        output = run(inputs)
        with run.mode:
            value = scalar(output)
    if not value.requires_grad:
        raise InvalidInput("no share")
    anchors = [*direction.leaves, *(leaf for leaf, _ in direction.constants)]
    gradients = torch.autograd.grad(value.sum(), anchors, allow_unused=True)
    count = len(direction.leaves)
    shares = torch.cat(
        [
            torch.zeros(group.value.shape[:2], dtype=torch.float64) if g is None else (g.double() * group.value.double()).sum(-1)
            for g, group in zip(gradients, direction.groups, strict=False)
        ],
        dim=1,
    )
    bias = 0.0
    for g, (_, contribution) in zip(gradients[count:], direction.constants, strict=True):
        if g is not None:
            dt = torch.complex128 if g.is_complex() else torch.float64
            t = torch.where(g == 0, 0, g.to(dt).conj() * contribution.to(dt)).sum()
            bias += float(t.real)
    value = value.detach().double()
    bias_share = value - shares.sum(1)
    error = abs(float(shares.sum()) + bias - float(value.sum())) / float(shares.abs().sum() + bias_share.abs().sum())
    return PullBack(value, shares, bias_share, tuple((g.label, g.value.shape[1]) for g in direction.groups), error)


def batch_size(inputs: Mapping[str, Any]) -> int:
    return next(int(x.shape[0]) for x in inputs.values() if isinstance(x, Tensor))
