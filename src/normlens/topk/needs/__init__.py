"""What a model needs of its sources: how many each target needs, and what is left of the model when it keeps only k.

`count_sources` looks at a model with its ordinary attention; `quality_of` holds a model that `normlens.topk.use` switched
against itself before.
"""

from normlens.topk.needs.counting import COUNTS, count_sources, sources_for_share, sources_for_vector
from normlens.topk.needs.passages import Passages, cut_into_passages
from normlens.topk.needs.quality import (
    EmbeddingQuality,
    PredictionQuality,
    next_token_numbers,
    predicts_tokens,
    quality_of,
)

__all__ = [
    "COUNTS",
    "EmbeddingQuality",
    "Passages",
    "PredictionQuality",
    "count_sources",
    "cut_into_passages",
    "next_token_numbers",
    "predicts_tokens",
    "quality_of",
    "sources_for_share",
    "sources_for_vector",
]
