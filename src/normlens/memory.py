"""Recognition of out-of-memory errors, for which torch's CPU allocator raises a plain RuntimeError."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from normlens.errors import OutOfMemory

_OUT_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|(can't|cannot|unable to|failed to) allocate|bad_?alloc|bad allocation|ALLOC_FAILED",
    re.IGNORECASE,
)
_REQUEST = re.compile(r"allocate (?:a total of )?([\d.]+) ?(bytes|[KMGT]i?B)", re.IGNORECASE)
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


@contextmanager
def memory_explained() -> Iterator[None]:
    """Turn an out-of-memory error into one that says what to reduce; other errors pass. Also a decorator.

    Raises
    ------
    OutOfMemory
        If memory runs out.
    """
    try:
        yield
    except OutOfMemory:
        raise
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"Out of memory{_requested(str(error))}. Nothing was returned; the inputs and the model are not at fault. Use a "
            "smaller chunk_size or batch_size, a shorter text, or a machine with more memory."
        ) from error


def keep_freed_memory() -> None:
    """Have the C library keep freed tensors of up to 31 MiB for the next ones, rather than return them to the system.

    It learns from the largest tensor that was freed, so one is freed here; memory that nobody writes to costs nothing.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


def _requested(message: str) -> str:
    """The amount of memory that could not be allocated, as a phrase; empty if the message has none."""
    request = _REQUEST.search(message)
    if request is None:
        return ""
    amount, unit = float(request[1]), request[2]
    if unit == "bytes":
        power = min(int(len(str(int(amount))) - 1) // 3, len(_UNITS) - 1)
        amount, unit = amount / 1000**power, _UNITS[power]
    return f": {amount:.3g} {unit} more could not be allocated"
