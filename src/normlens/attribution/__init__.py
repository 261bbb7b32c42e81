"""Attribution: which sources made the model say this, by one signature over one engine.

A method is a function from a :class:`~normlens.attribution.subject.Subject` (a model with a batch of texts) and a
:class:`~normlens.attribution.registry.Request` to one labelled array per text; :meth:`normlens.Lens.attribute` finds it
in the registry.
"""

from normlens.attribution.registry import Method, Request, method_named, methods
from normlens.attribution.targets import LogProbability, Predicted, VectorNorm

__all__ = ["LogProbability", "Method", "Predicted", "Request", "VectorNorm", "method_named", "methods"]
