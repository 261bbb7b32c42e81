"""Words inside a scope against words outside it at the same distance, on the same side, in the same clause or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from reproduce.negation.annotated_cues import CueTable

_RESAMPLES = 1000


def strata(table: CueTable, *, syntax: bool) -> Int[np.ndarray, " row"]:
    """Each row's stratum: the band of its signed distance, and with `syntax` also whether it is in the clause of the cue."""
    return 2 * table.band + (table.same_clause if syntax else 0)


def within_strata_auc(
    values: Float[np.ndarray, "row place"], inside: Bool[np.ndarray, " row"], stratum: Int[np.ndarray, " row"]
) -> Float[np.ndarray, " place"]:
    """How often a word inside has the larger number than one outside of the same stratum, from 0 to 1; ½ by chance.

    Parameters
    ----------
    values
        A number for each row and place; rows without one (NaN) are left out, the same for every place.
    inside, stratum
        Whether a row is in the scope, and its stratum. Use one stratum for all rows for the plain area under the curve.
    """
    present = np.isfinite(values).all(axis=1)
    wins, pairs = np.zeros(values.shape[1]), 0.0
    for number in np.unique(stratum[present]):
        rows = np.flatnonzero(present & (stratum == number))
        ins = inside[rows]
        n_in, n_out = int(ins.sum()), int((~ins).sum())
        if n_in and n_out:
            ranks = rankdata(values[rows], axis=0)
            wins += ranks[ins].sum(axis=0) - n_in * (n_in + 1) / 2
            pairs += n_in * n_out
    return wins / pairs if pairs else np.full(values.shape[1], np.nan)


def relative_difference(
    values: Float[np.ndarray, "row place"], table: CueTable, stratum: Int[np.ndarray, " row"], seed: int = 0
) -> Float[np.ndarray, "3 place"]:
    """Mean inside minus mean outside, over the mean of both, matched by stratum; with a 95 % interval over sentences.

    In each stratum the means are compared; strata count by their words inside. Rows without a number are left out.

    Parameters
    ----------
    values, table, stratum
        A number for each row and place, the rows' table, and their strata.
    seed
        Of the draws of sentences.
    """
    sentences, names = len(table.sentences), np.unique(stratum)
    present = np.isfinite(values).all(axis=1)
    group = np.searchsorted(names, stratum)
    sums = np.zeros((2, sentences, len(names), values.shape[1]))
    counts = np.zeros((2, sentences, len(names)))
    where = table.inside.astype(int), table.sentence[table.cue], group
    picked = tuple(index[present] for index in where)
    np.add.at(sums, picked, values[present])
    np.add.at(counts, picked, 1.0)
    draws = np.random.default_rng(seed).multinomial(sentences, np.full(sentences, 1 / sentences), size=_RESAMPLES)
    draws = np.concatenate([np.ones((1, sentences)), draws])
    outside_in = [_means(draws, sums[k], counts[k]) for k in (0, 1)]
    weight = draws @ counts[1]
    both = (draws @ counts[0] > 0) & (weight > 0)
    weight = np.where(both, weight, 0.0)[..., None]
    outside, inside = ((np.nan_to_num(mean) * weight).sum(axis=1) / weight.sum(axis=1) for mean in outside_in)
    relative = 2 * (inside - outside) / np.where(inside + outside == 0, 1.0, inside + outside)
    return np.stack([relative[0], *np.quantile(relative[1:], [0.025, 0.975], axis=0)])


def auc_interval(
    values: Sequence[Float[np.ndarray, " row"]], table: CueTable, stratum: Int[np.ndarray, " row"], seed: int = 0
) -> Float[np.ndarray, "3 place"]:
    """The area within strata of some numbers, with 95 % intervals over sentences; the same draws for all of them.

    Parameters
    ----------
    values
        A number for each row, for each place.
    table, stratum, seed
        As in :func:`relative_difference`.
    """
    columns = np.stack(values, axis=1)
    generator, sentence = np.random.default_rng(seed), table.sentence[table.cue]
    by_sentence = [np.flatnonzero(sentence == number) for number in range(len(table.sentences))]
    drawn = []
    for _ in range(200):
        rows = np.concatenate([by_sentence[k] for k in generator.integers(len(by_sentence), size=len(by_sentence))])
        drawn.append(within_strata_auc(columns[rows], table.inside[rows], stratum[rows]))
    whole = within_strata_auc(columns, table.inside, stratum)
    return np.stack([whole, *np.quantile(drawn, [0.025, 0.975], axis=0)])


def _means(
    draws: Float[np.ndarray, "draw sentence"],
    sums: Float[np.ndarray, "sentence stratum place"],
    counts: Float[np.ndarray, "sentence stratum"],
) -> Float[np.ndarray, "draw stratum place"]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.tensordot(draws, sums, axes=1) / (draws @ counts)[..., None])
