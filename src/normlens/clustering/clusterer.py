"""`GoodClustering`: the search as a scikit-learn estimator."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from normlens.clustering.certificate import Certificate, Clustering, check_parameters
from normlens.clustering.distances import check_metric
from normlens.clustering.goodness import Convention
from normlens.clustering.search import find_good_clusterings
from normlens.clustering.triangle import InvalidDistances


class GoodClustering(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Clusters with a certificate, or the answer that there are none. The number of clusters is not a parameter.

    In an (α, γ)-good clustering every point is at least α times closer, in mean distance, to its own cluster than to any
    other, and each cluster has at least a share γ of the points, and at least two points. Most data has no such clustering
    for α = 2; `nearest_` then says how close the data comes.

    Parameters
    ----------
    alpha
        α, above 1.
    gamma
        γ, above 0, at most 1/2.
    delta
        δ: the probability with which a sample may miss a clustering, where a sample is used.
    metric
        ``"euclidean"``, ``"sqrt_jsd"``, ``"hellinger"`` or ``"precomputed"``; see `read_distances`.
    convention
        ``"inclusive"`` or ``"exclusive"``: whether the mean distance of a point to its own cluster counts the point; see
        `goodness`.
    budget
        Largest number of placements that the complete enumeration tries; 200,000 take about seven seconds.
    random_state
        Random seed; with an integer, every fit gives the same result.

    Attributes
    ----------
    labels_ : array, ``(n,)``
        The good clustering with the largest α*, numbered from 0; -1 for every point if there is none.
    alpha_ : float
        α* of `labels_`; NaN if there is none.
    certificate_ : Certificate
        What is proved; ``str(certificate_)`` says it in a sentence.
    clusterings_ : list of Clustering
        The good clusterings, in descending order of α*.
    nearest_ : Clustering or None
        The partition with the largest α* among those that were verified, good or not.
    n_features_in_ : int
        The number of columns of the data.

    References
    ----------
    Daniely, Linial and Saks 2012, "Clustering is difficult only when it does not matter".

    Examples
    --------
    >>> clusterer = GoodClustering(alpha=5).fit([[0.0], [1.0], [10.0], [11.0]])
    >>> clusterer.labels_.tolist(), clusterer.alpha_
    ([0, 0, 1, 1], 19.0)
    >>> print(clusterer.certificate_)  # doctest: +ELLIPSIS
    1 good clustering found, and no others exist ((α, γ) = (5, 0.1), 4 points, inclusive means). complete: ...
    """

    labels_: np.ndarray
    alpha_: float
    certificate_: Certificate
    clusterings_: list[Clustering]
    nearest_: Clustering | None

    def __init__(
        self,
        alpha: float = 2.0,
        gamma: float = 0.1,
        delta: float = 0.05,
        metric: str = "euclidean",
        *,
        convention: Convention = "inclusive",
        budget: int = 200_000,
        random_state: Any = None,
    ) -> None:
        self.alpha = alpha
        self.gamma = gamma
        self.delta = delta
        self.metric = metric
        self.convention = convention
        self.budget = budget
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Search for the good clusterings.

        Parameters
        ----------
        X
            Points ``(n, d)``, or distances ``(n, n)`` with ``metric="precomputed"``.
        y
            Ignored; present by scikit-learn convention.

        Returns
        -------
        GoodClustering
            The fitted estimator.

        Raises
        ------
        InvalidDistances
            For parameters out of range, points that aren't finite numbers, or distances that aren't a metric. It is also a
            `ValueError`.
        """
        check_parameters(self.alpha, self.gamma, self.delta, self.budget)
        check_metric(self.metric)
        table = self._validated(X)
        result = find_good_clusterings(
            table,
            alpha=self.alpha,
            gamma=self.gamma,
            delta=self.delta,
            metric=self.metric,
            convention=self.convention,
            budget=self.budget,
            random_state=check_random_state(self.random_state),
        )
        self.clusterings_ = result.clusterings
        self.certificate_ = result.certificate
        self.nearest_ = result.nearest
        best = result.clusterings[0] if result.clusterings else None
        self.labels_ = best.labels.copy() if best else np.full(len(table), -1, dtype=np.intp)
        self.alpha_ = best.alpha if best else float("nan")
        return self

    def _validated(self, data: ArrayLike) -> np.ndarray:
        """The data after scikit-learn's checks; float32 stays float32, since its rounding sets the tolerance."""
        try:
            table = validate_data(self, data, dtype=[np.float64, np.float32], ensure_min_samples=2)
        except ValueError as error:
            raise InvalidDistances(f"{error}") from error
        return np.asarray(table)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that rows and columns belong together in a distance matrix."""
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.metric == "precomputed"
        tags.input_tags.positive_only = self.metric in ("sqrt_jsd", "hellinger", "precomputed")
        return tags
