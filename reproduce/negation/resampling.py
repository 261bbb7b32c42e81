"""Bootstrap intervals over phrases and seeds: both are drawn with replacement, the same phrases for every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Estimate = dict[str, float]
"""``value``, ``low`` and ``high``."""

_TAILS = [0.025, 0.975]


@dataclass(frozen=True)
class Draws:
    """How often each seed and each phrase is drawn; the first draw is the sample itself.

    Attributes
    ----------
    seeds
        ``(draw, seed)``.
    phrases
        ``(draw, phrase)``.
    """

    seeds: Float[np.ndarray, "draw seed"]
    phrases: Float[np.ndarray, "draw phrase"]

    @staticmethod
    def of(seeds: int, phrases: int, resamples: int = 1000, seed: int = 0, stream: int = 0) -> Draws:
        """Draw phrases by ``seed``, and seeds by ``seed`` and ``stream``."""
        by_phrase, by_seed = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1 + stream])
        return Draws(_counts(by_seed, seeds, resamples), _counts(by_phrase, phrases, resamples))

    def sums(self, values: Float[np.ndarray, "seed phrase"]) -> Float[np.ndarray, " draw"]:
        """The sum of the values of each draw."""
        return np.asarray(((self.seeds @ values) * self.phrases).sum(axis=1))


def _counts(generator: np.random.Generator, size: int, resamples: int) -> NDArray[np.float64]:
    drawn = generator.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float64)
    return np.concatenate([np.ones((1, size)), drawn])


def interval(draws: Float[np.ndarray, " draw"]) -> Estimate:
    """The sample's value, and the 95 % percentile interval of the other draws."""
    finite = draws[1:][np.isfinite(draws[1:])]
    low, high = np.quantile(finite, _TAILS) if finite.size else (np.nan, np.nan)
    return {"value": float(draws[0]), "low": float(low), "high": float(high)}


def mean_draws(values: Float[np.ndarray, "seed phrase"], stream: int = 0) -> Float[np.ndarray, " draw"]:
    """The mean of each draw; values that are missing (NaN) are left out."""
    draws, present = Draws.of(len(values), values.shape[1], stream=stream), np.isfinite(values)
    count = draws.sums(present.astype(np.float64))
    total = draws.sums(np.where(present, values, 0.0))
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))


@dataclass(frozen=True)
class LineDraws:
    """The least-squares line y = slope · x + intercept of each draw, and the share of the variance that it explains."""

    slope: Float[np.ndarray, " draw"]
    intercept: Float[np.ndarray, " draw"]
    explained: Float[np.ndarray, " draw"]

    def estimates(self) -> dict[str, Estimate]:
        """All three with intervals."""
        return {name: interval(getattr(self, name)) for name in ("slope", "intercept", "explained")}


def line_draws(
    x: Float[np.ndarray, "seed phrase"],
    y: Float[np.ndarray, "seed phrase"],
    own: Bool[np.ndarray, " phrase"] | None = None,
) -> LineDraws:
    """Fit a line to each draw, or to the phrases of one group in it, so that groups can be compared draw by draw."""
    draws = Draws.of(len(x), x.shape[1])
    counts = np.ones_like(x) if own is None else np.broadcast_to(own, x.shape).astype(np.float64)
    count, sx, sy, sxx, sxy, syy = (draws.sums(counts * v) for v in (np.ones_like(x), x, y, x * x, x * y, y * y))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread_x, spread_y, both = sxx - sx**2 / count, syy - sy**2 / count, sxy - sx * sy / count
        slope = both / spread_x
        return LineDraws(slope, (sy - slope * sx) / count, both**2 / (spread_x * spread_y))


def groups_of_lines(
    x: Float[np.ndarray, "seed phrase"],
    y: Float[np.ndarray, "seed phrase"],
    groups: Mapping[str, Bool[np.ndarray, " phrase"]],
) -> dict[str, dict[str, Estimate]]:
    """The lines of groups of phrases, and under "first less second" the differences of the first two."""
    lines = {name: line_draws(x, y, own) for name, own in groups.items() if own.sum() > 2}
    made = {name: line.estimates() for name, line in lines.items()}
    if len(lines) > 1:
        (first, one), (second, other) = list(lines.items())[:2]
        made[f"{first} less {second}"] = {
            name: interval(getattr(one, name) - getattr(other, name)) for name in ("slope", "intercept", "explained")
        }
    return made
