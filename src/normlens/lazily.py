"""Lazy imports: packages whose modules are imported on first use of a name; and one that is imported early, in notebooks."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def quiet_notebook() -> None:
    """In a notebook, import tqdm before transformers does, without its warning that ipywidgets are missing."""
    if "ipykernel" in sys.modules:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="IProgress not found")
            import tqdm.auto  # noqa: F401


def attribute_of(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package, so that torch and transformers are imported only when they are needed.

    Completion shows the names all the same.

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
        if not name.startswith("_") and find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")  # a room, such as normlens.figures
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    module = vars(import_module(package))
    module["__dir__"] = lambda: sorted({*module, *homes})  # for completion
    return attribute
