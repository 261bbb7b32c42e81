"""Soft erasure: each unit stays, or goes, with a probability that grows with its score, at a fixed expected number of units.

Soft measures reward methods with large scores, since these keep more of the text. Here every method keeps the same expected
share, so that only the choice of units counts (Huang & Chan 2026).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import ArrayLike

from normlens.errors import InvalidInput
from normlens.faithfulness.erasure.classifying import Classifier, LensClassifier
from normlens.faithfulness.erasure.trials import Trial
from normlens.faithfulness.erasure.units import units_named
from normlens.lens import Lens

RANDOM_UNITS = "random"
"""The baseline: every unit has the same probability."""


def soft_evaluate(
    model: Lens | Classifier,
    texts: Sequence[str],
    scores: Mapping[str, Sequence[ArrayLike]],
    *,
    share: float | None = 0.5,
    draws: int = 10,
    by: str = "word",
    erasure: str = "mask",
    replacement: str | None = None,
    by_magnitude: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 64,
) -> xr.Dataset:
    """Measure comprehensiveness and sufficiency with random choices of units, drawn by their scores.

    A unit with score a is chosen with probability q = min(1, c · (a − min a)), where c makes the mean of q the same for all
    methods: ``share``. Comprehensiveness is the fall of the predicted class's probability when the chosen units are erased,
    sufficiency the fall when only they are kept, both averaged over draws.

    Parameters
    ----------
    model, texts, scores, batch_size
        As in :func:`normlens.faithfulness.evaluate`.
    share
        Expected share of the units that are chosen, above 0 and below 1. None: c = 1 / (max a − min a), without this
        control, as soft measures were first defined; then methods with flat scores choose more units.
    draws
        Choices that are averaged for each text and method.
    by, erasure, replacement
        As in :class:`Design`; ``erasure`` is "mask" or "delete".
    by_magnitude
        Names of the methods whose scores count by their absolute value.
    seed
        Draws the choices; the same random numbers for every method.

    Returns
    -------
    xarray.Dataset
        ``soft_comprehensiveness`` (higher is better), ``soft_sufficiency`` (lower is better) and ``chosen`` (mean share of
        units that were drawn), ``(attribution, text)``; the last attribution is "random", which gives every unit the same
        probability.

    Raises
    ------
    InvalidInput
        If the share or the number of draws is out of range, a method is called "random", or scores don't fit the texts.

    References
    ----------
    Zhao & Aletras 2023, "Incorporating Attribution Importance for Improving Faithfulness Metrics", arXiv:2305.10496 (soft
    erasure, of parts of embeddings); Huang & Chan 2026, "Faithfulness Evaluation for Decoder-only LLM Attributions with
    Controlled Retained Information", arXiv:2601.03089 (the control).
    """
    _check(texts, scores, share, draws)
    classifier = LensClassifier(model, batch_size=batch_size) if isinstance(model, Lens) else model
    chosen_token = classifier.replacement(replacement)
    measures = np.empty((3, len(scores) + 1, len(texts)))
    for number, text in enumerate(texts):
        tokens = classifier.encode(text)
        trial = Trial(np.asarray(tokens.ids), units_named(by)(tokens), chosen_token.id)
        rows = {name: trial.units.scores(values[number]) for name, values in scores.items()}
        rows = {name: abs(row) if name in by_magnitude else row for name, row in rows.items()}
        rows[RANDOM_UNITS] = np.zeros(len(trial.units))
        noise = np.random.default_rng([seed, number]).random((draws, len(trial.units)))
        measures[:, :, number] = _measured(classifier, trial, list(rows.values()), noise, share, erasure)
    names = ("soft_comprehensiveness", "soft_sufficiency", "chosen")
    return xr.Dataset(
        {name: (("attribution", "text"), table) for name, table in zip(names, measures, strict=True)},
        coords={"attribution": [*scores, RANDOM_UNITS]},
        attrs={"share": np.nan if share is None else share, "draws": draws, "by": by, "erasure": erasure, "seed": seed},
    )


def choice_probabilities(scores: ArrayLike, share: float | None) -> Float[np.ndarray, " unit"]:
    """Probability with which each unit is chosen.

    Parameters
    ----------
    scores
        A finite score of each unit.
    share
        Their mean; None for scores between their smallest (0) and their largest (1).

    Returns
    -------
    array, ``(unit,)``
        Between 0 and 1, in the order of the scores. Equal scores have the probability ``share``, or 1 without one.

    Examples
    --------
    >>> choice_probabilities([0.0, 1.0, 3.0], 0.5).round(3).tolist()
    [0.0, 0.5, 1.0]
    >>> choice_probabilities([2.0, 2.0], 0.3).tolist()
    [0.3, 0.3]
    """
    above = np.asarray(scores, dtype=np.float64) - np.min(scores)
    largest = float(above.max())
    if largest == 0:
        return np.full(len(above), 1.0 if share is None else share)
    relative = above / largest
    if share is None:
        return np.asarray(relative)
    reachable = float(np.mean(relative > 0))
    if share >= reachable:  # all units above the smallest are certain; the smallest ones share the rest
        rest = (share - reachable) / (1 - reachable)
        return np.where(relative > 0, 1.0, rest)
    falling = np.sort(relative)[::-1]
    certain = np.arange(len(falling))
    with np.errstate(all="ignore"):  # a score may be vanishingly small beside the largest
        factors = (share * len(falling) - certain) / np.cumsum(falling[::-1])[::-1]
        factor = float(factors[np.argmax(factors * falling <= 1)])  # the fewest units that have to be certain
    return np.asarray(np.clip(factor * relative, 0.0, 1.0))


def _check(texts: Sequence[str], scores: Mapping[str, Sequence[ArrayLike]], share: float | None, draws: int) -> None:
    if share is not None and not 0 < share < 1:
        raise InvalidInput(f"share is {share!r}; expected a number above 0 and below 1, or None.")
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise InvalidInput(f"draws is {draws!r}; expected an integer from 1.")
    if RANDOM_UNITS in scores:
        raise InvalidInput(f"A method is called {RANDOM_UNITS!r}, the name of the baseline. Call it something else.")
    for name, values in scores.items():
        if len(values) != len(texts):
            raise InvalidInput(f"{name} has scores of {len(values)} texts; expected {len(texts)}, one array for each.")


def _measured(
    classifier: Classifier,
    trial: Trial,
    rows: Sequence[Float[np.ndarray, " unit"]],
    noise: Float[np.ndarray, "draw unit"],
    share: float | None,
    erasure: str,
) -> Float[np.ndarray, "3 attribution"]:
    """Both falls and the drawn share of each method, for one text."""
    choices = [noise < choice_probabilities(row, share) for row in rows]
    variants = [trial.ids]
    for choice in choices:
        for drawn in choice:
            units = np.flatnonzero(drawn)
            variants += [trial.without(units, erasure), trial.only(units, erasure)]
    probabilities = classifier.probabilities(variants)
    predicted = int(probabilities[0].argmax())
    falls = (probabilities[0, predicted] - probabilities[1:, predicted]).reshape(len(rows), len(noise), 2).mean(axis=1)
    return np.stack([falls[:, 0], falls[:, 1], [choice.mean() for choice in choices]])
