"""Which k sources a target keeps: by a measure, or by one of two baselines that measure nothing."""

from __future__ import annotations

import operator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from normlens.engine.contributions.vector_norms import split_projection
from normlens.engine.precision import without_autocast
from normlens.errors import InvalidInput

MEASURES = ("weight", "norm", "displacement", "joint")
"""What sources are chosen by: α; α‖f(x)‖; α‖f(x) − o‖, o being the head's output; all k of them together, by ‖o − o_S‖."""

UNIT_MEASURES = ("weight", "norm")
"""What the units of a feed-forward layer are ranked by: |a|; |a|‖w‖."""

KEPT = ("largest", "random", "recent")
"""Which sources are kept: the largest by a measure; random ones; those nearest to the target."""


def checked_numbers(k: Any, chunk_size: Any) -> int | None:
    """Check both numbers, and return k as an ``int`` (None: every source).

    Raises
    ------
    InvalidInput
        If k or the chunk size isn't a positive integer.
    """
    for name, number in (("k", k), ("chunk_size", chunk_size)):
        if name == "k" and number is None:
            continue
        whole = hasattr(number, "__index__") and not isinstance(number, (bool, Tensor))
        if not whole or operator.index(number) < 1:
            every = ", or None for every source" if name == "k" else ""
            raise InvalidInput(f"{name} must be a positive integer{every}, got {number!r} ({type(number).__name__}).")
    return None if k is None else operator.index(k)


def criterion_of(measure: Any, keep: Any = "largest", measures: tuple[str, ...] = MEASURES) -> str:
    """What ranks the sources: the measure for the largest ones, otherwise the name of the baseline, which measures nothing.

    Raises
    ------
    InvalidInput
        If there is no such measure or baseline, or a baseline is combined with a measure, which would have no effect.
    """
    if measure not in measures:
        raise InvalidInput(f"measure must be one of {', '.join(measures)}, got {measure!r}.")
    if keep not in KEPT:
        raise InvalidInput(f"keep must be one of {', '.join(KEPT)}, got {keep!r}.")
    if keep != "largest" and measure != MEASURES[0]:
        raise InvalidInput(
            f"keep={keep!r} ranks no sources, so measure={measure!r} has no effect. Leave one of them out."
        )
    criterion: str = measure if keep == "largest" else keep
    return criterion


def chosen_sources(
    scores: Float[Tensor, "batch head rows span"],
    k: int,
    criterion: str,
    log_norms: Float[Tensor, "batch head span"] | Float[Tensor, "batch head rows span"] | None,
    positions: Int[Tensor, " rows"],
    generator: torch.Generator | None,
) -> Int[Tensor, "batch head rows k"]:
    """Indices of the k sources that each target keeps, in no particular order.

    Masked sources (score −∞) come last: a row with fewer than k others is filled up with them, and their weight is
    zero.

    Parameters
    ----------
    scores
        Scores of a chunk of targets; source 0 of this span is position 0.
    k
        At most the number of sources.
    criterion
        From `criterion_of`.
    log_norms
        log‖f(x)‖, for the norm: score + log‖f(x)‖ ranks like α‖f(x)‖, since a row has one denominator. Likewise
        log‖f(x) − o‖ of every target, for the displacement.
    positions
        The position of each target among the sources, for the most recent ones.
    generator
        For random ones.
    """
    if criterion == "weight":
        ranking = scores
    elif criterion in ("norm", "displacement"):
        assert log_norms is not None
        ranking = scores + (log_norms.unsqueeze(-2) if log_norms.ndim == 3 else log_norms)
    else:
        ranking = _random(scores, generator) if criterion == "random" else _nearness(scores, positions)
        ranking = ranking.masked_fill(scores == -torch.inf, -torch.inf)
    return ranking.topk(k, dim=-1, sorted=False).indices


def _random(scores: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(scores.shape, generator=generator, device=scores.device)


def _nearness(scores: Tensor, positions: Tensor) -> Tensor:
    """−distance; of two equally distant sources, the earlier one counts as nearer."""
    distance = positions[:, None] - torch.arange(scores.shape[-1], device=scores.device)
    return -torch.where(distance < 0, 0.25 - distance, distance.to(scores.dtype)).expand(scores.shape)


@without_autocast()
def projection_factors(
    projection: Float[Tensor, "heads_x_head_dim d"], heads: int
) -> Float[Tensor, "head head_dim head_dim"]:
    """R_h with ‖v W_O^h‖ = ‖v R_hᵀ‖ for every v: the triangular factors of the W_O^hᵀ.

    Norms through them cost head_dim² per source and head instead of head_dim · d, and lose no digits (the Gram matrix
    W_O W_Oᵀ would, where a value vector is nearly annihilated).
    """
    factors: Tensor = torch.linalg.qr(split_projection(projection, heads).transpose(-1, -2), mode="r").R
    return factors


@without_autocast()
def log_vector_norms(
    value: Float[Tensor, "batch kv_head source head_dim"], factors: Float[Tensor, "head rank head_dim"]
) -> Float[Tensor, "batch head source"]:
    """log‖f^h(x_j)‖ from value vectors, ``(batch, head, source)``; finite even if f(x) is zero.

    Parameters
    ----------
    value
        Value vectors, value bias included.
    factors
        As `projection_factors` returns them.
    """
    batch, kv_heads, sources, _ = value.shape
    heads = len(factors)
    norms = value.new_empty(batch, kv_heads, heads // kv_heads, sources, dtype=factors.dtype)
    working = value.detach().to(factors.dtype)
    for h, factor in enumerate(factors):
        group, member = divmod(h, heads // kv_heads)
        torch.linalg.vector_norm(working[:, group] @ factor.T, dim=-1, out=norms[:, group, member])
    return norms.view(batch, heads, sources).clamp_min_(torch.finfo(norms.dtype).tiny).log_()
