"""What holds wherever a model is run for a caller: float32 with all its digits, and a full memory told as such."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from normlens.engine.precision import full_precision
from normlens.memory import memory_explained


@contextmanager
def computing() -> Iterator[None]:
    """Compute float32 with all its digits, and say what to reduce when memory is full. Also a decorator.

    Raises
    ------
    OutOfMemory
        If memory is full.
    """
    with memory_explained(), full_precision():
        yield
