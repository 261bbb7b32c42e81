"""Whether a weight still holds the numbers that something was computed from, asked at the cost of reading it once."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor

_SEGMENT = 32
_WHOLE_NUMBERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes


def fingerprint(weight: Tensor, axis: int) -> Int[Tensor, "segment word"]:
    """Sums of a matrix's bits, read as whole numbers, over segments of at most 32 entries along an axis.

    Whole numbers aren't rounded, so the smallest change of a single number shows, and a change of many is missed only
    where all sums come out the same: after a permutation along the axis, say. The matrix is read once, at the speed of
    memory. Torch's own counter of versions costs nothing, but misses every write through ``.data``.

    Parameters
    ----------
    weight
        The matrix.
    axis
        Along which a permutation doesn't matter.
    """
    bits = weight.detach().contiguous()
    size = bits.element_size()
    even = bits.shape[-1] * size % 8 == 0 and bits.storage_offset() * size % 8 == 0
    bits = bits.view(torch.int64 if even else _WHOLE_NUMBERS[size])
    length = math.gcd(bits.shape[axis], _SEGMENT)
    rows, words = bits.shape
    segments = bits.view(rows, -1, length) if axis else bits.view(-1, length, words)
    return segments.sum(axis + 1)


def same_fingerprint(one: Tensor, other: Tensor) -> bool:
    """Whether two are equal; on different devices they aren't."""
    return one.device == other.device and torch.equal(one, other)
