"""Which modules are running: their calls, read off Python's stack."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import nn

_CALL = nn.Module._call_impl.__code__


@dataclass(frozen=True)
class ModuleCall:
    """A call of a module that hasn't returned yet."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def running_calls() -> Iterator[ModuleCall]:
    """The calls of modules that are running in this thread, innermost first; inside a hook, that of its module too."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is _CALL:
            local = frame.f_locals
            yield ModuleCall(local["self"], local["args"], local["kwargs"])
        frame = frame.f_back
