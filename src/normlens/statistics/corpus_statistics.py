"""Statistics over a corpus, text by text: the numbers kept for a text don't grow with its length."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from normlens.errors import InvalidInput
from normlens.statistics.collection import TextCollection, table_of
from normlens.statistics.frequency import TokenFrequency
from normlens.statistics.text import text_numbers
from normlens.statistics.token_types import TokenTypes


class CorpusStatistics:
    """Collect the numbers of many texts; return their means and bootstrap intervals as a tidy table.

    O(layers × heads) numbers of every text are kept, whatever its length, and three numbers for every distinct token of
    the corpus. One collection is for one kind of attention of one model.

    Parameters
    ----------
    frequency
        Ranks of token frequency for the correlations within each text. Default: no such correlations; the correlation over
        the distinct tokens of the corpus then uses ranks counted in the corpus.

    Attributes
    ----------
    frequency
        As passed.
    largest_conservation_error
        Over all texts, layers, targets and scopes; NaN if it was never measured.
    """

    def __init__(self, frequency: TokenFrequency | None = None) -> None:
        self.frequency = frequency
        self.largest_conservation_error = float("nan")
        self._texts = TextCollection()
        self._types = TokenTypes()

    def __len__(self) -> int:
        """Count the texts."""
        return len(self._texts)

    @property
    def kind(self) -> str:
        """Kind of attention; empty until the first text is added."""
        return self._texts.kind

    @property
    def layers(self) -> list[int]:
        """Layer numbers; empty until the first text is added."""
        return self._texts.layers

    @property
    def heads(self) -> list[int]:
        """Head numbers; empty until the first text is added."""
        return self._texts.heads

    def add(self, data: xr.Dataset) -> None:
        """Add one analyzed text.

        Parameters
        ----------
        data
            One group of an analysis, such as ``analysis["encoder"]``.

        Raises
        ------
        InvalidInput
            If a variable is missing, or the layers or heads differ from those of earlier texts.
        """
        self._texts.add(data, text_numbers(data, self.frequency))
        if "conservation_error" in data:
            errors = data["conservation_error"].values.ravel()
            self.largest_conservation_error = _largest([self.largest_conservation_error, *errors[np.isfinite(errors)]])
        self._types.add(data)

    def merge(self, other: CorpusStatistics) -> CorpusStatistics:
        """Join two collections, as if all texts had been added to one, first these, then the others.

        Parameters
        ----------
        other
            Statistics of further texts, of the same model and with the same frequencies.

        Returns
        -------
        CorpusStatistics
            A new collection; both originals are unchanged.

        Raises
        ------
        InvalidInput
            If layers, heads or frequencies differ.
        """
        if not _same(self.frequency, other.frequency):
            raise InvalidInput(
                f"The collections have frequencies with different ranks ({_source(self.frequency)} and "
                f"{_source(other.frequency)}); expected the same. Collect both with one frequency table."
            )
        joined = CorpusStatistics(self.frequency)
        for one in (self, other):
            joined._texts.extend(one._texts)
            joined._types.include(one._types)
        joined.largest_conservation_error = _largest(
            [self.largest_conservation_error, other.largest_conservation_error]
        )
        return joined

    def facts(self) -> dict[str, str]:
        """How the numbers of the table were obtained, for a reader: ranks of frequency, and intervals."""
        return {
            "token frequency": self.frequency.source if self.frequency else "counted in the corpus",
            "intervals": "95 % bootstrap percentile, 1000 draws of texts, seed 0",
        }

    def table(self, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
        """Return means over texts with bootstrap intervals, by head, by layer and over all.

        Parameters
        ----------
        confidence, resamples, seed
            Options of the bootstrap over texts (`normlens.statistics.bootstrap_interval`).

        Returns
        -------
        pandas.DataFrame
            One row per number: `quantity`, `category`, `layer` and `head` (missing: the mean over all of them),
            `value`, `low` and `high` (the interval; NaN with one text, or where none is defined), `n_texts` (texts
            with the number).

        Raises
        ------
        InvalidInput
            If no text was added.
        """
        rows = self._texts.rows(confidence=confidence, resamples=resamples, seed=seed)
        return table_of([*rows, *self._types.rows(self.frequency, len(self))])


def _largest(values: list[float]) -> float:
    """Return the largest finite number; NaN if there is none."""
    present = [float(value) for value in values if np.isfinite(value)]
    return max(present, default=float("nan"))


def _same(one: TokenFrequency | None, other: TokenFrequency | None) -> bool:
    """Whether two tables have the same ranks, whatever their names."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.rank, other.rank)


def _source(frequency: TokenFrequency | None) -> str:
    """Return the source of frequencies."""
    return "(none)" if frequency is None else frequency.source
