"""DecompX averaged: frozen gradients at several points on the path from an uninformative baseline to the text.

DecompX freezes attention weights, σ and gains at their values for the text. Here they are frozen at several points of the
straight path x′ + t (x − x′) of the embeddings, and the gradients of these frozen models are averaged:

    share_j = ⟨x_j − x′_j, Σ_k w_k ∂s/∂x_j (frozen at t_k)⟩,

with the nodes t_k and weights w_k of Gauss–Legendre on [0, 1]. Special tokens stay fixed along the path and get no share.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from normlens.attribution.arrays import Attribution, shares
from normlens.attribution.methods.embedding_function import Embedded, entering
from normlens.attribution.methods.integrated_gradients import baseline_of
from normlens.attribution.registry import Request
from normlens.attribution.subject import Subject
from normlens.attribution.targets.scalars import BatchTarget
from normlens.engine.frozen import pull_back
from normlens.engine.precision import double


def averaged_shares(target: BatchTarget, request: Request) -> list[Attribution]:
    """Signed shares, ``(source,)``, of every text.

    Parameters
    ----------
    target
        What is explained.
    request
        With the options ``steps``, the number of points, and ``baseline``, the start of the path, as for integrated
        gradients.

    Raises
    ------
    InvalidInput
        If the tokenizer has no such token for a baseline.
    """
    steps, baseline = request.options["steps"], request.options["baseline"]
    subject, function = target.subject, Embedded.of(target)
    distances = [
        x - _kept_where_special(subject, function.groups, place, baseline_of(subject, x, baseline, table), x)
        for place, (x, table) in enumerate(zip(function.vectors, function.tables, strict=True))
    ]
    averaged, errors = torch.zeros(()), torch.zeros(())
    for point, weight in zip(*_gauss_legendre(steps), strict=True):
        there = [x - (1 - point) * away for x, away in zip(function.vectors, distances, strict=True)]
        with entering(subject.model, there):
            linear = target.linear if target.whole is None else target.linear_at(_plain_output(subject))
            frozen = pull_back(subject.model, subject.inputs, linear, product=request.product)
        products = [double(g * away).sum(-1) for g, away in zip(frozen.gradients, distances, strict=True)]
        averaged = averaged + weight * torch.cat(products, dim=1)
        errors = torch.maximum(errors, frozen.conservation_error)
    values = double(target.value(subject.output))
    rule = f"product: {request.product}; averaged over {steps} frozen models on the path from the baseline {baseline!r}"
    return [
        _one(target, text, function.groups, averaged[text], (float(values[text]), rule, float(errors[text])))
        for text in range(len(subject))
    ]


def _plain_output(subject: Subject) -> Any:
    with torch.no_grad():
        return subject.run(subject.inputs)


def _one(
    target: BatchTarget,
    text: int,
    groups: tuple[tuple[str, int], ...],
    averaged: Float[Tensor, " source"],
    checks: tuple[float, str, float],
) -> Attribution:
    """The shares of one text."""
    value, rule, error = checks
    placed = target.subject.sources(text, groups)
    kept = torch.cat([averaged[where] for _, _, where in placed])
    attrs = {
        "target": target.names[text],
        "value": value,
        "bias_share": value - float(kept.sum()),
        "conservation_error": error,
        "rule": rule,
        "linear_form": "averaged",
    }
    return shares(kept.cpu(), [(side, tokens) for side, tokens, _ in placed], attrs)


def _kept_where_special(
    subject: Subject, groups: tuple[tuple[str, int], ...], place: int, start: Tensor, x: Tensor
) -> Float[Tensor, "batch source d"]:
    """The start of the path: ``start``, except ``x`` itself at special tokens."""
    kept = start.clone()
    for text in range(len(subject)):
        _, tokens, _ = subject.sources(text, groups)[place]
        special = torch.tensor(np.flatnonzero(tokens.special), device=x.device)
        kept[text, special] = x[text, special]
    return kept


def _gauss_legendre(steps: int) -> tuple[list[float], list[float]]:
    """Points in (0, 1) and their weights."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    return ((points + 1) / 2).tolist(), (weights / 2).tolist()
