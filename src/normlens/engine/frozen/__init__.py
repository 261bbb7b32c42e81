"""Hold the data-dependent factors of all non-linear operations fixed, and any transformers model is affine.

Then automatic differentiation splits what it computes exactly: :func:`pull_back` splits a scalar into one share per
source, :func:`push_forward` splits a module's output into one vector per source. The table of what is held fixed, and
of the operations that are known at all, is :data:`normlens.engine.frozen.operations.RULES`.
"""

from normlens.engine.frozen.pullback import PullBack, pull_back
from normlens.engine.frozen.pushforward import Chunk, Push, PushForward, push_forward, push_through
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
