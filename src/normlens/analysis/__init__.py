"""Inspecting, running and measuring a model; the result of ``analyze``, as labeled arrays."""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of

if TYPE_CHECKING:
    from normlens.analysis.group import Group
    from normlens.analysis.result import Analysis

__all__ = ["Analysis", "Group"]
_HOMES = {"Analysis": "normlens.analysis.result", "Group": "normlens.analysis.group"}
__getattr__ = attribute_of(__name__, _HOMES)
