"""The context in which models run: full float32 precision, and out-of-memory errors that say what to reduce."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from normlens.engine.precision import full_precision
from normlens.memory import memory_explained


@contextmanager
def computing() -> Iterator[None]:
    """Compute float32 in full precision, and say what to reduce if memory runs out. Also a decorator.

    Raises
    ------
    OutOfMemory
        If memory runs out.
    """
    with memory_explained(), full_precision():
        yield
