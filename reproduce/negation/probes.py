"""All heads together as a detector of scope: logistic regression on weights, on norms, on both, and on positions alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from normlens.words import is_punctuation
from reproduce.negation.annotated_cues import CueTable
from reproduce.negation.detection import best_thresholds, token_f1

INPUTS: Mapping[str, Sequence[str]] = {
    "position": (),
    "position and weights": ("weight",),
    "position and norms": ("norm",),
    "position, weights and norms": ("weight", "norm"),
}
"""The probes: measures of all heads beside the position of a word."""

STRENGTHS = (0.003, 0.03, 0.3)
"""Inverse strengths of the regularization, of which dev chooses."""

_FLOOR = 1e-6  # weights and norms below it count as it, since the logarithm is taken

Readings = Mapping[str, Float[np.ndarray, "row 2 place"]]


def position_features(table: CueTable) -> Float[np.ndarray, "row feature"]:
    """Where a word stands: the band of its signed distance, the distance, the sentence's length, and punctuation between."""
    bands = (table.band[:, None] == np.arange(10)).astype(np.float64)
    distance = table.distance.astype(np.float64)
    lengths, marks = [], []
    for cue, word, gap in zip(table.cue, table.word, table.distance, strict=True):
        words = table.sentences[table.cues[cue][0]].words
        between = words[min(word, word - gap) : max(word, word - gap)]
        lengths.append(len(words))
        marks.append(sum(all(map(is_punctuation, one)) for one in between))
    count = np.array(marks, dtype=np.float64)
    plain = [distance, np.abs(distance), np.log(np.abs(distance)), np.log(lengths), count, count > 0]
    return np.column_stack([bands, *plain, (count > 0) * (distance > 0)])


def probed(
    readings: Mapping[str, Readings], tables: Mapping[str, CueTable], measures: Sequence[str]
) -> tuple[Bool[np.ndarray, " row"], float]:
    """Fit on train, choose the regularization on dev, and predict the scopes of test.

    Parameters
    ----------
    readings, tables
        Readings and table of "train", "dev" and "test".
    measures
        Those whose heads are features beside the position.

    Returns
    -------
    predicted, strength
        The rows of test in the scope, and the chosen inverse strength of the regularization.
    """
    features = {split: _features(readings[split], tables[split], measures) for split in tables}
    tried = []
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        model.fit(features["train"], tables["train"].inside)
        [threshold], _ = best_thresholds(_scores(model, features["train"])[:, None], tables["train"])
        on_dev = tables["dev"].counts(_scores(model, features["dev"]) > threshold).sum(axis=0)
        tried.append((float(token_f1(on_dev)), strength, model, threshold))
    _, strength, model, threshold = max(tried, key=lambda one: one[0])
    return _scores(model, features["test"]) > threshold, strength


def _features(readings: Readings, table: CueTable, measures: Sequence[str]) -> Float[np.ndarray, "row feature"]:
    columns = [position_features(table)]
    for measure in measures:
        values = readings[measure].reshape(len(table.cue), -1)
        columns.append(np.log(np.maximum(np.nan_to_num(values), _FLOOR)))
    return np.concatenate(columns, axis=1)


def _scores(model: Pipeline, features: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, " row"]:
    return np.asarray(model.decision_function(features))
