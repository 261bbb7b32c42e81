"""Numbers of the tidy table, looked up by name, and their notation."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from normlens.errors import InvalidInput
from normlens.statistics import ALL
from normlens.statistics.report.placing import NUMBERS, complete

Key = tuple[str, str, int | None, int | None]


@dataclass(frozen=True)
class Estimate:
    """A mean over texts with its interval.

    Attributes
    ----------
    value, low, high
        The mean and the ends of its interval; the ends are NaN where no interval is defined.
    n_texts
        Number of texts with the number.
    """

    value: float
    low: float
    high: float
    n_texts: int

    def percent(self) -> str:
        """Write as a percentage, such as ``38 % (36–41)``, with one decimal where the interval is narrow."""
        decimals = 1 if abs(self.value) < 0.0995 or 0 < self.high - self.low < 0.02 else 0
        shown = f"{100 * self.value:.{decimals}f} %"
        if math.isnan(self.low):
            return shown.replace("-", "−")
        return f"{shown} ({100 * self.low:.{decimals}f}–{100 * self.high:.{decimals}f})".replace("-", "−")

    def number(self) -> str:
        """Write as a number, such as ``−0.42 (−0.45 to −0.39)``."""
        shown = f"{self.value:.2f}" if math.isnan(self.low) else f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"
        return shown.replace("-", "−")


class Estimates:
    """Every number of one kind of attention, looked up by quantity, category and layer.

    Parameters
    ----------
    table
        The tidy table of `normlens.statistics.CorpusStatistics`.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        keys = table[["quantity", "category", "layer", "head"]].astype(object)
        keys = keys.where(keys.notna(), None)
        numbers = table[["value", "low", "high", "n_texts"]]
        self._estimates: dict[Key, Estimate] = {
            (str(quantity), str(category), layer, head): Estimate(float(value), float(low), float(high), int(count))
            for (quantity, category, layer, head), (value, low, high, count) in zip(
                keys.itertuples(index=False, name=None), numbers.itertuples(index=False, name=None), strict=True
            )
        }
        self.layers = sorted({int(layer) for _, _, layer, _ in self._estimates if layer is not None})

    def get(self, quantity: str, category: str = ALL, layer: int | None = None) -> Estimate | None:
        """Look up a number.

        Parameters
        ----------
        quantity, category
            As in the table.
        layer
            Layer number. Default: the mean over layers.

        Returns
        -------
        Estimate or None
            The mean over heads; None if the table doesn't have it.
        """
        return self._estimates.get((quantity, category, layer, None))

    def categories(self, quantity: str) -> list[str]:
        """List the categories, or scopes, of a quantity.

        Parameters
        ----------
        quantity
            As in the table.

        Returns
        -------
        list of str
            In the order of the table.
        """
        return list(dict.fromkeys(category for name, category, _, _ in self._estimates if name == quantity))

    @property
    def norm_share(self) -> str:
        """The name of the share of the norm by layer: of the norm of the sum over heads, where it was measured."""
        return "norm_share" if self.categories("norm_share") else "weighted_norm_share"


def read_estimates(folder: str | Path) -> dict[str, Estimates]:
    """Read the numbers of a report.

    Parameters
    ----------
    folder
        The folder of :func:`normlens.statistics.report.write_report`.

    Returns
    -------
    dict of str to Estimates
        By kind of attention, in the order of the report.

    Raises
    ------
    InvalidInput
        If there is no report, or its numbers can't be read.
    """
    path = Path(folder) / NUMBERS
    with suppress(OSError):
        complete(Path(folder))
    if not path.is_file():
        raise InvalidInput(
            f"'{folder}' has no report (no {NUMBERS}); expected the folder of a report. Write one first."
        )
    try:
        table = pd.read_parquet(path)
        return {str(kind): Estimates(rows) for kind, rows in table.groupby("attention", sort=False)}
    except Exception as error:  # any error of pyarrow and pandas on a file of unknown origin
        raise InvalidInput(
            f"{path} can't be read as the numbers of a report ({type(error).__name__}: {error}). Write the report again."
        ) from error
