"""Means over sentences with bootstrap intervals, as rows of the table of `normlens.statistics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from normlens.statistics import COLUMNS, bootstrap_interval, mean_of_present, rank_correlation

Key = tuple[str, str]


def layer_rows(
    sentences: Iterable[Mapping[Key, Float[np.ndarray, " layer"]]], *, seed: int, resamples: int
) -> pd.DataFrame:
    """Average numbers over sentences, by layer and over all layers.

    Parameters
    ----------
    sentences
        For each sentence ``(quantity, category)`` to an array ``(layer,)``; a number that a sentence lacks is left out
        of the mean, whether its key is absent or it is NaN.
    seed, resamples
        Options of the bootstrap over sentences.

    Returns
    -------
    pandas.DataFrame
        The columns of `normlens.statistics.CorpusStatistics.table`; `head` is missing throughout.
    """
    by_sentence = list(sentences)
    rows = []
    for key in dict.fromkeys(key for numbers in by_sentence for key in numbers):
        layers = next(numbers[key] for numbers in by_sentence if key in numbers).shape[0]
        values = np.stack([numbers.get(key, np.full(layers, np.nan)) for numbers in by_sentence])
        columns = np.column_stack([values, mean_of_present(values, axis=1)])
        low, high = bootstrap_interval(columns, seed=seed, resamples=resamples)
        for place, mean in enumerate(mean_of_present(columns, axis=0)):
            layer = place if place < layers else None
            present = int(np.isfinite(columns[:, place]).sum())
            rows.append((*key, layer, None, mean, low[place], high[place], present))
    return table(rows)


def pooled_correlation(
    values: Float[np.ndarray, "quantity token"],
    ranks: Float[np.ndarray, " token"],
    sentence: Int[np.ndarray, " token"],
    *,
    seed: int,
    resamples: int,
) -> Float[np.ndarray, "3 quantity"]:
    """Spearman over the tokens of a whole corpus, with an interval by resampling whole sentences.

    Parameters
    ----------
    values
        Numbers of every token, one row per quantity.
    ranks
        Frequency rank of every token, NaN where it has none.
    sentence
        Number of the sentence that a token belongs to, ascending.
    seed, resamples
        Options of the bootstrap; sentences are drawn with replacement, since tokens of one sentence are not independent.

    Returns
    -------
    array, ``(3, quantity)``
        Value, 2.5 % and 97.5 % quantile.
    """
    tokens = np.split(np.arange(len(sentence)), np.flatnonzero(np.diff(sentence)) + 1)
    generator = np.random.default_rng(seed)
    drawn = np.empty((resamples, len(values)))
    for draw in drawn:
        chosen = np.concatenate([tokens[k] for k in generator.integers(len(tokens), size=len(tokens))])
        draw[:] = rank_correlation(values[:, chosen], ranks[chosen])
    return np.stack([rank_correlation(values, ranks), *np.quantile(drawn, [0.025, 0.975], axis=0)])


def pooled_variation(
    moments: Float[np.ndarray, "sentence 3 layer head"], *, seed: int, resamples: int
) -> Float[np.ndarray, "3 column"]:
    """Coefficient of variation over the tokens of a whole corpus, mean over heads, with an interval.

    Parameters
    ----------
    moments
        Of each sentence, layer and head: the number of tokens, the sum of their values and the sum of the squares.
    seed, resamples
        Options of the bootstrap over sentences.

    Returns
    -------
    array, ``(3, layer + 1)``
        Value, 2.5 % and 97.5 % quantile for each layer, and for the mean over layers last.
    """
    size = len(moments)
    counts = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=resamples)
    drawn = _variation(np.tensordot(counts.astype(np.float64), moments, axes=1))
    return np.stack([_variation(moments.sum(axis=0, keepdims=True))[0], *np.quantile(drawn, [0.025, 0.975], axis=0)])


def table(rows: Iterable[tuple[object, ...]]) -> pd.DataFrame:
    """Rows in the order of `normlens.statistics.COLUMNS` as a table whose layer numbers are integers, or missing."""
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    return frame.astype(
        {"layer": "Int64", "head": "Int64", "value": float, "low": float, "high": float, "n_texts": int}
    )


def _variation(sums: Float[np.ndarray, "draw 3 layer head"]) -> Float[np.ndarray, "draw column"]:
    count, total, squares = np.moveaxis(sums, 1, 0)
    mean = total / count
    by_layer = mean_of_present(np.sqrt(np.maximum(squares / count - mean**2, 0)) / mean, axis=-1)
    return np.concatenate([by_layer, by_layer.mean(axis=-1, keepdims=True)], axis=-1)
