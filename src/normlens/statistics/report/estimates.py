"""Numbers of the tidy table, found by name, and how a person reads them."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from normlens.errors import InvalidInput
from normlens.statistics import ALL
from normlens.statistics.report.placing import NUMBERS, complete

Place = tuple[str, str, int | None, int | None]


@dataclass(frozen=True)
class Estimate:
    """A mean over texts with its interval.

    Attributes
    ----------
    value, low, high
        The mean and the ends of its interval; the ends are NaN where no interval is defined.
    n_texts
        How many texts have the number.
    """

    value: float
    low: float
    high: float
    n_texts: int

    def percent(self) -> str:
        """Write as a percentage, such as ``38 % (36–41)``, with a decimal where the interval is that narrow."""
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
    """Every number of one attention kind, found by quantity, category and layer.

    Parameters
    ----------
    table
        The tidy table of `normlens.statistics.CorpusStatistics`.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        places = table[["quantity", "category", "layer", "head"]].astype(object)
        places = places.where(places.notna(), None)
        numbers = table[["value", "low", "high", "n_texts"]]
        self._found: dict[Place, Estimate] = {
            (str(quantity), str(category), layer, head): Estimate(float(value), float(low), float(high), int(count))
            for (quantity, category, layer, head), (value, low, high, count) in zip(
                places.itertuples(index=False, name=None), numbers.itertuples(index=False, name=None), strict=True
            )
        }
        self.layers = sorted({int(layer) for _, _, layer, _ in self._found if layer is not None})

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
        return self._found.get((quantity, category, layer, None))

    def categories(self, quantity: str) -> list[str]:
        """List the categories, or scopes, that a quantity is told apart by.

        Parameters
        ----------
        quantity
            As in the table.

        Returns
        -------
        list of str
            In the order of the table.
        """
        return list(dict.fromkeys(category for name, category, _, _ in self._found if name == quantity))

    @property
    def norm_share(self) -> str:
        """The name of the norm's share by layer: of the norm of the sum over heads, where it was measured."""
        return "norm_share" if self.categories("norm_share") else "weighted_norm_share"


def read_estimates(folder: str | Path) -> dict[str, Estimates]:
    """Read the numbers of a report.

    Parameters
    ----------
    folder
        That :func:`normlens.statistics.report.write_report` wrote.

    Returns
    -------
    dict of str to Estimates
        By attention kind, in the order of the report.

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
            f"'{folder}' holds no report (no {NUMBERS}); expected the folder of one. Write a report first."
        )
    try:
        table = pd.read_parquet(path)
        return {str(kind): Estimates(part) for kind, part in table.groupby("attention", sort=False)}
    except Exception as error:  # whatever pyarrow and pandas make of a file that may come from anywhere
        raise InvalidInput(
            f"{path} holds no numbers of a report ({type(error).__name__}: {error}). Write the report anew."
        ) from error
