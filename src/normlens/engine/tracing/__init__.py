"""Follows attention's output through a running model: what the model does, and what it means for a block."""

from normlens.engine.tracing.tracer import Tracer, unfinished, unheard

__all__ = ["Tracer", "unfinished", "unheard"]
