"""Trees of tensors: the nested sequences and mappings that modules take and return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def map_tensors(tree: Any, change: Callable[[Tensor], Any]) -> Any:
    """``tree`` of lists, tuples and dicts, with ``change`` applied to every tensor."""
    if isinstance(tree, Tensor):
        return change(tree)
    if type(tree) in (list, tuple):
        return type(tree)(map_tensors(x, change) for x in tree)
    if isinstance(tree, dict):
        return {name: map_tensors(x, change) for name, x in tree.items()}
    return tree


def first_tensor(tree: Any) -> Tensor | None:
    """The first floating tensor in a tensor, a sequence or a mapping."""
    if isinstance(tree, Tensor):
        return tree if tree.is_floating_point() else None
    children = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list | tuple) else ()
    return next((tensor for child in children if (tensor := first_tensor(child)) is not None), None)


def swapped(tree: Any, old: Tensor, new: Tensor) -> Any:
    """``tree`` with the tensor ``old`` replaced by ``new``."""
    if tree is old:
        return new
    if isinstance(tree, Mapping):
        changed = {name: swapped(child, old, new) for name, child in tree.items()}
        return type(tree)(**changed)
    if type(tree) in (list, tuple):
        return type(tree)(swapped(child, old, new) for child in tree)
    return tree
