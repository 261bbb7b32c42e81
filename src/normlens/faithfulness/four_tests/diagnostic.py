"""The third test: weights that guide a model without context; only weights that carry token importance help it.

Guides are frozen weights: uniform, those of the base model or of an adversary, and controls that keep all of a guide but
its order (Wiegreffe & Pinter 2019, section 3.4; the controls are ours).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import brentq
from scipy.special import entr, softmax

from normlens.errors import InvalidInput

Weights = Sequence[Float[np.ndarray, " token"]]
"""For each text one weight for each token, zero where none may be read."""

Masks = Sequence[Bool[np.ndarray, " token"]]


def guide_from(scores: Weights, readable: Masks) -> list[Float[np.ndarray, " token"]]:
    """Weights from scores of any sign: magnitudes that add up to one over the tokens that may be read.

    Parameters
    ----------
    scores
        For each text a score of each token.
    readable
        The tokens that may be read.

    Returns
    -------
    list of array, ``(token,)``
        A text whose scores are all zero gets equal weights.

    Raises
    ------
    InvalidInput
        If a score is not finite.
    """
    guides = []
    for number, (row, mask) in enumerate(zip(scores, readable, strict=True)):
        magnitude = np.where(mask, np.abs(np.asarray(row, dtype=np.float64)), 0.0)
        if not np.isfinite(magnitude).all():
            raise InvalidInput(
                f"A score of text {number} is not finite; expected finite scores. Leave out that method."
            )
        total = magnitude.sum()
        guides.append(magnitude / total if total > 0 else mask / mask.sum())
    return guides


def uniform_guide(readable: Masks) -> list[Float[np.ndarray, " token"]]:
    """Equal weights for the tokens that may be read."""
    return [mask / mask.sum() for mask in readable]


def permuted_guide(guide: Weights, readable: Masks, seed: int) -> list[Float[np.ndarray, " token"]]:
    """The control that keeps a guide's weights, and so their entropy, but gives them to random tokens of the text."""
    generator = np.random.default_rng(seed)
    permuted = []
    for row, mask in zip(guide, readable, strict=True):
        weights = np.zeros(len(row))
        weights[mask] = generator.permutation(np.asarray(row, dtype=np.float64)[mask])
        permuted.append(weights)
    return permuted


def random_guide(guide: Weights, readable: Masks, seed: int) -> list[Float[np.ndarray, " token"]]:
    """The control that keeps nothing of a guide but its entropy: the softmax of random scores, scaled to the same entropy.

    Parameters
    ----------
    guide
        The weights whose entropies are kept, to 1e-6 nats.
    readable
        The tokens that may be read.
    seed
        Draws the scores.
    """
    generator = np.random.default_rng(seed)
    guides = []
    for row, mask in zip(guide, readable, strict=True):
        weights = np.zeros(len(row))
        target = float(entr(np.asarray(row, dtype=np.float64)[mask]).sum())
        weights[mask] = _with_entropy(generator.normal(size=int(mask.sum())), target)
        guides.append(weights)
    return guides


def label_guide(
    ids: Sequence[Int[np.ndarray, " token"]],
    labels: Int[np.ndarray, " text"],
    readable: Masks,
    evidence: Float[np.ndarray, "id class"],
    *,
    sharpness: float = 4.0,
) -> list[Float[np.ndarray, " token"]]:
    """A guide that knows the label: weight on the tokens that speak most for the right class.

    It is an upper bound: whatever helps the diagnostic at all should be below it.

    Parameters
    ----------
    ids, labels, readable
        The texts.
    evidence
        What :func:`token_evidence` returns for the training texts.
    sharpness
        Scale of the evidence in the softmax.
    """
    guides = []
    for row, label, mask in zip(ids, labels, readable, strict=True):
        weights = np.zeros(len(row))
        weights[mask] = softmax(sharpness * evidence[row[mask], label])
        guides.append(weights)
    return guides


def token_evidence(
    ids: Sequence[Int[np.ndarray, " token"]], labels: Int[np.ndarray, " text"], classes: int, size: int
) -> Float[np.ndarray, "id class"]:
    """How much each token speaks for each class: ln p(class | token) − ln p(class), with one added to every count.

    Parameters
    ----------
    ids, labels
        The training texts.
    classes, size
        Number of classes, and of ids.
    """
    counts = np.ones((size, classes))
    for row, label in zip(ids, labels, strict=True):
        counts[np.unique(row), label] += 1
    prior = np.bincount(labels, minlength=classes) + 1.0
    evidence = np.log(counts / counts.sum(axis=1, keepdims=True)) - np.log(prior / prior.sum())
    return np.asarray(evidence)


def _with_entropy(scores: Float[np.ndarray, " token"], target: float) -> Float[np.ndarray, " token"]:
    """softmax(t · scores) for the t whose entropy is the target."""

    def excess(log_scale: float) -> float:
        return float(entr(softmax(np.exp(log_scale) * scores)).sum()) - target

    if len(scores) < 2:
        return np.ones(len(scores))
    low, high = -20.0, 20.0
    if excess(low) <= 0:
        return np.full(len(scores), 1 / len(scores))
    if excess(high) >= 0:
        return np.asarray(softmax(np.exp(high) * scores))
    return np.asarray(softmax(np.exp(brentq(excess, low, high, xtol=1e-10)) * scores))
