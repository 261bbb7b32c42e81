"""Quadratic forms over the heads, a block at a time in buffers that are used again.

Gram matrices G_j of the head vectors come from blocks of sources, the norms √(aᵀ G_j a) from blocks of targets. Head
vectors of all sources, (source, head, d), or products of the size of α would cost more in fresh memory than in
arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.normform import NormForm

_SOURCES = 64  # sources whose head vectors are in memory at a time
_NUMBERS = 2**20  # numbers of weights and products in memory at a time: what a processor's cache holds
_FEWEST_TARGETS = 16
_CANCELLED = 1e-3  # below this share of (Σ_h a_h ‖f_h‖)², aᵀGa has lost too many digits: take ‖Ra‖ instead


@dataclass(frozen=True)
class SourceForms:
    """What is needed of the head vectors once they are gone.

    Attributes
    ----------
    gram
        G_j, ``(batch, source, head, head)``.
    normed
        The Gram matrices behind the linear part of a norm, same shape; None if no norm was given.
    own
        c_jj = Σ_h α_jj^h f^h(x_j), ``(batch, source, d)``; None if no diagonal was given.
    """

    gram: Float[Tensor, "batch source head head2"]
    normed: Float[Tensor, "batch source head head2"] | None
    own: Float[Tensor, "batch source d"] | None


def source_forms(
    value: Float[Tensor, "batch kv_head source head_dim"],
    projection: Float[Tensor, "head head_dim d"],
    norm: NormForm | None = None,
    diagonal: Float[Tensor, "batch source head"] | None = None,
) -> SourceForms:
    """Gram matrices before and behind a norm, and own contributions, with few head vectors in memory at a time.

    With F̄, the head vectors less their means m: F Fᵀ = F̄ F̄ᵀ + d m mᵀ, and behind a LayerNorm of gain g the Gram
    matrices are F̄ diag(g²) F̄ᵀ. One set of vectors gives both, and nothing cancels.

    Parameters
    ----------
    value, projection
        As in :func:`normlens.norms.head_vectors`.
    norm
        A norm behind the projection.
    diagonal
        α_jj, where the sources are the targets.
    """
    batch, kv_heads, sources, head_dim = value.shape
    heads, d = projection.shape[0], projection.shape[-1]
    rows = value.transpose(0, 1).reshape(kv_heads, batch * sources, head_dim)
    rows = rows.repeat_interleave(heads // kv_heads, dim=0) if heads != kv_heads else rows
    mean = projection.mean(-1, keepdim=True) if norm is not None and norm.centred else None
    own_weights = None if diagonal is None else diagonal.reshape(batch * sources, 1, heads)
    gain = None if norm is None else norm.gain
    gram, normed, own = _block_forms(rows, projection if mean is None else projection - mean, gain, own_weights)
    if mean is not None:
        means = torch.bmm(rows, mean).transpose(0, 1)  # (source, head, 1)
        gram.baddbmm_(means, means.transpose(1, 2), alpha=d)
        if own is not None and own_weights is not None:
            own += torch.bmm(own_weights, means)
    return SourceForms(
        gram.view(batch, sources, heads, heads),
        None if normed is None else normed.view(batch, sources, heads, heads),
        None if own is None else own.view(batch, sources, d),
    )


def _block_forms(
    rows: Float[Tensor, "head row head_dim"],
    projection: Float[Tensor, "head head_dim d"],
    gain: Float[Tensor, " d"] | None,
    own_weights: Float[Tensor, "row 1 head"] | None,
) -> tuple[Float[Tensor, "row head head2"], Float[Tensor, "row head head2"] | None, Float[Tensor, "row 1 d"] | None]:
    """F Fᵀ, F diag(gain²) Fᵀ and aF of every row of values."""
    heads, length, _ = rows.shape
    d = projection.shape[-1]
    gram = rows.new_empty(length, heads, heads)
    normed = None if gain is None else torch.empty_like(gram)
    own = None if own_weights is None else rows.new_empty(length, 1, d)
    space = rows.new_empty(1 if gain is None else 2, heads * min(_SOURCES, length) * d)
    for part in _slices(length, _SOURCES):
        size = part.stop - part.start
        vectors, *scaled = space[:, : heads * size * d].view(-1, heads, size, d)
        by_row = torch.bmm(rows[:, part], projection, out=vectors).transpose(0, 1)
        torch.bmm(by_row, by_row.transpose(1, 2), out=gram[part])
        if own is not None and own_weights is not None:
            torch.bmm(own_weights[part], by_row, out=own[part])
        if gain is not None and normed is not None:
            torch.mul(vectors, gain.square(), out=scaled[0])
            torch.bmm(scaled[0].transpose(0, 1), by_row.transpose(1, 2), out=normed[part])
    return gram, normed, own


def quadratic_norms(
    weights: Float[Tensor, "batch head target source"],
    grams: list[Float[Tensor, "batch source head head2"]],
    vectors_of: Callable[[int, int, int], Float[Tensor, "head d"]],
) -> list[Float[Tensor, "batch target source"]]:
    """√(aᵀ G_j a) with a = α_ij for every target and source, once per entry of ``grams``.

    Where the heads cancel to less than about 3 % of their summed length, the quadratic form is replaced by ‖R_j a‖
    with the triangular factor R_j of F_jᵀ.

    Parameters
    ----------
    weights
        α (or any signed coefficients), ``(batch, head, target, source)``.
    grams
        One or several sets of Gram matrices; the weights are laid out once for all.
    vectors_of
        Gives the head vectors ``(head, d)`` behind a Gram matrix: its text, source and set.

    Returns
    -------
    list of Tensor
        ``(batch, target, source)`` each.
    """
    batch, heads, targets, sources = weights.shape
    forms = len(grams)
    lengths = [gram.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt().unsqueeze(-2) for gram in grams]
    stacked = torch.cat([*grams, *lengths], dim=-2)  # a column of products, and below it Σ_h a_h ‖f_h‖, in one go
    signed = bool(weights.numel() and weights.amin() < 0)
    norms = weights.new_empty(forms, batch, sources, targets)
    rows = stacked.shape[-2]
    step = min(targets, max(_FEWEST_TARGETS, _NUMBERS // (sources * (heads + rows))))
    space = weights.new_empty(sources * (heads + rows) * step)
    for b in range(batch):
        for part in _slices(targets, step):
            laid_out = _laid_out(weights[b, :, part], space)  # (source, head, target)
            product = space[laid_out.numel() :][: sources * rows * laid_out.shape[2]].view(sources, rows, -1)
            torch.bmm(stacked[b], laid_out, out=product)
            longest = product[:, forms * heads :]
            if signed:
                longest = torch.bmm(stacked[b, :, forms * heads :], laid_out.abs())
            terms = product[:, : forms * heads].unflatten(1, (forms, heads)).mul_(laid_out.unsqueeze(1))
            squared = terms.sum(2)  # (source, form, target)
            cancelled = squared < longest.square_().mul_(_CANCELLED)
            squared.clamp_min_(0).sqrt_()
            if bool(cancelled.any()):
                _mend_cancelled(squared, cancelled, laid_out, partial(vectors_of, b))
            norms[:, b, :, part] = squared.transpose(0, 1)
    return list(norms.transpose(2, 3))


def _laid_out(
    weights: Float[Tensor, "head target source"], space: Float[Tensor, " numbers"]
) -> Float[Tensor, "source head target"]:
    """The weights of one text by source, at the beginning of ``space``; one plain transposition per head."""
    heads, targets, sources = weights.shape
    laid_out = space[: weights.numel()].view(heads, sources, targets)
    for head in range(heads):
        laid_out[head].copy_(weights[head].T)
    return laid_out.transpose(0, 1)


def _mend_cancelled(
    norms: Float[Tensor, "source form target"],
    cancelled: Tensor,
    laid_out: Float[Tensor, "source head target"],
    vectors_of: Callable[[int, int], Float[Tensor, "head d"]],
) -> None:
    """Replace the entries marked ``cancelled`` by ‖R_j a‖, which loses no digits to squaring; in place."""
    for source, form in cancelled.any(-1).nonzero().tolist():
        targets = cancelled[source, form]
        triangular = torch.linalg.qr(vectors_of(source, form).T, mode="r").R
        norms[source, form, targets] = torch.linalg.vector_norm(triangular @ laid_out[source][:, targets], dim=0)


def _slices(length: int, step: int) -> Iterator[slice]:
    """Consecutive slices of ``range(length)``, ``step`` long."""
    return (slice(start, min(start + step, length)) for start in range(0, length, step))
