"""How many sources each target needs, and how well a model works when each target keeps only k.

`count_sources` measures a model with its ordinary attention; `quality_of` compares a model under `normlens.topk.use` with
the same model before.
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
