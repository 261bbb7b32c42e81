"""Statistics of single heads over a corpus: what each looks at by weight and by norm, and how much it moves.

:func:`measure_heads` sends the texts through a lens, :func:`head_scatter` draws the heads as points, and
:class:`AttentionLog` logs them while a model is trained.
"""

from normlens.statistics.heads.measured_heads import HeadStatistics, head_statistics, measure_heads
from normlens.statistics.heads.numbers import EPSILON, MEASURES, QUANTITIES, head_numbers, head_sums
from normlens.statistics.heads.scatter_of_heads import Sources, head_scatter
from normlens.statistics.heads.training_log import AttentionLog

__all__ = [
    "EPSILON",
    "MEASURES",
    "QUANTITIES",
    "AttentionLog",
    "HeadStatistics",
    "Sources",
    "head_numbers",
    "head_scatter",
    "head_statistics",
    "head_sums",
    "measure_heads",
]
