"""Statistics of weights and norms: shares, dispersion, rank correlation, bootstrap intervals. Arrays only, no model.

`CorpusStatistics` collects analyzed texts and gives a tidy table; the functions below it work on plain arrays.
"""

from normlens.statistics.change import block_change, map_change
from normlens.statistics.collection import COLUMNS
from normlens.statistics.corpus_statistics import CorpusStatistics
from normlens.statistics.frequency import TokenFrequency
from normlens.statistics.intervals import bootstrap_interval, mean_of_present
from normlens.statistics.measures import (
    coefficient_of_variation,
    mean_of_members,
    mean_over_seeing_targets,
    mean_over_targets,
    rank_correlation,
    share,
)
from normlens.statistics.text import ALL, text_numbers
from normlens.statistics.token_types import TYPES

__all__ = [
    "ALL",
    "COLUMNS",
    "TYPES",
    "CorpusStatistics",
    "TokenFrequency",
    "block_change",
    "bootstrap_interval",
    "coefficient_of_variation",
    "map_change",
    "mean_of_members",
    "mean_of_present",
    "mean_over_seeing_targets",
    "mean_over_targets",
    "rank_correlation",
    "share",
    "text_numbers",
]
