"""A model inspected, run and measured; what ``analyze`` returns: labelled arrays."""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of

if TYPE_CHECKING:
    from normlens.analysis.result import Analysis, Group

__all__ = ["Analysis", "Group"]
_HOMES = {"Analysis": "normlens.analysis.result", "Group": "normlens.analysis.result"}
__getattr__ = attribute_of(__name__, _HOMES)
