"""normlens: see what attention really moves."""

from typing import TYPE_CHECKING

from normlens.errors import NormLensError
from normlens.lazily import attribute_of, quiet_notebook

if TYPE_CHECKING:
    from normlens.ablation import ablate
    from normlens.alignment import align
    from normlens.analysis.result import Analysis
    from normlens.attribution.registry import methods
    from normlens.front_door import load
    from normlens.lens import Lens
    from normlens.version import __version__

__all__ = ["Analysis", "Lens", "NormLensError", "__version__", "ablate", "align", "load", "methods"]
_HOMES = {
    "ablate": "normlens.ablation",
    "align": "normlens.alignment",
    "Analysis": "normlens.analysis.result",
    "Lens": "normlens.lens",
    "__version__": "normlens.version",
    "load": "normlens.front_door",
    "methods": "normlens.attribution.registry",
}
__getattr__ = attribute_of(__name__, _HOMES)
quiet_notebook()
