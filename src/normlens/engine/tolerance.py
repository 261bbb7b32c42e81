"""How far two numbers may differ that should be equal: what rounding explains, by the model's number format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch

TOLERANCES: Mapping[torch.dtype, float] = {
    torch.float64: 1e-6,
    torch.float32: 1e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1e-2,
}
"""Relative errors of one pass. Model files compute softmax and RMSNorm in float32, also in float64 models."""

_SLACK = {
    "same operations": 1,  # once more, in the same order: the model with and without its watchers
    "other operations": 10,  # the same number by another sum, such as contributions against what the module gave
    "other shapes": 100,  # a whole model in other batches: kernels change with the shape, and layers add up
}
Comparison = Literal["same operations", "other operations", "other shapes"]


def tolerance(dtype: torch.dtype, comparison: Comparison = "same operations") -> float:
    """The largest relative difference that rounding explains.

    Parameters
    ----------
    dtype
        The model's; formats that aren't in :data:`TOLERANCES` count as float32.
    comparison
        What is compared.
    """
    return TOLERANCES.get(dtype, TOLERANCES[torch.float32]) * _SLACK[comparison]
