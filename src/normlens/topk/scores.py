"""Scores of a chunk of targets: scaled products of queries and keys, softcap, biases, and −∞ for masked sources."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ScoreRule:
    """How scores are computed from queries and keys.

    Attributes
    ----------
    scale
        The factor of qᵀk.
    softcap
        c in c·tanh(s/c), applied before masks and biases; None for none.
    causal, window
        Target i, at position p = i + ``offset`` among the sources, sees the sources j ≤ p, and with a window only those
        with p − j < window.
    offset
        Position of the first target among the sources.
    mask
        True where a source is visible, or numbers to add to the scores; ``(batch, head, target, source)``, axes of size
        one are broadcast. None for none.
    """

    scale: float
    softcap: float | None
    causal: bool
    window: int | None
    offset: int
    mask: Tensor | None

    def span(self, targets: slice, sources: int) -> slice:
        """The sources that any of the targets can see by causality and window; at least one, so that rows exist."""
        stop = min(sources, targets.stop + self.offset) if self.causal else sources
        start = 0 if self.window is None else targets.start + self.offset - self.window + 1
        start = min(max(start, 0), sources - 1)
        return slice(start, max(stop, start + 1))

    def scores(
        self,
        query: Float[Tensor, "batch head rows head_dim"],
        key: Float[Tensor, "batch kv_head span head_dim"],
        bias: Tensor | None,
        targets: slice,
        span: slice,
    ) -> Float[Tensor, "batch head rows span"]:
        """Scores of the targets ``targets`` for the sources ``span``; −∞ for masked sources."""
        scores = grouped_product(query, key.transpose(-1, -2)).mul_(self.scale)
        if self.softcap is not None:
            scores.div_(self.softcap).tanh_().mul_(self.softcap)
        for added in (bias, self.mask):
            if added is None:
                continue
            chunk = cut(added, targets, span)
            if chunk.dtype == torch.bool:
                scores.masked_fill_(~chunk, -torch.inf)
            else:
                scores.add_(chunk).masked_fill_(_masking(chunk), -torch.inf)
        hidden = self._hidden(targets, span, scores.device)
        return scores if hidden is None else scores.masked_fill_(hidden, -torch.inf)

    def softcap_slope(self, scores: Tensor, added: Tensor | None) -> Tensor:
        """Derivative of the softcap, 1 − tanh², from the scores and what was added to them; one without a softcap."""
        if self.softcap is None:
            return torch.ones_like(scores)
        capped = scores if added is None else scores - added
        share = torch.where(torch.isfinite(capped), capped / self.softcap, 1).clamp(-1, 1)
        return 1 - share.square()

    def added(self, bias: Tensor | None, targets: slice, span: slice, like: Tensor) -> Tensor | None:
        """What is added to the capped scores, broadcast to the shape of ``like``; None if nothing is."""
        terms = [cut(x, targets, span) for x in (bias, self.mask) if x is not None and x.dtype != torch.bool]
        return sum(terms[1:], terms[0]).to(like.dtype).expand(like.shape) if terms else None

    def _hidden(self, targets: slice, span: slice, device: torch.device) -> Bool[Tensor, "rows span"] | None:
        if not self.causal and self.window is None:
            return None
        positions = torch.arange(targets.start, targets.stop, device=device)[:, None] + self.offset
        distance = positions - torch.arange(span.start, span.stop, device=device)
        hidden = distance < 0 if self.causal else torch.zeros_like(distance, dtype=torch.bool)
        return hidden if self.window is None else hidden | (distance >= self.window)


def cut(x: Tensor, targets: slice, span: slice) -> Tensor:
    """The slice of a mask or bias for a chunk; axes of size one are unchanged."""
    rows = x if x.shape[-2] == 1 else x[..., targets, :]
    return rows if rows.shape[-1] == 1 else rows[..., span]


def grouped_product(
    x: Float[Tensor, "batch head rows inner"], y: Float[Tensor, "batch kv_head inner outer"]
) -> Float[Tensor, "batch head rows outer"]:
    """Products x y, where consecutive groups of heads share one y; it is not copied."""
    batch, heads, rows, inner = x.shape
    shared = x.reshape(batch, y.shape[1], -1, inner)
    return (shared @ y).view(batch, heads, rows, y.shape[-1])


def grouped_transposed_product(
    x: Float[Tensor, "batch head rows outer"], y: Float[Tensor, "batch head rows inner"], kv_heads: int
) -> Float[Tensor, "batch kv_head outer inner"]:
    """Products xᵀ y summed over the heads that share a key or value head: the gradient behind `grouped_product`."""
    batch = x.shape[0]
    left, right = (z.reshape(batch, kv_heads, -1, z.shape[-1]) for z in (x, y))
    return left.transpose(-1, -2) @ right


def _masking(added: Tensor) -> Tensor:
    """Where an additive mask hides a source: at half of its dtype's lowest number or less, as in transformers."""
    return added <= torch.finfo(added.dtype).min / 2
