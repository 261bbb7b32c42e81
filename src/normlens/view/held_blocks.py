"""Blocks that a run leaves behind, as long as memory lasts, so that any layer can be measured again without the model.

A block holds tensors of size n × d: values, outputs, and the queries and keys from which the model's own attention function
computes α again. Nothing of size head × n² is among them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from torch import Tensor, nn

from normlens.engine.tracing.block import Block


@dataclass(frozen=True)
class _HeldBlock:
    block: Block
    versions: tuple[int, ...]


class HeldBlocks:
    """Blocks by key, whose tensors take at most ``capacity`` bytes together; those that come when it is full aren't held.

    Parameters
    ----------
    model
        The model; its own parameters don't count.
    capacity
        In bytes.
    """

    def __init__(self, model: nn.Module, capacity: int) -> None:
        self.capacity, self.size = capacity, 0
        self._storages = {_storage(parameter) for parameter in model.parameters()}
        self._blocks: dict[Hashable, _HeldBlock] = {}

    def hold(self, key: Hashable, block: Block) -> bool:
        """Hold a block without its weights, if α can be computed again from less, and there is room."""
        if not block.call.operands:
            return False
        block = replace(block, call=replace(block.call, weights=None))
        tensors = list(_tensors(block))
        new = {_storage(x): x.untyped_storage().nbytes() for x in tensors}
        size = sum(nbytes for storage, nbytes in new.items() if storage not in self._storages)
        if self.size + size > self.capacity:
            return False
        self._storages |= new.keys()
        self.size += size
        self._blocks[key] = _HeldBlock(block, _versions(tensors))
        return True

    def get(self, key: Hashable) -> Block | None:
        """A block as it ran; None if it isn't held, or the model has since written into one of its tensors."""
        held = self._blocks.get(key)
        if held is None or _versions(_tensors(held.block)) != held.versions:
            return None
        return held.block


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors of a block, also those from which α is computed."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _tensors(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))


def _storage(tensor: Tensor) -> tuple[str, int]:
    return str(tensor.device), tensor.untyped_storage().data_ptr()


def _versions(tensors: Iterable[Tensor]) -> tuple[int, ...]:
    """How often each tensor was written to."""
    return tuple(x._version for x in tensors)
