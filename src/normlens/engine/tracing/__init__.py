"""Follows attention's output through a running model: what the model does, and what it means for a block."""

from normlens.engine.tracing.tracer import Tracer, uncaptured, unfinished

__all__ = ["Tracer", "uncaptured", "unfinished"]
