"""The second test: how far attention moves when nothing but the random seed changes, the noise floor of the others.

Wiegreffe & Pinter 2019, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.divergences import jensen_shannon

BINS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Edges of the bins of a text's largest weight, as in the paper's figure."""


def seed_divergences(
    base: Float[np.ndarray, "text token"],
    others: Sequence[Float[np.ndarray, "text token"]],
    readable: Bool[np.ndarray, "text token"],
) -> Float[np.ndarray, "seed text"]:
    """Jensen–Shannon divergence of each text's attention between the base model and models of other seeds.

    Parameters
    ----------
    base
        α of the base model.
    others
        α of the same texts, one table for each other seed.
    readable
        Tokens that attention may weigh.

    Returns
    -------
    array, ``(seed, text)``
        In nats, from 0 to ln 2.

    Raises
    ------
    InvalidInput
        If there is no other seed, or a table has another shape.
    """
    if not others:
        raise InvalidInput(
            "No model of another seed was passed; expected at least one. Train the same model with another seed."
        )
    return np.stack([jensen_shannon(base, other, readable) for other in others])


def by_largest_weight(
    divergences: Float[np.ndarray, "seed text"],
    base: Float[np.ndarray, "text token"],
    labels: Int[np.ndarray, " text"],
    *,
    bins: ArrayLike = BINS,
) -> pd.DataFrame:
    """Median divergence over seeds of each text, beside its class and the bin of its largest weight.

    Texts whose weights are nearly even have little room to differ; that is why the paper looks at them apart.

    Parameters
    ----------
    divergences
        What :func:`seed_divergences` returns.
    base
        α of the base model.
    labels
        Each text's class.
    bins
        Ascending edges from 0 to 1; a bin holds its upper edge, and the first one also 0.

    Returns
    -------
    pandas.DataFrame
        A row for each text with the columns ``text``, ``label``, ``largest_weight``, ``bin`` (an interval) and
        ``divergence``.

    Raises
    ------
    InvalidInput
        If the numbers of texts differ, or the edges don't ascend from 0 to 1.
    """
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or not (np.diff(edges) > 0).all():
        raise InvalidInput(f"The bins are {bins!r}; expected edges that ascend from 0 to 1, such as {BINS}.")
    texts = divergences.shape[-1]
    if not texts == len(base) == len(labels):
        raise InvalidInput(
            f"There are divergences of {texts} texts, weights of {len(base)} and {len(labels)} labels; expected as many of "
            "each. Pass the same texts in the same order."
        )
    largest = np.minimum(base.max(axis=-1).astype(np.float64), 1.0)  # rounding may lift a sole weight above 1
    return pd.DataFrame(
        {
            "text": np.arange(texts),
            "label": labels,
            "largest_weight": largest,
            "bin": pd.cut(largest, edges.tolist(), include_lowest=True),
            "divergence": np.median(divergences, axis=0),
        }
    )
