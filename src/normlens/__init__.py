"""normlens: see what attention really moves."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from normlens.errors import NormLensError
from normlens.version import __version__

if TYPE_CHECKING:
    from normlens.analysis import Analysis
    from normlens.attribution import methods
    from normlens.lens import Lens, load

__all__ = ["Analysis", "Lens", "NormLensError", "__version__", "load", "methods"]
_HOMES = {
    "Analysis": "normlens.analysis",
    "Lens": "normlens.lens",
    "load": "normlens.lens",
    "methods": "normlens.attribution",
}


def __getattr__(name: str) -> Any:
    """Import torch and transformers when they are first needed: ``normlens --help`` doesn't."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'normlens' has no attribute {name!r}")
