"""Alignment error rate, precision and recall against sure and possible links, with bootstrap intervals.

Two alignments of the same text fail on the same hard sentences, so comparing their intervals says little; the interval of
the paired difference shows whether one is better.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

from normlens.bitext.links import LinkSets
from normlens.errors import InvalidInput
from normlens.words.three_lines import Summarized, counted

Interval = tuple[float, float]

_NUMBERS_AT_ONCE = 2_000_000  # resampled counts kept in memory


@dataclass(frozen=True, repr=False)
class Evaluation(Summarized):
    """How well an alignment agrees with annotated links.

    Attributes
    ----------
    aer, precision, recall
        Over the corpus, between 0 and 1. Precision is NaN if nothing was aligned.
    aer_interval, precision_interval, recall_interval
        Bootstrap percentile intervals over sentence pairs; NaN if not computed.
    sentences, links, sure, possible
        Numbers of sentence pairs, of links in the alignment, of sure links, of possible links (sure ones included).
    """

    aer: float
    precision: float
    recall: float
    aer_interval: Interval
    precision_interval: Interval
    recall_interval: Interval
    sentences: int
    links: int
    sure: int
    possible: int

    def _summary(self) -> tuple[str, str, str]:
        rates = ("AER", self.aer, self.aer_interval), ("precision", self.precision, self.precision_interval)
        written = [f"{name} {_percent(rate, bounds)}" for name, rate, bounds in rates]
        written.append(f"recall {_percent(self.recall, self.recall_interval)}")
        return (
            f"<Evaluation of {counted(self.sentences, 'sentence pair')}: {counted(self.links, 'link')} against {self.sure} "
            f"sure and {self.possible} possible ones>",
            ", ".join(written),
            "Next: .aer, .aer_interval, .as_dict(); alignment.difference(gold, …, …) compares two alignments",
        )

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON: NaN becomes None."""
        return _plain(self)


@dataclass(frozen=True)
class Difference:
    """The difference between two alignments of the same sentences.

    Attributes
    ----------
    aer
        The first alignment's AER minus the second's: negative if the first is better.
    aer_interval
        Paired bootstrap percentile interval over sentence pairs; NaN if not computed.
    """

    aer: float
    aer_interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON: NaN becomes None."""
        return _plain(self)


def evaluate(
    gold: Iterable[LinkSets],
    hypothesis: Iterable[LinkSets],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Compare an alignment A with annotated links S ⊆ P.

    AER = 1 − (|A∩S| + |A∩P|) / (|A| + |S|), precision = |A∩P| / |A|, recall = |A∩S| / |S|, over the corpus.

    Parameters
    ----------
    gold
        Annotated links, one entry per sentence pair.
    hypothesis
        The alignment; its possible links count as links.
    confidence, resamples, seed
        Settings of the bootstrap over sentence pairs; with fewer than two resamples, no intervals are computed.

    Raises
    ------
    InvalidInput
        If the two differ in length, or there are no sure links to compare with.

    References
    ----------
    Och & Ney 2003, "A Systematic Comparison of Various Statistical Alignment Models", section 5.

    Examples
    --------
    >>> gold = [LinkSets.from_links({(0, 0), (1, 1)}, {(2, 1)})]
    >>> evaluate(gold, [LinkSets.from_links({(0, 0), (2, 1), (2, 2)})]).aer
    0.4
    """
    table = _counts(gold, hypothesis)
    rates, (low, high) = _rates(*table.T), _intervals(table, _rates, confidence, resamples, seed)
    of_aer, of_precision, of_recall = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    numbers = [int(n) for n in table.sum(axis=0)]
    aer, precision, recall = map(float, rates)
    return Evaluation(
        aer, precision, recall, of_aer, of_precision, of_recall, len(table), numbers[0], numbers[1], numbers[4]
    )


def difference(
    gold: Iterable[LinkSets],
    hypothesis: Iterable[LinkSets],
    other: Iterable[LinkSets],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Difference:
    """The difference of two alignments' AER on the same sentences, with its interval.

    Parameters
    ----------
    gold
        Annotated links, one entry per sentence pair.
    hypothesis, other
        The alignments; their possible links count as links.
    confidence, resamples, seed
        Settings of the bootstrap over sentence pairs; with fewer than two resamples, no interval is computed.

    Raises
    ------
    InvalidInput
        If they differ in length, or there are no sure links to compare with.

    Examples
    --------
    >>> gold = [LinkSets.from_links({(0, 0), (1, 1)})]
    >>> round(difference(gold, [LinkSets.from_links({(0, 0), (1, 1)})], [LinkSets.from_links({(0, 0)})]).aer, 3)
    -0.333
    """
    annotated = list(gold)
    table = np.concatenate([_counts(annotated, hypothesis), _counts(annotated, other)], axis=1)
    low, high = _intervals(table, _aer_difference, confidence, resamples, seed)
    return Difference(float(_aer_difference(*table.T)), (float(low), float(high)))


def _percent(rate: float, interval: Interval) -> str:
    """A rate in percent, with its interval if there is one."""
    low, high = interval
    bounds = f" ({100 * low:.1f} to {100 * high:.1f})" if low == low else ""
    return f"{100 * rate:.1f} %{bounds}" if rate == rate else "undefined"


def _plain(record: Evaluation | Difference) -> dict[str, Any]:
    def plain(x: Any) -> Any:
        if isinstance(x, tuple):
            return [plain(y) for y in x]
        return None if isinstance(x, float) and x != x else x

    return {name: plain(value) for name, value in asdict(record).items()}


def _counts(gold: Iterable[LinkSets], hypothesis: Iterable[LinkSets]) -> Float[np.ndarray, "sentence 5"]:
    """|A|, |S|, |A∩S|, |A∩P|, |P| of each sentence pair; refuses a corpus without sure links."""
    rows = []
    for number, (annotated, predicted) in enumerate(zip_longest(gold, hypothesis), start=1):
        if annotated is None or predicted is None:
            which, other = ("gold", "alignment") if annotated is None else ("alignment", "gold")
            raise InvalidInput(
                f"The {which} has only {number - 1} sentence pairs and the {other} has more; expected the same number. "
                "Both must cover the same sentences."
            )
        links = predicted.possible
        rows.append(
            (len(links), len(annotated.sure), len(links & annotated.sure), len(links & annotated.possible),
             len(annotated.possible))
        )  # fmt: skip
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 5)
    if not table[:, 1].sum():
        raise InvalidInput(
            f"The gold alignment has no sure links in its {len(table)} sentence pairs, so nothing can be compared with it. "
            "Sure links are written 3-4."
        )
    return table


def _rates(*columns: NDArray[np.float64], axis: int = -1) -> Float[np.ndarray, "rate *resample"]:
    """AER, precision and recall from the columns of the counts, summed along ``axis``."""
    links, sure, hits, allowed = (column.sum(axis=axis) for column in columns[:4])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([1 - (hits + allowed) / (links + sure), allowed / links, hits / sure])


def _aer_difference(*columns: NDArray[np.float64], axis: int = -1) -> Float[np.ndarray, "*resample"]:
    """The first five counts' AER minus that of the second five, summed along ``axis``."""
    first, second = (_rates(*of, axis=axis)[0] for of in (columns[:5], columns[5:]))
    return np.asarray(first - second)


def _intervals(
    table: NDArray[np.float64], rates: Callable[..., NDArray[np.float64]], confidence: float, resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile intervals of ``rates``; sentence pairs are drawn with replacement."""
    if len(table) < 2 or resamples < 2:
        missing = np.full_like(rates(*table.T), np.nan)
        return missing, missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # without links, precision and its interval are NaN
        result = bootstrap(
            tuple(table.T),
            rates,
            paired=True,
            vectorized=True,
            confidence_level=confidence,
            n_resamples=resamples,
            batch=max(1, _NUMBERS_AT_ONCE // len(table)),
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    return np.asarray(result.confidence_interval.low), np.asarray(result.confidence_interval.high)
