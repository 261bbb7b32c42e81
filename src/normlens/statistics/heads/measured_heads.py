"""Statistics of a model's heads over a corpus: text after text goes through a lens, and a few numbers of each are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from normlens.errors import InvalidInput
from normlens.statistics.collection import TextCollection, table_of
from normlens.statistics.heads.numbers import MEASURES, head_numbers, head_sums

if TYPE_CHECKING:
    from normlens.analysis.result import Analysis
    from normlens.statistics.report.measured_corpus import Stream, Text


class HeadStatistics:
    """Collect the numbers of heads of many texts; return their means and bootstrap intervals as a tidy table.

    One collection is for one kind of attention of one model; O(layers × heads) numbers of every text are kept.

    References
    ----------
    Gu et al. (2025), When Attention Sink Emerges in Language Models: the sink metric, by weight. The relative length of a
    head's output transfers best between models as the rule for inactive heads in https://arxiv.org/abs/2504.03889.
    """

    def __init__(self) -> None:
        self._texts = TextCollection()

    def __len__(self) -> int:
        """Count the texts."""
        return len(self._texts)

    def add(self, data: xr.Dataset) -> None:
        """Add one analyzed text.

        Parameters
        ----------
        data
            One group of an analysis with ``measures=MEASURES, reduce=head_sums``.

        Raises
        ------
        InvalidInput
            If it was reduced otherwise, or the layers or heads differ from those of earlier texts.
        """
        self._texts.add(data, head_numbers(data))

    def table(self, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
        """Return means over texts with bootstrap intervals, by head, by layer and over all heads.

        Parameters
        ----------
        confidence, resamples, seed
            Options of the bootstrap over texts (`normlens.statistics.bootstrap_interval`).

        Returns
        -------
        pandas.DataFrame
            The columns of `normlens.statistics.COLUMNS`. `quantity` is one of
            `normlens.statistics.heads.QUANTITIES`; over all heads, `sink_by_weight` is the sink metric of Gu et al. 2025.

        Raises
        ------
        InvalidInput
            If no text was added.
        """
        return table_of(self._texts.rows(confidence=confidence, resamples=resamples, seed=seed))


def measure_heads(
    lens: Stream,
    texts: Iterable[Text],
    targets: Iterable[Text] | None = None,
    *,
    group: str | None = None,
    **options: Any,
) -> dict[str, HeadStatistics]:
    """Measure a model's heads over a corpus; memory grows with its texts by a few numbers for each head.

    Parameters
    ----------
    lens
        The model.
    texts, targets
        The texts; a text may be a list of its words. Targets are for encoder–decoders, one for each text.
    group
        One kind of attention only. Default: all.
    **options
        As in :meth:`normlens.Lens.stream`, such as ``batch_size``, ``truncate`` and ``skip``.

    Returns
    -------
    dict
        By kind of attention.

    Raises
    ------
    NormLensError
        If there is no text, one of them can't be analyzed, or all of them are left out.
    """
    return head_statistics(lens.stream(texts, targets, measures=MEASURES, reduce=head_sums, **options), group)


def head_statistics(analyses: Iterable[Analysis], group: str | None = None) -> dict[str, HeadStatistics]:
    """Collect the numbers of heads from analyses with ``measures=MEASURES, reduce=head_sums``.

    Parameters
    ----------
    analyses
        One for each text, such as a stream.
    group
        One kind of attention only. Default: all.

    Returns
    -------
    dict
        By kind of attention.

    Raises
    ------
    InvalidInput
        If there is no analysis, it was reduced otherwise, or it doesn't have that kind.
    """
    statistics: dict[str, HeadStatistics] = {}
    for analysis in analyses:
        if group is not None and group not in analysis.groups:
            raise InvalidInput(
                f"This model has no group {group}; it has {', '.join(analysis.groups)}. Choose one of these."
            )
        for name in analysis.groups if group is None else [group]:
            statistics.setdefault(name, HeadStatistics()).add(analysis[name].data)
    if not statistics:
        raise InvalidInput(
            "There is no text to measure: the corpus is empty, or all of its texts were left out. Expected at least one."
        )
    return statistics
