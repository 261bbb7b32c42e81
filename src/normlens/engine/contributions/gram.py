"""Norms of contributions without the vectors: quadratic forms over the heads.

The attention block's output at target i is Σ_j Σ_h α_ij^h f^h(x_j) plus the output bias, with
f^h(x_j) = v_j^h W_O^h, the value vector of head h carried through its slice of the output projection
(Kobayashi et al. 2020, equations 2 to 4). The published code builds every α f(x) to take its norm, a tensor of shape
(head, target, source, d). Nothing of that size is needed: with F_j, the (head, d) matrix of the head vectors of source
j, and G_j = F_j F_jᵀ,

* one head:   ‖α f(x_j)‖ = α ‖f(x_j)‖, and ‖f^h(x_j)‖² is the h-th diagonal entry of G_j;
* all heads:  ‖Σ_h a_h f^h(x_j)‖² = aᵀ G_j a.

G_j is computed in blocks of sources and √(aᵀ G_j a) in blocks of targets, in reused buffers: allocating the head vectors of
all sources, (source, head, d), or products of the size of α would take longer than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.engine.tracing.norms import NormForm

_SOURCES = 64  # sources whose head vectors are in memory at a time
_NUMBERS = 2**19  # products in memory at a time: they fit into a processor's cache
_LAID_OUT = 2**22  # weights laid out by source at a time
_FEWEST_TARGETS = 16
_CANCELED = 1e-3  # below this share of (Σ_h a_h ‖f_h‖)², aᵀGa has lost too many digits: take ‖Ra‖ instead


@dataclass(frozen=True)
class SourceForms:
    """Products of the head vectors that replace the vectors themselves.

    Attributes
    ----------
    gram
        G_j, ``(batch, source, head, head)``.
    normed
        The Gram matrices after the linear part of a norm, same shape; None without a norm.
    own
        c_jj = Σ_h α_jj^h f^h(x_j), ``(batch, source, d)``; None without a diagonal.
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
    """Gram matrices before and after a norm, and own contributions, with few head vectors in memory at a time.

    With F̄, the head vectors less their means m: F Fᵀ = F̄ F̄ᵀ + d m mᵀ, and after a LayerNorm of gain g the Gram
    matrices are F̄ diag(g²) F̄ᵀ. One set of vectors gives both, and nothing cancels.

    Parameters
    ----------
    value, projection
        Value vectors and the slice of the output projection of each head.
    norm
        A norm after the projection.
    diagonal
        α_jj, where the sources are the targets.
    """
    batch, kv_heads, sources, head_dim = value.shape
    heads, d = projection.shape[0], projection.shape[-1]
    rows = value.transpose(0, 1).reshape(kv_heads, batch * sources, head_dim)
    rows = rows.repeat_interleave(heads // kv_heads, dim=0) if heads != kv_heads else rows
    mean = projection.mean(-1, keepdim=True) if norm is not None and norm.centered else None
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
    for at in _slices(length, _SOURCES):
        size = at.stop - at.start
        vectors, *scaled = space[:, : heads * size * d].view(-1, heads, size, d)
        by_row = torch.bmm(rows[:, at], projection, out=vectors).transpose(0, 1)
        torch.bmm(by_row, by_row.transpose(1, 2), out=gram[at])
        if own is not None and own_weights is not None:
            torch.bmm(own_weights[at], by_row, out=own[at])
        if gain is not None and normed is not None:
            torch.mul(vectors, gain.square(), out=scaled[0])
            torch.bmm(scaled[0].transpose(0, 1), by_row.transpose(1, 2), out=normed[at])
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
        α (or any signed coefficients), ``(batch, head, target, source)``; those of the first sources if all others are zero.
    grams
        One or several sets of Gram matrices; the weights are laid out once for all.
    vectors_of
        Takes the text, source and set of a Gram matrix, and returns its head vectors ``(head, d)``.

    Returns
    -------
    list of Tensor
        ``(batch, target, source)`` each.
    """
    batch, heads, targets, sources = weights.shape
    forms = _Forms.from_grams(grams, signed=bool(weights.numel() and weights.amin() < 0))
    norms = weights.new_empty(len(grams), batch, sources, targets)
    step = min(targets, max(_FEWEST_TARGETS, _LAID_OUT // max(1, sources * heads)))
    at_once = max(1, _NUMBERS // max(1, len(grams) * heads * step))
    space = weights.new_empty(heads * sources * step)
    products = weights.new_empty(at_once * len(grams) * heads * step)
    for b in range(batch):
        for target_slice in _slices(targets, step):
            by_source = _laid_out(weights[b, :, target_slice], space)
            for source_slice in _slices(sources, at_once):
                squared, canceled = forms.squared(b, source_slice, by_source[source_slice], products)
                squared.clamp_min_(0).sqrt_()
                for source, form, which in canceled:
                    triangular = torch.linalg.qr(vectors_of(b, source_slice.start + source, form).T, mode="r").R
                    exact = triangular @ by_source[source_slice.start + source][:, which]
                    squared[source, form, which] = torch.linalg.vector_norm(exact, dim=0)
                norms[:, b, source_slice, target_slice] = squared.transpose(0, 1)
    return list(norms.transpose(2, 3))


def reached_sources(weights: Float[Tensor, "*rows source"]) -> int:
    """The number of sources up to the last one with a weight: in causal attention, few for the first targets."""
    if not weights.numel():
        return 0
    rows = weights.flatten(0, -2)
    largest = rows.amax(0) if weights.amin() >= 0 else rows.abs().amax(0)
    above = (largest != 0).nonzero()
    return int(above[-1]) + 1 if len(above) else 0


@dataclass(frozen=True)
class _Forms:
    """Several sets of Gram matrices, side by side.

    Attributes
    ----------
    stacked
        G_j of every set, one below the other, ``(batch, source, form * head, head)``.
    lengths
        ‖f_h‖, ``(batch, source, form, head)``.
    doubtful
        Whether the weights of a source could cancel, ``(batch, source)``.
    """

    stacked: Float[Tensor, "batch source rows head"]
    lengths: Float[Tensor, "batch source form head"]
    doubtful: Tensor

    @classmethod
    def from_grams(cls, grams: list[Float[Tensor, "batch source head head2"]], signed: bool) -> _Forms:
        lengths = torch.stack([gram.diagonal(dim1=-2, dim2=-1) for gram in grams], dim=2).clamp_min(0).sqrt()
        doubtful = torch.full(lengths.shape[:2], signed, dtype=torch.bool, device=lengths.device)
        if not signed:
            for form, gram in enumerate(grams):
                doubtful |= _may_cancel(gram, lengths[:, :, form])
        return cls(torch.cat(grams, dim=-2), lengths, doubtful)

    def squared(
        self,
        text: int,
        source_slice: slice,
        weights: Float[Tensor, "source head target"],
        space: Float[Tensor, " numbers"],
    ) -> tuple[Float[Tensor, "source form target"], list[tuple[int, int, Tensor]]]:
        """aᵀ G_j a of a few sources, and the entries in which too many digits canceled: source, set, and targets."""
        sources, heads, targets = weights.shape
        stacked = self.stacked[text, source_slice]
        product = space[: sources * stacked.shape[1] * targets].view(sources, stacked.shape[1], targets)
        torch.bmm(stacked, weights, out=product)
        squared = product.unflatten(1, (-1, heads)).mul_(weights.unsqueeze(1)).sum(2)
        rows = self.doubtful[text, source_slice].nonzero().squeeze(1)
        if not len(rows):
            return squared, []
        longest = torch.bmm(self.lengths[text, source_slice][rows], weights[rows].abs())
        canceled = squared[rows] < longest.square_().mul_(_CANCELED)
        doubtful = canceled.any(-1).nonzero().tolist()
        return squared, [(int(rows[row]), form, canceled[row, form]) for row, form in doubtful]


def _may_cancel(
    gram: Float[Tensor, "batch source head head2"], lengths: Float[Tensor, "batch source head"]
) -> Float[Tensor, "batch source"]:
    """Whether some a ≥ 0 could bring aᵀGa below ``_CANCELED`` (Σ_h a_h ‖f_h‖)².

    With b_h = a_h ‖f_h‖, the cosines C between head vectors and ρ, the largest sum of a row's negative cosines:
    aᵀGa = bᵀCb ≥ (1 − ρ) Σ_h b_h² ≥ (1 − ρ)/H (Σ_h b_h)². Most sources pass this test, so their weights need not be checked.
    """
    tiny = torch.finfo(gram.dtype).tiny
    cosines = gram / (lengths.unsqueeze(-1) * lengths.unsqueeze(-2)).clamp_min(tiny)
    against = cosines.clamp_max_(0).sum(-1).neg().amax(-1)
    return against > 1 - 2 * _CANCELED * gram.shape[-1]


def _laid_out(
    weights: Float[Tensor, "head target source"], space: Float[Tensor, " numbers"]
) -> Float[Tensor, "source head target"]:
    """The weights of one text by source, in ``space``; one plain transposition per head."""
    heads, targets, sources = weights.shape
    laid_out = space[: weights.numel()].view(heads, sources, targets)
    for head in range(heads):
        laid_out[head].copy_(weights[head].contiguous().T)  # torch transposes whole matrices much faster than parts
    return laid_out.transpose(0, 1)


def _slices(length: int, step: int) -> Iterator[slice]:
    """Consecutive slices of ``range(length)``, ``step`` long."""
    return (slice(start, min(start + step, length)) for start in range(0, length, step))
