"""Full memory, told from other failures: torch's CPU allocator raises a plain RuntimeError for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from normlens.errors import OutOfMemory

_SAYS_SO = re.compile(
    r"out of memory|not enough memory|(can't|cannot|unable to|failed to) allocate|bad_?alloc|bad allocation|ALLOC_FAILED",
    re.IGNORECASE,
)
_ASKED = re.compile(r"allocate (?:a total of )?([\d.]+) ?(bytes|[KMGT]i?B)", re.IGNORECASE)
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full, on whatever device: it says nothing about inputs or model."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and _SAYS_SO.search(str(error)) is not None


@contextmanager
def memory_explained() -> Iterator[None]:
    """Say of a full memory how much was asked for and what to reduce; other errors pass. Also a decorator.

    Raises
    ------
    OutOfMemory
        If memory is full.
    """
    try:
        yield
    except OutOfMemory:
        raise
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"Out of memory{_asked(str(error))}. Nothing was returned; the inputs and the model are not at fault. Use a "
            "smaller chunk_size or batch_size, a shorter text, or a machine with more memory."
        ) from error


def _asked(message: str) -> str:
    """How much memory could not be had, in words."""
    asked = _ASKED.search(message)
    if asked is None:
        return ""
    amount, unit = float(asked[1]), asked[2]
    if unit == "bytes":
        power = min(int(len(str(int(amount))) - 1) // 3, len(_UNITS) - 1)
        amount, unit = amount / 1000**power, _UNITS[power]
    return f": {amount:.3g} {unit} more could not be allocated"
