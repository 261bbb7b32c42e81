"""Names of a package whose modules are imported when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attribute_of(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package: torch and transformers are not imported for what doesn't need them.

    Parameters
    ----------
    package
        Its name.
    homes
        From each name to the module that has it.
    """

    def found(name: str) -> Any:
        """The attribute of that name."""
        if name in homes:
            return getattr(import_module(homes[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return found
