"""Heads as detectors of scope: thresholds from train, the head from dev, scores on test; and rules beside them.

A word is in the scope of a cue if the head's number between the two is above a threshold. Numbers are read from the cue to
the word, from the word to the cue, or the larger of the two, as they are or divided by their mean over the sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from normlens.negation.scope_scoring import COUNTS
from normlens.words import is_punctuation
from reproduce.negation.annotated_cues import CueTable

DIRECTIONS = ("from the cue", "to the cue", "either")
SCALES = ("plain", "relative")
_RESAMPLES = 2000


@dataclass(frozen=True)
class Detector:
    """One number between cue and word with its threshold.

    Attributes
    ----------
    measure, place
        The measure, and the number of the head (layer by layer), of the layer, or 0.
    direction, scale
        One of `DIRECTIONS`, one of `SCALES`.
    threshold
        Words above it are in the scope.
    train_f1, dev_f1
        Token F1 on train and on dev, from 0 to 1.
    """

    measure: str
    place: int
    direction: str
    scale: str
    threshold: float
    train_f1: float
    dev_f1: float


def numbers(
    values: Float[np.ndarray, "row 2 place"], table: CueTable, direction: str, scale: str
) -> Float[np.ndarray, "row place"]:
    """The numbers that a detector compares with its threshold; −∞ where nothing passes.

    Parameters
    ----------
    values, table
        Readings of one measure, and the table of their rows.
    direction, scale
        One of `DIRECTIONS`, one of `SCALES`.
    """
    either = np.fmax(values[:, 0], values[:, 1])
    chosen = either if direction == "either" else values[:, DIRECTIONS.index(direction)]
    if scale == "relative":
        present = np.isfinite(chosen)
        ends = np.searchsorted(table.cue, np.arange(len(table.cues)))
        filled = np.where(present, chosen, 0.0)
        has = np.diff(np.append(ends, len(table.cue))) > 0
        total, count = (np.zeros((len(table.cues), chosen.shape[1])) for _ in range(2))
        total[has] = np.add.reduceat(filled, ends[has], axis=0)
        count[has] = np.add.reduceat(present.astype(float), ends[has], axis=0)
        mean = np.divide(total, count, out=np.ones_like(total), where=(count > 0) & (total > 0))
        chosen = chosen / mean[table.cue]
    return np.where(np.isfinite(chosen), chosen, -np.inf)


def best_thresholds(
    scores: Float[np.ndarray, "row place"], table: CueTable
) -> tuple[Float[np.ndarray, " place"], Float[np.ndarray, " place"]]:
    """For each place the threshold with the highest token F1, and that F1.

    Parameters
    ----------
    scores, table
        Numbers of each row, and the rows' table.
    """
    base = table.base.sum(axis=0)
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)
    right = base[0] + np.cumsum(table.inside[order], axis=0)
    predicted = base[0] + base[1] + np.arange(1, len(scores) + 1)[:, None]
    f1 = 2 * right / (predicted + base[0] + base[2])
    last_of_equals = np.concatenate([ranked[:-1] > ranked[1:], np.ones((1, scores.shape[1]), dtype=bool)])
    f1 = np.where(last_of_equals & np.isfinite(ranked), f1, -1.0)
    cut = f1.argmax(axis=0)
    places = np.arange(scores.shape[1])
    above = ranked[cut, places]
    below = np.where(cut + 1 < len(scores), ranked[np.minimum(cut + 1, len(scores) - 1), places], -np.inf)
    halfway = np.where(np.isfinite(below), (above + below) / 2, above - np.abs(above) / 2 - 1e-9)
    return halfway, f1[cut, places]


def token_f1(counts: Int[np.ndarray, "*rest 7"]) -> Float[np.ndarray, "*rest"]:
    """Token F1 from sums of counts, from 0 to 1."""
    right, wrong, missed = (counts[..., COUNTS.index(name)] for name in ("right", "wrong", "missed"))
    return np.asarray(2 * right / np.maximum(2 * right + wrong + missed, 1))


def scope_f1(counts: Int[np.ndarray, "*rest 7"]) -> Float[np.ndarray, "*rest"]:
    """Scope-level F1 of the shared task from sums of counts, from 0 to 1."""
    exact, annotated, invented = (counts[..., COUNTS.index(name)] for name in ("exact", "annotated", "invented"))
    return np.asarray(2 * exact / np.maximum(exact + invented + annotated, 1))


def detectors(
    train: Mapping[str, Float[np.ndarray, "row 2 place"]],
    dev: Mapping[str, Float[np.ndarray, "row 2 place"]],
    tables: tuple[CueTable, CueTable],
    measures: Sequence[str],
) -> Iterator[Detector]:
    """Every detector of some measures: each place, direction and scale with its best threshold on train.

    Parameters
    ----------
    train, dev
        Readings by measure.
    tables
        Those of train and of dev.
    measures
        Names of the measures; those that were not read are left out.
    """
    for measure in (name for name in measures if name in train):
        for direction in DIRECTIONS:
            for scale in SCALES:
                thresholds, on_train = best_thresholds(numbers(train[measure], tables[0], direction, scale), tables[0])
                predicted = numbers(dev[measure], tables[1], direction, scale) > thresholds
                on_dev = token_f1(tables[1].counts(predicted).sum(axis=0))
                for place, numbers_of in enumerate(zip(thresholds, on_train, on_dev, strict=True)):
                    yield Detector(measure, place, direction, scale, *map(float, numbers_of))


def best(candidates: Sequence[Detector]) -> Detector:
    """The detector with the highest token F1 on dev; of equals, that with the higher one on train."""
    return max(candidates, key=lambda one: (one.dev_f1, one.train_f1))


def best_by_place(candidates: Sequence[Detector]) -> dict[int, Detector]:
    """For each place the detector with the highest token F1 on train: its direction and scale without a look at dev."""
    places: dict[int, Detector] = {}
    for one in candidates:
        if one.place not in places or one.train_f1 > places[one.place].train_f1:
            places[one.place] = one
    return places


def predicted_by(
    detector: Detector, readings: Mapping[str, Float[np.ndarray, "row 2 place"]], table: CueTable
) -> Bool[np.ndarray, " row"]:
    """The rows that a detector puts into the scope."""
    values = readings[detector.measure][:, :, [detector.place]]
    return numbers(values, table, detector.direction, detector.scale)[:, 0] > detector.threshold


def ruled(table: CueTable) -> dict[str, Bool[np.ndarray, " row"]]:
    """Scopes by rules that need no model.

    "to the next punctuation mark" is every word after the cue and before the mark; "between punctuation marks" also the
    words back to the mark before.
    """
    after, before = np.zeros(len(table.cue), dtype=bool), np.zeros(len(table.cue), dtype=bool)
    for cue, (number, negation) in enumerate(table.cues):
        words = table.sentences[number].words
        marks = [place for place, word in enumerate(words) if all(map(is_punctuation, word))]
        first, last = negation.cue[0].word, negation.cue[-1].word
        end = min((mark for mark in marks if mark > last), default=len(words))
        start = max((mark for mark in marks if mark < first), default=-1)
        rows = np.flatnonzero(table.cue == cue)
        after[rows] = (table.word[rows] > first) & (table.word[rows] < end)
        before[rows] = (table.word[rows] < first) & (table.word[rows] > start)
    return {
        "to the next punctuation mark": after,
        "between punctuation marks": after | before,
        "smallest clause of the parse": table.same_clause,
        "whole sentence": np.ones(len(table.cue), dtype=bool),
    }


def window(table: CueTable) -> tuple[int, int]:
    """The window of words around the cue with the highest token F1: its first and its last signed distance."""
    reach = 30
    ends = [(-before, after) for before in range(reach) for after in range(reach)]
    base = table.base.sum(axis=0)
    inside, every = (
        np.bincount(np.clip(table.distance[chosen], -reach, reach) + reach, minlength=2 * reach + 1)
        for chosen in (table.inside, slice(None))
    )
    f1 = []
    for first, last in ends:
        span = slice(first + reach, last + reach + 1)
        right = base[0] + inside[span].sum()
        f1.append(2 * right / (base[0] + base[1] + every[span].sum() + base[0] + base[2]))
    return ends[int(np.argmax(f1))]


def in_window(table: CueTable, ends: tuple[int, int]) -> Bool[np.ndarray, " row"]:
    """The rows within a window."""
    return (table.distance >= ends[0]) & (table.distance <= ends[1])


def estimated(
    counts: Int[np.ndarray, "cue *rest 7"], table: CueTable, seed: int = 0
) -> dict[str, Float[np.ndarray, "3 *rest"]]:
    """Token and scope F1 with 95 % intervals by drawing sentences.

    Parameters
    ----------
    counts
        Counts of each cue, of one system or of several.
    table, seed
        The table, and the seed of the draws: equal seeds draw the same sentences.
    """
    drawn = resampled(counts, table, seed)
    total = counts.sum(axis=0)
    return {
        name: np.stack([score(total), *np.quantile(score(drawn), [0.025, 0.975], axis=0)])
        for name, score in (("token", token_f1), ("scope", scope_f1))
    }


def resampled(
    counts: Int[np.ndarray, "cue *rest 7"], table: CueTable, seed: int = 0
) -> Float[np.ndarray, "draw *rest 7"]:
    """Sums of the counts over sentences that are drawn with replacement."""
    sentences = len(table.sentences)
    sums = np.zeros((sentences, *counts.shape[1:]))
    np.add.at(sums, table.sentence, counts)
    draws = np.random.default_rng(seed).multinomial(sentences, np.full(sentences, 1 / sentences), size=_RESAMPLES)
    return np.tensordot(draws.astype(np.float64), sums, axes=1)


def difference(
    one: Int[np.ndarray, "cue 7"], other: Int[np.ndarray, "cue 7"], table: CueTable, seed: int = 0
) -> dict[str, list[float]]:
    """Token and scope F1 of one system minus those of another, with paired 95 % intervals."""
    both = np.stack([one, other], axis=1)
    drawn, total = resampled(both, table, seed), both.sum(axis=0)
    result = {}
    for name, score in (("token", token_f1), ("scope", scope_f1)):
        gaps = score(drawn)[:, 0] - score(drawn)[:, 1]
        result[name] = [float(score(total[0]) - score(total[1])), *np.quantile(gaps, [0.025, 0.975]).tolist()]
    return result
