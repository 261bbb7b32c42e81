"""DecompX averaged: frozen gradients at several points on the way from a text that says nothing to the text itself.

DecompX holds attention weights, σ and gains as they are in the whole text. Here they are taken at several points of the
straight way x′ + t (x − x′) of the embeddings, and the gradients of these frozen models are averaged:

    share_j = ⟨x_j − x′_j, Σ_k w_k ∂s/∂x_j (frozen at t_k)⟩,

with t_k and w_k of Gauss–Legendre on [0, 1]. Special tokens stay as they are on the whole way and get no share.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from normlens.attribution.embedded import Embedded
from normlens.attribution.integrated_gradients import baseline_of
from normlens.attribution.registry import Request
from normlens.attribution.result import shares
from normlens.attribution.subject import Subject
from normlens.attribution.targets import BatchTarget
from normlens.errors import InvalidInput
from normlens.frozen.call import Product
from normlens.frozen.directions import Backward
from normlens.frozen.running import frozen_run
from normlens.frozen.sites import hooked
from normlens.frozen.sources import source_modules
from normlens.frozen.tolerance import require

Vectors = list[Float[Tensor, "batch source d"]]


def averaged_shares(target: BatchTarget, request: Request) -> list[xr.DataArray]:
    """Signed shares, ``(source,)``, of every text.

    Parameters
    ----------
    target
        What is explained.
    request
        With the options ``steps``, the number of points, and ``baseline``, where the way begins, as for integrated
        gradients.

    Raises
    ------
    InvalidInput
        If ``steps`` is no number from 1, or there is no such baseline.
    """
    steps, baseline = request.options["steps"], request.options["baseline"]
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InvalidInput(
            f"steps is {steps!r}; expected a whole number of points on the way, at least 1; None for none."
        )
    subject, function = target.subject, Embedded.of(target)
    distances = [
        x - _kept_where_special(subject, function.groups, place, baseline_of(subject, x, baseline), x)
        for place, x in enumerate(function.vectors)
    ]
    found, error = torch.zeros(()), 0.0
    for point, weight in zip(*_gauss_legendre(steps), strict=True):
        there = [x - (1 - point) * away for x, away in zip(function.vectors, distances, strict=True)]
        gradients, gap = _frozen_gradients(target, there, request.product)
        parts = [(g * away).double().sum(-1) for g, away in zip(gradients, distances, strict=True)]
        found, error = found + weight * torch.cat(parts, dim=1), max(error, gap)
    values = target.value(subject.output).double()
    rule = f"product: {request.product}; averaged over {steps} frozen models on the way from the baseline {baseline!r}"
    texts = range(len(subject))
    return [_one(target, text, function.groups, found[text], (float(values[text]), rule, error)) for text in texts]


def _one(
    target: BatchTarget,
    text: int,
    groups: tuple[tuple[str, int], ...],
    found: Float[Tensor, " source"],
    known: tuple[float, str, float],
) -> xr.DataArray:
    """The shares of one text."""
    value, rule, error = known
    parts = target.subject.sources(text, groups)
    kept = torch.cat([found[where] for _, _, where in parts])
    attrs = {
        "target": target.names[text],
        "value": value,
        "bias_share": value - float(kept.sum()),
        "conservation_error": error,
        "rule": rule,
        "linear_form": "averaged",
    }
    return shares(kept.cpu(), [(side, tokens) for side, tokens, _ in parts], attrs)


def _kept_where_special(
    subject: Subject, groups: tuple[tuple[str, int], ...], place: int, start: Tensor, x: Tensor
) -> Float[Tensor, "batch source d"]:
    """Where the way begins: ``start``, but ``x`` itself at special tokens."""
    kept = start.clone()
    for text in range(len(subject)):
        _, tokens, _ = subject.sources(text, groups)[place]
        special = torch.tensor(np.flatnonzero(tokens.special), device=x.device)
        kept[text, special] = x[text, special]
    return kept


def _frozen_gradients(target: BatchTarget, vectors: Vectors, product: Product) -> tuple[Vectors, float]:
    """Gradients of the model that is frozen where these vectors enter, and how far it is from adding up there."""
    subject = target.subject
    direction = Backward(len(subject))
    with (
        torch.enable_grad(),
        _entering(subject.model, vectors),
        frozen_run(subject.model, direction, batch=len(subject), product=product) as run,
    ):
        value = run.read(subject.inputs, target.linear)
    constants = [contribution for _, contribution in direction.constants]
    leaves = [*direction.leaves, *(leaf for leaf, _ in direction.constants)]
    gradients = torch.autograd.grad(value, leaves, torch.ones_like(value), allow_unused=True)
    count = len(vectors)
    known = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients[:count], vectors, strict=True)]
    split = torch.cat([(g * x).double().sum(-1).flatten() for g, x in zip(known, vectors, strict=True)])
    rest = sum(_inner(g, x) for g, x in zip(gradients[count:], constants, strict=True))
    left = float(split.sum() + rest - value.detach().double().sum())
    gap = abs(left) / max(float(split.abs().sum()) + abs(float(rest)), torch.finfo(torch.float64).tiny)
    require(subject.model, "the shares with the biases' and the value", gap)
    return known, gap


def _inner(gradient: Tensor | None, x: Tensor) -> Tensor:
    """⟨gradient, x⟩ in float64; where there is no gradient, nothing, even if x is infinite."""
    if gradient is None:
        return torch.zeros((), dtype=torch.float64, device=x.device)
    return torch.where(gradient == 0, 0, gradient.double() * x.double()).sum()


@contextmanager
def _entering(model: nn.Module, vectors: Vectors) -> Iterator[None]:
    """Let these vectors enter instead of the model's own, in the order of their places."""
    left = list(vectors)
    with ExitStack() as stack:
        for module in source_modules(model):
            stack.enter_context(hooked(module, "output", lambda x, channel: left.pop(0).clone()))
        yield


def _gauss_legendre(steps: int) -> tuple[list[float], list[float]]:
    """Points in (0, 1) and their weights."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    return ((points + 1) / 2).tolist(), (weights / 2).tolist()
