"""Top-k attention: every target (query) attends to k sources (keys) alone, those of the largest weight or norm.

`use` switches a model over and back, `use_feedforward` its feed-forward layers; `topk_attention` and `topk_feedforward`
are the same on tensors.
"""

from normlens.topk.attention import CHUNK_SIZE, topk_attention
from normlens.topk.feedforward_units import FeedForwardUse, kept_units, topk_feedforward, use_feedforward
from normlens.topk.implementation import DEFAULT_K, IMPLEMENTATION
from normlens.topk.selection import KEPT, MEASURES, log_vector_norms, projection_factors
from normlens.topk.use import TopKUse, undo, use

__all__ = [
    "CHUNK_SIZE",
    "DEFAULT_K",
    "IMPLEMENTATION",
    "KEPT",
    "MEASURES",
    "FeedForwardUse",
    "TopKUse",
    "kept_units",
    "log_vector_norms",
    "projection_factors",
    "topk_attention",
    "topk_feedforward",
    "undo",
    "use",
    "use_feedforward",
]
