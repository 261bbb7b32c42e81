"""Checksums of the weights that a run measured: a number per head tells whether one that is computed again is the same."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from jaxtyping import Float, Int
from torch import Tensor

_WORDS = {4: torch.int32, 8: torch.int64}


class WeightChecksums:
    """The sums of the bit patterns of each head's weights, by layer."""

    def __init__(self) -> None:
        self._sums: dict[Hashable, Tensor] = {}

    def add(self, key: Hashable, weights: Float[Tensor, "1 head rows source"]) -> None:
        """Take the weights of the next slice of a layer's targets."""
        sums = _sums(weights)
        self._sums[key] = self._sums[key] + sums if key in self._sums else sums

    def agree(self, key: Hashable, head: int, weights: Float[Tensor, "1 1 target source"]) -> bool:
        """Whether the weights of a head, of all targets, are those that were taken."""
        kept = self._sums.get(key)
        return kept is not None and bool(kept[head] == _sums(weights)[0])


def _sums(weights: Float[Tensor, "1 head rows source"]) -> Int[Tensor, " head"]:
    """One sum per head, modulo 2^64; sums of rows wrap around too."""
    words = weights[0].view(_WORDS[weights.element_size()])
    return words.sum(-1, dtype=words.dtype).sum(-1, dtype=torch.int64)
