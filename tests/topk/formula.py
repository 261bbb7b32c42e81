"""Top-k attention by its definition, row by row with whole matrices: what the library is held against."""

from __future__ import annotations

import torch
from torch import Tensor


def dense_scores(query: Tensor, key: Tensor, softcap: float | None = None, added: Tensor | None = None) -> Tensor:
    """Scores of all heads, keys repeated, ``(batch, head, target, source)``."""
    repeated = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = query @ repeated.transpose(-1, -2) / query.shape[-1] ** 0.5
    scores = scores if softcap is None else softcap * (scores / softcap).tanh()
    return scores if added is None else scores + added


def topk_output(
    scores: Tensor, value: Tensor, k: int, ranking: Tensor | None = None, renormalize: bool = True
) -> tuple[Tensor, Tensor]:
    """Output and kept weights: softmax over the k best of each row that are not −∞, one row at a time."""
    value = value.repeat_interleave(scores.shape[1] // value.shape[1], dim=1)
    weights = torch.zeros_like(scores)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in scores.shape[:3])).tolist():
        row = scores[tuple(place)]
        legal = torch.isfinite(row).nonzero().flatten()
        if len(legal):
            order = (row if ranking is None else ranking[tuple(place)])[legal].argsort(descending=True)
            kept = legal[order[:k]]
            total = row[kept].exp().sum() if renormalize else row[legal].exp().sum()
            weights[tuple(place)][kept] = row[kept].exp() / total
    return weights @ value, weights
