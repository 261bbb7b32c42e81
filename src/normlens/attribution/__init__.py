"""Attribution: which sources made the model say this, by one signature over one engine.

A method is a function from a :class:`~normlens.attribution.subject.Subject` (a model with a batch of texts) and a
:class:`~normlens.attribution.registry.Request` to one labeled array per text; :meth:`normlens.Lens.attribute` finds it
in the registry.
"""

from typing import TYPE_CHECKING

from normlens.attribution.method_options import MethodOptions
from normlens.attribution.registry import Method, Request, check_method, method_named
from normlens.lazily import attribute_of

if TYPE_CHECKING:
    from normlens.attribution.arrays import Attribution
    from normlens.attribution.request import checked_request
    from normlens.attribution.targets.classes import class_names
    from normlens.attribution.targets.early import check_targets, head_of_outline
    from normlens.attribution.targets.prediction_heads import head_of
    from normlens.attribution.targets.scalars import LogProbability, Predicted, VectorNorm

__all__ = [
    "Attribution",
    "LogProbability",
    "Method",
    "MethodOptions",
    "Predicted",
    "Request",
    "VectorNorm",
    "check_method",
    "check_targets",
    "checked_request",
    "class_names",
    "head_of",
    "head_of_outline",
    "method_named",
]
_HOMES = {
    **dict.fromkeys(("LogProbability", "Predicted", "VectorNorm"), "normlens.attribution.targets.scalars"),
    **dict.fromkeys(("check_targets", "head_of_outline"), "normlens.attribution.targets.early"),
    "class_names": "normlens.attribution.targets.classes",
    "head_of": "normlens.attribution.targets.prediction_heads",
    "checked_request": "normlens.attribution.request",
    "Attribution": "normlens.attribution.arrays",
}
__getattr__ = attribute_of(__name__, _HOMES)
