"""normlens: see what attention really moves."""

from normlens.analysis import Analysis
from normlens.errors import NormLensError
from normlens.lens import Lens, load
from normlens.version import __version__

__all__ = ["Analysis", "Lens", "NormLensError", "__version__", "load"]
