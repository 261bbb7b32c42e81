"""Numerical precision: full float32 where torch would reduce it, and float64 where sums need it.

Torch may compute float32 products in reduced precision: convolutions on Nvidia GPUs do so by default, matrix products if
``torch.set_float32_matmul_precision`` allows it, and everything under ``torch.autocast``. The errors reach 1e-3, ten times
the tolerance for a float32 model. normlens switches this off wherever it runs a model.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from normlens.engine.locks import no_fork

_EXACT = "ieee"
_LOCK = threading.Lock()
_BEFORE: list[_Settings] = []  # the settings before the first open context, once for each open one, in any thread


@dataclass(frozen=True)
class _Settings:
    """Torch's float32 switches: one per operation, and two older ones, whose getters raise if they disagree with those."""

    by_operation: tuple[str, ...]
    matmul_precision: str
    cudnn_allow_tf32: bool


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute float32 in full precision while this lasts; also a decorator. Half-precision models are unaffected.

    Torch's settings are process-wide: they are restored when the last of several threads leaves.
    """
    with no_fork(), without_autocast():
        _enter()
        try:
            yield
        finally:
            _leave()


@contextmanager
def without_autocast() -> Iterator[None]:
    """Switch autocast off while this lasts, so that operations run in the dtypes of their tensors; also a decorator."""
    with ExitStack() as stack:
        for device_type in filter(torch.is_autocast_enabled, _device_types()):
            stack.enter_context(torch.autocast(device_type, enabled=False))
        yield


def double(x: Tensor) -> Tensor:
    """``x`` in float64 (complex128): on its device, or on the CPU if the device has no float64, like Apple's GPUs."""
    wide = torch.complex128 if x.is_complex() else torch.float64
    return x.to(wide) if has_float64(x.device.type) else x.cpu().to(wide)


@cache
def has_float64(device_type: str) -> bool:
    """Whether a type of device supports float64."""
    try:
        torch.zeros(1, device=device_type).double()
    except (TypeError, RuntimeError):
        return False
    return True


@_disable_dynamo  # torch's switches can't be traced
def _enter() -> None:
    with _LOCK:
        _BEFORE.append(_BEFORE[0] if _BEFORE else _settings())
        _set(_Settings((_EXACT,) * len(_backends()), "highest", False))


@_disable_dynamo
def _leave() -> None:
    with _LOCK:
        first = _BEFORE[0]
        _BEFORE.pop()
        if not _BEFORE:
            _set(first)


def _settings() -> _Settings:
    """The current switches; the per-operation ones are left changed, so that the older ones can be read."""
    backends: Any = torch.backends
    by_operation = tuple(map(_read_and_reset, _backends()))
    matmul_precision = torch.get_float32_matmul_precision()
    backends.cudnn.conv.fp32_precision = backends.cudnn.rnn.fp32_precision = "tf32"
    try:
        cudnn_allow_tf32 = backends.cudnn.allow_tf32
    except RuntimeError:  # it is False, which contradicts the per-operation switches
        cudnn_allow_tf32 = False
    return _Settings(by_operation, matmul_precision, cudnn_allow_tf32)


def _read_and_reset(backend: Any) -> str:
    """The value of a switch, which is then set to "none": backends that inherit it then show their own value."""
    value: str = backend.fp32_precision
    backend.fp32_precision = "none"
    return value


def _set(settings: _Settings) -> None:
    """Apply switches, the older ones first: they change the per-operation ones."""
    backends: Any = torch.backends
    torch.set_float32_matmul_precision(settings.matmul_precision)
    backends.cudnn.allow_tf32 = settings.cudnn_allow_tf32
    for backend, value in zip(_backends(), settings.by_operation, strict=True):
        backend.fp32_precision = value


def _backends() -> list[Any]:
    """The backends with a switch of their own; those that others inherit from come first."""
    backends: Any = torch.backends
    cuda, cudnn, cpu = backends.cuda, backends.cudnn, backends.mkldnn
    return [backends, cudnn, cuda.matmul, cudnn.conv, cudnn.rnn, cpu.matmul, cpu.conv, cpu.rnn]


def _device_types() -> set[str]:
    accelerator = torch.accelerator.current_accelerator()
    return {"cpu"} if accelerator is None else {"cpu", accelerator.type}


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32, or unchanged if it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def working_precision(x: Tensor) -> Tensor:
    """``x`` detached, in at least float32: the algebra never runs in half precision."""
    return at_least_float32(x.detach())
