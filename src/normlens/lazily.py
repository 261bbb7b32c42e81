"""Lazy imports: packages whose modules are imported on first use of a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attribute_of(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package, so that torch and transformers are imported only when they are needed.

    Parameters
    ----------
    package
        Name of the package.
    homes
        Maps each public name to the module that defines it.
    """

    def attribute(name: str) -> Any:
        """The attribute of that name."""
        if name in homes:
            return getattr(import_module(homes[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return attribute
