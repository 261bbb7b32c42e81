"""Layer numbers, read from module paths: ``encoder.layer.3.attention`` lies in layer 3."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def layer_numbers(paths: Sequence[str]) -> list[int]:
    """The numbers of the layers that one group's blocks lie in, in the order in which the blocks run.

    A hybrid's attention blocks may lie in layers 3, 7 and 11. The layer's number is the first one in the paths that
    increases from block to block: in ``layers.0.blocks.1``, the number of the block within its stage. If none does, because
    several layers share a module, the blocks are counted from zero.
    """
    numbers = [[int(name) for name in path.split(".") if name.isdecimal()] for path in paths]
    for column in map(list, zip(*numbers, strict=False)):
        if all(one < other for one, other in pairwise(column)):
            return column
    return list(range(len(paths)))


def layer_number(path: str) -> int | None:
    """The first number in a module path; None if it has none."""
    return next((int(name) for name in path.split(".") if name.isdecimal()), None)


def numbered_layer(path: str) -> str | None:
    """A module path up to and including its layer's number; None if it has none."""
    names = path.split(".")
    index = next((k for k, name in enumerate(names) if name.isdecimal()), None)
    return None if index is None else ".".join(names[: index + 1])


def tower(path: str) -> str:
    """A module path up to, not including, its layer's number; the whole path if it has none."""
    layer = numbered_layer(path)
    return path if layer is None else layer.rpartition(".")[0]


def is_numbered(path: str) -> bool:
    """Whether a module path ends in a number: a layer, or a module in a list within one."""
    return path.rpartition(".")[2].isdecimal()


def same_layer(one: str, other: str) -> bool:
    """Whether two module paths lie in the same numbered layer; a model's final norm lies in none."""
    common = []
    for a, b in zip(one.split("."), other.split("."), strict=False):
        if a != b:
            break
        common.append(a)
    return layer_number(".".join(common)) is not None


def listed(numbers: Sequence[int]) -> str:
    """Numbers in words: "0 to 11", or "3, 7, 11" if they aren't consecutive."""
    first, last = numbers[0], numbers[-1]
    if list(numbers) == list(range(first, last + 1)) and len(numbers) > 1:
        return f"{first} to {last}"
    return ", ".join(map(str, numbers))
