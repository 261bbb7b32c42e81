"""The explorer: what attention moves, in the browser. A service that computes, and a server in front of it."""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of

if TYPE_CHECKING:
    from normlens.view.service import OfferedModel, ViewService
    from normlens.view.serving import serve
    from normlens.view.widget import ExplorerWidget

__all__ = ["ExplorerWidget", "OfferedModel", "ViewService", "serve"]
_HOMES = {
    "ExplorerWidget": "normlens.view.widget",
    "OfferedModel": "normlens.view.service",
    "ViewService": "normlens.view.service",
    "serve": "normlens.view.serving",
}
__getattr__ = attribute_of(__name__, _HOMES)
