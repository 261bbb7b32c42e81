"""What may be forgotten: which keys and values each head drops once a text is read, and what exactly that changes.

`evict` chooses by a score and a budget, `measure_eviction` takes the caller's own masks; both measure the error of every
head's and layer's output without running the model again. `Continuation` runs it without the pairs.
"""

from normlens.topk.eviction.budgets import BUDGETS
from normlens.topk.eviction.choosing import evict, measure_eviction
from normlens.topk.eviction.continuation import Continuation
from normlens.topk.eviction.evicted_pairs import Eviction
from normlens.topk.eviction.key_scores import SCORES, WINDOW, KeyScore
from normlens.topk.eviction.text_reading import TextReading

__all__ = [
    "BUDGETS",
    "SCORES",
    "WINDOW",
    "Continuation",
    "Eviction",
    "KeyScore",
    "TextReading",
    "evict",
    "measure_eviction",
]
