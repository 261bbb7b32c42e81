"""A displacement split along the directions of value and domain, which are fitted where nothing modifies the word."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from normlens.statistics import bootstrap_interval, mean_of_present
from reproduce.negation.adjective_vectors import Vectors


def directions(plain: Vectors) -> dict[str, Vectors]:
    """Directions of each word in each frame, fitted in the frames of the other half.

    Parameters
    ----------
    plain
        Vectors without a modifier.

    Returns
    -------
    dict
        As from :func:`directions_in`.
    """
    half = plain.shape[3] // 2
    return directions_in(
        np.repeat(
            np.stack([plain[:, :, :, half:].mean(axis=3), plain[:, :, :, :half].mean(axis=3)], axis=3),
            [half, half],
            axis=3,
        )
    )


def directions_in(other: Vectors) -> dict[str, Vectors]:
    """Directions of each word.

    Parameters
    ----------
    other
        Vectors without a modifier, in frames that aren't measured.

    Returns
    -------
    dict
        "antonym": from the word to its antonym; "domain": from the mean of all words to its kin, without what lies along
        the antonym; "value": the mean of all other domains' antonyms, from the second of a pair to the first. The first and
        the last keep their length.
    """
    antonym = other[:, :, ::-1] - other
    kin = other[:, ::-1].mean(axis=2, keepdims=True) - other.mean(axis=(0, 1, 2), keepdims=True)
    unit = over(antonym, _norm(antonym))
    domain = np.broadcast_to(kin, antonym.shape) - (kin * unit).sum(axis=-1, keepdims=True) * unit
    by_domain = (other[:, :, 0] - other[:, :, 1]).mean(axis=1)
    rest = (by_domain.sum(axis=0, keepdims=True) - by_domain) / max(1, len(other) - 1)
    value = np.broadcast_to(rest[:, None, None], antonym.shape)
    return {"antonym": antonym, "domain": domain, "value": value}


def split(plain: Vectors, moved: Vectors, fitted: Mapping[str, Vectors], seed: int = 0) -> dict[str, np.ndarray]:
    """A displacement, split along directions.

    Parameters
    ----------
    plain, moved
        Vectors without and with the modifier.
    fitted
        From :func:`directions`.
    seed
        Of the choice of other words' directions, the control.

    Returns
    -------
    dict of array, ``(domain, pair, pole, frame, layer)``
        ``to_antonym``: how far towards the antonym, 1 at the antonym itself. ``value``: the same along the general direction
        of value, 2 from one pole to the other. ``domain_kept``: the coordinate along the domain after the modifier over that
        before. ``in_antonym``, ``in_domain``: shares of the squared length of the displacement; ``in_other_antonym``,
        ``in_other_domain``: along the directions of a word of another domain. ``size``: the length over the distance to the
        antonym.
    """
    shift, centre = moved - plain, plain.mean(axis=(0, 1, 2), keepdims=True)
    antonym, domain, value = fitted["antonym"], fitted["domain"], fitted["value"]
    turned = other_domains(len(plain), seed)
    along, before = dot(shift, domain), dot(plain - centre, domain)
    return {
        "to_antonym": over(dot(shift, antonym), dot(antonym, antonym)),
        "value": over(-2 * POLES * dot(shift, value), pole_distance(plain, value)),
        "domain_kept": np.broadcast_to(1 + over(_by_domain(along), _by_domain(before)), along.shape),
        "in_antonym": cosine(shift, antonym) ** 2,
        "in_other_antonym": cosine(shift, antonym[turned]) ** 2,
        "in_domain": cosine(shift, domain) ** 2,
        "in_other_domain": cosine(shift, domain[turned]) ** 2,
        "size": np.sqrt(over(dot(shift, shift), dot(antonym, antonym))),
    }


POLES = np.array([1.0, -1.0]).reshape(1, 1, 2, 1, 1)
"""The sign of the first and of the second word of a pair."""


def pole_distance(plain: Vectors, value: Vectors) -> Float[np.ndarray, "1 1 1 1 layer"]:
    """How far the two words of a pair are apart along value: the mean of all pairs."""
    return np.asarray(dot(plain[:, :, :1] - plain[:, :, 1:], value).mean(axis=(0, 1, 2, 3), keepdims=True))


def other_domains(count: int, seed: int = 0) -> Int[np.ndarray, " domain"]:
    """Another domain for each."""
    drawn = np.random.default_rng(seed).permutation(count)
    return np.roll(drawn, 1)[np.argsort(drawn)]


def polarity_accuracy(plain: Vectors, fitted: Mapping[str, Vectors]) -> Float[np.ndarray, " layer"]:
    """How often the general direction of value orders two antonyms of a domain that it was not fitted on."""
    between = dot(plain[:, :, 0] - plain[:, :, 1], fitted["value"][:, :, 0])
    return np.asarray((between > 0).mean(axis=(0, 1, 2)))


def interval(values: Float[np.ndarray, "domain layer"]) -> list[list[float]]:
    """The mean over domains, and both ends of its 95 % interval, layer by layer."""
    low, high = bootstrap_interval(values, seed=0)
    return [np.round(row, 4).tolist() for row in (mean_of_present(values, axis=0), low, high)]


def dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Inner products."""
    return np.asarray((one * other).sum(axis=-1))


def over(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A quotient, zero where two antonyms have the same vector, as words that a tokenizer lacks."""
    shape = np.broadcast_shapes(one.shape, other.shape)
    return np.asarray(np.divide(one, other, out=np.zeros(shape), where=np.broadcast_to(other != 0, shape)))


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosines; zero for a vector without length."""
    return np.asarray(dot(one, other) / (_norm(one) * _norm(other))[..., 0].clip(1e-12))


def _by_domain(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=(1, 2, 3), keepdims=True))


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(vectors, axis=-1, keepdims=True))
