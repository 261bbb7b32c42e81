"""The digits that numbers are made with: float32 that is float32, and float64 where sums need it.

Torch may compute float32 products with fewer digits: convolutions on Nvidia's GPUs do so unless told otherwise, matrix
products where ``torch.set_float32_matmul_precision`` asks for it, and everything under ``torch.autocast``. Errors of
1e-3 follow, ten times what is accepted of a float32 model. Whatever runs a model here runs it without.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

_EXACT = "ieee"
_LOCK = threading.Lock()
_BEFORE: list[list[str]] = []  # what the settings were before each context that is open, in any thread


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute float32 as float32 while this lasts; also a decorator. Settings of half-precision models stay.

    Torch's settings belong to the process: they are put back when the last of several threads leaves.
    """
    with without_autocast():
        _enter()
        try:
            yield
        finally:
            _leave()


@contextmanager
def without_autocast() -> Iterator[None]:
    """Compute in the dtypes that tensors have while this lasts; also a decorator."""
    with ExitStack() as stack:
        for device_type in filter(torch.is_autocast_enabled, _device_types()):
            stack.enter_context(torch.autocast(device_type, enabled=False))
        yield


def double(x: Tensor) -> Tensor:
    """In float64 (complex128): where the tensor is, or on the CPU if its device has none, as Apple's GPUs."""
    wide = torch.complex128 if x.is_complex() else torch.float64
    return x.to(wide) if _has_float64(x.device.type) else x.cpu().to(wide)


@cache
def _has_float64(device_type: str) -> bool:
    try:
        torch.zeros(1, device=device_type).double()
    except (TypeError, RuntimeError):
        return False
    return True


def _enter() -> None:
    with _LOCK:
        _BEFORE.append([part.fp32_precision for part in _parts()])
        for part in _parts():
            part.fp32_precision = _EXACT


def _leave() -> None:
    with _LOCK:
        first = _BEFORE[0]
        _BEFORE.pop()
        if not _BEFORE:
            for part, value in zip(_parts(), first, strict=True):
                part.fp32_precision = value


def _parts() -> list[Any]:
    """What of torch has a setting of its own."""
    backends: Any = torch.backends
    cuda, cudnn, cpu = backends.cuda, backends.cudnn, backends.mkldnn
    return [cuda.matmul, cudnn.conv, cudnn.rnn, cpu.matmul, cpu.conv, cpu.rnn]


def _device_types() -> set[str]:
    accelerator = torch.accelerator.current_accelerator()
    return {"cpu"} if accelerator is None else {"cpu", accelerator.type}
