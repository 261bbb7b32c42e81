"""A cache that is bounded in bytes: what was used longest ago goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Values by key, whose sizes add up to at most ``capacity``; only the thread that computes uses it.

    Parameters
    ----------
    capacity
        In bytes.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.size = capacity, 0
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Value | None:
        """The value of a key, which is now the one used last; None if it isn't there."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """Keep a value, and drop others until all fit; a value larger than the capacity isn't kept."""
        self.drop(key)
        if size > self.capacity:
            return
        while self.size + size > self.capacity:
            self.drop(next(iter(self._values)))
        self._values[key] = value, size
        self.size += size

    def drop(self, key: Hashable) -> None:
        """Forget a value, if it is there."""
        self.size -= self._values.pop(key, (None, 0))[1]
