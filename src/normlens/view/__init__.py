"""The explorer: what attention moves, in the browser. A service that computes, and a server in front of it."""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of

if TYPE_CHECKING:
    from normlens.view.offered_model import OfferedModel
    from normlens.view.service import ViewService
    from normlens.view.serving import serve
    from normlens.view.widget import ExplorerWidget

__all__ = ["ExplorerWidget", "OfferedModel", "ViewService", "serve"]
_HOMES = {
    "ExplorerWidget": "normlens.view.widget",
    "OfferedModel": "normlens.view.offered_model",
    "ViewService": "normlens.view.service",
    "serve": "normlens.view.serving",
}
__getattr__ = attribute_of(__name__, _HOMES)
