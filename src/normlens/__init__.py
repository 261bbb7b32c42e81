"""normlens: see what attention really moves."""

from normlens.analysis import Analysis
from normlens.errors import NormLensError
from normlens.lens import Lens, load

__version__ = "0.1.0"
__all__ = ["Analysis", "Lens", "NormLensError", "__version__", "load"]
