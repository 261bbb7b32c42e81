"""Settings by which users tell torch to compute float32 with fewer digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

FewerDigits = Callable[[], AbstractContextManager[None]]


@contextmanager
def fast_products() -> Iterator[None]:
    """What users write at the top of a notebook, and bfloat16 convolutions, which CPUs have too."""
    convolutions: Any = torch.backends.mkldnn.conv
    torch.set_float32_matmul_precision("medium")
    convolutions.fp32_precision = "bf16"
    try:
        yield
    finally:
        convolutions.fp32_precision = "none"
        torch.set_float32_matmul_precision("highest")


@contextmanager
def autocast() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield


SETTINGS: tuple[FewerDigits, ...] = (fast_products, autocast)
