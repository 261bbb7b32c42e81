"""The digits that numbers are made with: float32 that is float32, and float64 where sums need it.

Torch may compute float32 products with fewer digits: convolutions on Nvidia's GPUs do so unless told otherwise, matrix
products where ``torch.set_float32_matmul_precision`` asks for it, and everything under ``torch.autocast``. Errors of
1e-3 follow, ten times what is accepted of a float32 model. Whatever runs a model here runs it without.
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
_BEFORE: list[_Settings] = []  # what the settings were before each context that is open, in any thread


@dataclass(frozen=True)
class _Settings:
    """Torch's switches for float32: those by operation, and the older ones, whose readers raise if the two disagree."""

    by_operation: tuple[str, ...]
    matmul_precision: str
    cudnn_allow_tf32: bool


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute float32 as float32 while this lasts; also a decorator. Settings of half-precision models stay.

    Torch's settings belong to the process: they are put back when the last of several threads leaves.
    """
    with no_fork(), without_autocast():
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
    return x.to(wide) if has_float64(x.device.type) else x.cpu().to(wide)


@cache
def has_float64(device_type: str) -> bool:
    """Whether devices of a type compute in float64."""
    try:
        torch.zeros(1, device=device_type).double()
    except (TypeError, RuntimeError):
        return False
    return True


@_disable_dynamo  # torch's switches can't be traced
def _enter() -> None:
    with _LOCK:
        _BEFORE.append(_settings())
        _set(_Settings((_EXACT,) * len(_parts()), "highest", False))


@_disable_dynamo
def _leave() -> None:
    with _LOCK:
        first = _BEFORE[0]
        _BEFORE.pop()
        if not _BEFORE:
            _set(first)


def _settings() -> _Settings:
    """The switches as they are; those by operation are left changed, so that the others can be read."""
    backends: Any = torch.backends
    by_operation = tuple(map(_taken, _parts()))
    matmul_precision = torch.get_float32_matmul_precision()
    backends.cudnn.conv.fp32_precision = backends.cudnn.rnn.fp32_precision = "tf32"
    try:
        cudnn_allow_tf32 = backends.cudnn.allow_tf32
    except RuntimeError:  # it says no, which those of the operations contradict
        cudnn_allow_tf32 = False
    return _Settings(by_operation, matmul_precision, cudnn_allow_tf32)


def _taken(part: Any) -> str:
    """A switch's own value; it is left at "none", so that what inherits it shows its own, too."""
    value: str = part.fp32_precision
    part.fp32_precision = "none"
    return value


def _set(settings: _Settings) -> None:
    """The older switches first: they change those by operation."""
    backends: Any = torch.backends
    torch.set_float32_matmul_precision(settings.matmul_precision)
    backends.cudnn.allow_tf32 = settings.cudnn_allow_tf32
    for part, value in zip(_parts(), settings.by_operation, strict=True):
        part.fp32_precision = value


def _parts() -> list[Any]:
    """What of torch has a setting of its own; what others inherit comes first."""
    backends: Any = torch.backends
    cuda, cudnn, cpu = backends.cuda, backends.cudnn, backends.mkldnn
    return [backends, cudnn, cuda.matmul, cudnn.conv, cudnn.rnn, cpu.matmul, cpu.conv, cpu.rnn]


def _device_types() -> set[str]:
    accelerator = torch.accelerator.current_accelerator()
    return {"cpu"} if accelerator is None else {"cpu", accelerator.type}


def working_precision(x: Tensor) -> Tensor:
    """``x`` detached, in float32 at least: the algebra never runs in half precision."""
    x = x.detach()
    return x if x.dtype == torch.float64 else x.float()
