"""Follows attention's output through a running model, to the projection, norms, multipliers and residual of each block."""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of

if TYPE_CHECKING:
    from normlens.engine.tracing.tracer import Tracer, uncaptured, unfinished

__all__ = ["Tracer", "uncaptured", "unfinished"]
_HOMES = dict.fromkeys(__all__, "normlens.engine.tracing.tracer")  # scopes and layer numbers are read without torch
__getattr__ = attribute_of(__name__, _HOMES)
