"""Tolerances: how much two numbers that should be equal may differ by rounding, for each dtype of the model."""

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
"""Relative errors of one pass. Model files compute softmax and RMSNorm in float32 even in float64 models."""

_SLACK = {
    "same operations": 1,  # repeated in the same order: the model with and without its observers
    "other operations": 10,  # the same number by a different sum, such as contributions against the module's output
    "other shapes": 100,  # a whole model in different batches: kernels depend on the shape, and errors add up over layers
}
Comparison = Literal["same operations", "other operations", "other shapes"]


def tolerance(dtype: torch.dtype, comparison: Comparison = "same operations") -> float:
    """The largest relative difference that rounding explains.

    Parameters
    ----------
    dtype
        The model's dtype; dtypes that aren't in :data:`TOLERANCES` count as float32.
    comparison
        What is compared: the same operations repeated, a different order of operations, or different batch shapes.
    """
    return TOLERANCES.get(dtype, TOLERANCES[torch.float32]) * _SLACK[comparison]
