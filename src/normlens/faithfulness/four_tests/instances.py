"""Numbers of a run, text by text: how far each trained cell is from the base model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from normlens.faithfulness.four_tests.cell_work import Workplace
from normlens.faithfulness.four_tests.cells import Cell, base_cell
from normlens.faithfulness.four_tests.diagnostic import guide_from, permuted_guide
from normlens.faithfulness.four_tests.divergences import (
    jensen_shannon,
    kendall,
    kullback_leibler,
    total_variation,
)
from normlens.faithfulness.four_tests.families import Scores
from normlens.faithfulness.four_tests.outcomes import Outcome

_CONTROL_SEED = 12345


def instance_table(place: Workplace, outcomes: Mapping[Cell, Outcome]) -> pd.DataFrame:
    """One row for each cell and test text.

    Returns
    -------
    pandas.DataFrame
        ``cell``, ``role``, ``seed``, ``strength``, ``guide``, ``text`` (its number), ``label``, ``predicted``,
        ``probability`` (of the label) and ``tvd`` (of the predictions of the cell and the base model). For explanations
        also, by explanation: ``jsd``, ``kl``, ``reverse_kl`` and ``kendall`` to the base model's; ``control``, the JSD of
        the cell's to the base model's in random order; ``largest``, the largest weight; and ``inner``, the JSD to the
        cell's own α. Divergences are in nats. The base model's rows also hold Jain & Wallace's numbers.
    """
    test, base = place.splits["test"], outcomes[base_cell()]
    references = {name: guide_from(rows["test"], test.readable) for name, rows in base.scores.items()}
    controls = {name: permuted_guide(rows, test.readable, _CONTROL_SEED) for name, rows in references.items()}
    frames = []
    for cell, outcome in outcomes.items():
        probabilities = outcome.probabilities["test"]
        columns: dict[str, object] = {
            "cell": cell.name,
            "role": cell.role,
            "seed": cell.seed,
            "strength": np.nan if cell.strength is None else cell.strength,
            "guide": cell.guide or "",
            "text": np.arange(len(test)),
            "label": test.labels,
            "predicted": probabilities.argmax(axis=1),
            "probability": probabilities[np.arange(len(test)), test.labels],
            "tvd": total_variation(probabilities, base.probabilities["test"]),
        }
        weights = guide_from(outcome.scores["weight"]["test"], test.readable) if outcome.scores else []
        for name, by_split in outcome.scores.items():
            rows = guide_from(by_split["test"], test.readable)
            columns |= {
                f"{measure}_{name}": values
                for measure, values in _compared(rows, references[name], controls[name], weights, place).items()
            }
        columns |= outcome.instances
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _compared(
    rows: Scores, reference: Scores, control: Scores, weights: Scores, place: Workplace
) -> dict[str, Float[np.ndarray, " text"]]:
    """Divergences of each text's explanation from the base model's, from that in random order, and from the cell's own α."""
    test = place.splits["test"]
    numbers: dict[str, list[float]] = {}
    for own, other, mixed, alpha, mask in zip(rows, reference, control, weights, test.readable, strict=True):
        own, other, mixed, alpha = own[mask], other[mask], mixed[mask], alpha[mask]
        values = {
            "jsd": jensen_shannon(own, other),
            "kl": kullback_leibler(own, other),
            "reverse_kl": kullback_leibler(other, own),
            "kendall": kendall(own, other),
            "control": jensen_shannon(own, mixed),
            "largest": own.max(),
            "inner": jensen_shannon(own, alpha),
        }
        for name, value in values.items():
            numbers.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in numbers.items()}


def f1_by_text(
    predicted: np.ndarray, labels: np.ndarray, counts: Float[np.ndarray, "draw text"], classes: int
) -> Float[np.ndarray, " draw"]:
    """F1 of weighted texts: how often each was drawn by a bootstrap.

    Parameters
    ----------
    predicted, labels
        Number of each text's class.
    counts
        How often each text counts, in each draw.
    classes
        Of two classes, the F1 of the second; else the mean over classes. A class that is neither there nor predicted has 0.
    """
    scores = []
    for number in [1] if classes == 2 else range(classes):
        hit = counts @ ((predicted == number) & (labels == number)).astype(np.float64)
        wrong = counts @ (((predicted == number) != (labels == number)).astype(np.float64))
        scores.append(2 * hit / np.maximum(2 * hit + wrong, 1e-300))
    return np.asarray(np.mean(scores, axis=0))


def draws(texts: int, seeds: int, resamples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """How often each text and each seed is drawn; the first draw is the sample itself.

    Returns
    -------
    texts, seeds
        ``(draw, text)`` and ``(draw, seed)``.
    """
    generator = np.random.default_rng(seed)
    by_text = generator.multinomial(texts, np.full(texts, 1 / texts), size=resamples).astype(np.float64)
    by_seed = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples).astype(np.float64)
    return np.vstack([np.ones(texts), by_text]), np.vstack([np.ones(seeds), by_seed])


def interval(values: Float[np.ndarray, " draw"]) -> tuple[float, float, float]:
    """The sample's value, and the 2.5 % and 97.5 % quantiles of its draws."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return float(values[0]), float(low), float(high)


def mean_over(values: Sequence[Float[np.ndarray, " draw"]], by_seed: Float[np.ndarray, "draw seed"]) -> np.ndarray:
    """The mean over seeds in each draw of seeds."""
    table = np.stack(values, axis=1)
    return np.asarray((table * by_seed).sum(axis=1) / by_seed.sum(axis=1))
