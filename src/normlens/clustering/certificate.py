"""The parameters of a search, and exactly what it proved."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from normlens.clustering.goodness import Convention, Goodness, bounds, members
from normlens.clustering.triangle import InvalidDistances
from normlens.words.three_lines import Summarized

Status = Literal["complete", "complete with probability 1 − δ", "heuristic"]
COMPLETE: Status = "complete"
PROBABLY_COMPLETE: Status = "complete with probability 1 − δ"
HEURISTIC: Status = "heuristic"

_MOST_SHOWN = 20  # clusterings in a table


@dataclass(frozen=True, eq=False, repr=False)
class Clustering(Summarized):
    """One partition and its exact measurement.

    Parameters
    ----------
    labels
        ``(n,)`` clusters, numbered 0 … k - 1 in the order of their first points.
    goodness
        What the verifier measured.
    """

    labels: Int[np.ndarray, " n"]
    goodness: Goodness

    @property
    def alpha(self) -> float:
        """α*, the largest α for which the partition is α-good."""
        return self.goodness.alpha

    def _summary(self) -> tuple[str, str, str]:
        count = len(self.goodness.sizes)
        return (
            f"<Clustering of {len(self.labels)} points into {count} clusters: {bounds(self.goodness)}>",
            members(self.goodness),
            "Next: .labels, .alpha, .goodness, figures.cluster_map(distances, ….labels)",
        )


@dataclass(frozen=True)
class Certificate:
    """What a search proved about the good clusterings of a data set.

    Every clustering that a search returns has been verified exactly, whatever the certificate says. The certificate is
    about clusterings that the search may have missed.

    Parameters
    ----------
    status
        ``"complete"``: there are no others. ``"complete with probability 1 − δ"``: each one that exists was returned with at
        least that probability. ``"heuristic"``: there may be others.
    found
        Number of good clusterings returned.
    method
        The argument behind the status.
    alpha, gamma, delta, points, convention
        The parameters of the search, and the number of points.
    """

    status: Status
    found: int
    method: str
    alpha: float
    gamma: float
    delta: float
    points: int
    convention: Convention

    @property
    def none_exists(self) -> bool:
        """Whether it is proved that the data has no good clustering."""
        return self.status == COMPLETE and self.found == 0

    def __str__(self) -> str:
        """Return one sentence on the result and what is proved, and one on the method."""
        parameters = f"(α, γ) = ({self.alpha:g}, {self.gamma:g}), {self.points} points, {self.convention} means"
        number = f"{self.found} good clustering{'' if self.found == 1 else 's'}" if self.found else "None"
        if self.status == COMPLETE:
            claim = f"{number} found, and no others exist" if self.found else "No good clustering exists"
        elif self.status == PROBABLY_COMPLETE:
            missed = "any other one" if self.found else "one that exists"
            claim = f"{number} found; {missed} would have been found with probability {1 - self.delta:g} or more"
        else:
            missed = "there may be others" if self.found else "that doesn't prove that none exists"
            claim = f"{number} found; {missed}"
        return f"{claim} ({parameters}). {self.status}: {self.method}."


@dataclass(frozen=True, eq=False, repr=False)
class SearchResult(Summarized):
    """The clusterings that a search returned, the best first, and what it proves.

    Parameters
    ----------
    clusterings
        The good clusterings, in descending order of α*.
    certificate
        What is proved about others.
    nearest
        The partition with the largest α* among those that were verified, good or not, with clusters of at least the smallest
        size; None if there was none.
    """

    clusterings: list[Clustering]
    certificate: Certificate
    nearest: Clustering | None

    def _summary(self) -> tuple[str, str, str]:
        what, best, path = "Best", self.clusterings[0] if self.clusterings else None, ".clusterings[0]"
        if best is None:
            what, best, path = "Nearest to a good one", self.nearest, ".nearest"
        return (
            f"<SearchResult: {self.certificate}>",
            "No partition was verified"
            if best is None
            else f"{what}: {bounds(best.goodness)}. {members(best.goodness)}",
            f"Next: {path}{'' if best is None else '.labels'}, .certificate, figures.cluster_map(distances, labels)",
        )

    def _picture(self) -> str:
        rows = [
            f"<tr><td>{one.alpha:.4g}</td><td>{len(one.goodness.sizes)}</td><td>{_joined(one)}</td></tr>"
            for one in self.clusterings[:_MOST_SHOWN]
        ]
        if not rows:
            return ""
        more = len(self.clusterings) - len(rows)
        head = "<tr><th>α*</th><th>clusters</th><th>points in each</th></tr>"
        return f"<table>{head}{''.join(rows)}</table>" + (f"<p>… and {more} more</p>" if more else "")


def _joined(clustering: Clustering) -> str:
    return ", ".join(map(str, clustering.goodness.sizes))


def check_parameters(alpha: float, gamma: float, delta: float, budget: int = 1) -> None:
    """Raise `InvalidDistances` for an α, γ, δ or budget that is out of range."""
    if not (np.isfinite(alpha) and alpha > 1):
        raise InvalidDistances(
            f"α = {alpha:g}: expected a number above 1, since α says how many times closer a point is to its own cluster. "
            "Try 1.5 or 2."
        )
    if not 0 < gamma <= 0.5:
        raise InvalidDistances(
            f"γ = {gamma:g}: expected a share above 0 and at most 1/2, since two clusters of at least γ n points must fit. "
            "Try 0.1."
        )
    if not 0 < delta < 1:
        raise InvalidDistances(f"δ = {delta:g}: expected a probability between 0 and 1. Try 0.05.")
    if budget < 1:
        raise InvalidDistances(f"The budget is {budget}; expected 1 or more. Try 200000.")
