"""The frozen model: with the data-dependent factors of nonlinear operations held fixed, any transformers model is affine.

Automatic differentiation then splits its outputs exactly: :func:`pull_back` splits a scalar into one share per source,
:func:`push_forward` splits a module's output into one vector per source. The table of allowed operations, and of what is
held fixed in each, is :data:`normlens.engine.frozen.operations.RULES`.
"""

from normlens.engine.frozen.pullback import PullBack, pull_back
from normlens.engine.frozen.pushforward import Chunk, Push, PushForward, push_forward
from normlens.engine.frozen.segment import push_through
from normlens.engine.frozen.self_check import Check, check
from normlens.engine.frozen.sites import Site

__all__ = [
    "Check",
    "Chunk",
    "PullBack",
    "Push",
    "PushForward",
    "Site",
    "check",
    "pull_back",
    "push_forward",
    "push_through",
]
