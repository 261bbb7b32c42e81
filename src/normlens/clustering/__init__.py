"""Good clusterings: a verifier, a search that says what it proves, and distances between attention heads.

These names work on plain arrays; no model is needed. `GoodClustering` is the search as a scikit-learn estimator, `goodness`
measures any partition, and `HeadDistances` accumulates distances between attention heads over a corpus.
"""

from normlens.clustering.certificate import Certificate, Clustering, SearchResult, check_parameters
from normlens.clustering.clusterer import GoodClustering
from normlens.clustering.distances import METRICS, Distances, read_distances
from normlens.clustering.goodness import Goodness, Witness, goodness
from normlens.clustering.head_distances import HeadDistances
from normlens.clustering.planted import planted_points
from normlens.clustering.search import find_good_clusterings
from normlens.clustering.triangle import InvalidDistances, check_distance_matrix

__all__ = [
    "METRICS",
    "Certificate",
    "Clustering",
    "Distances",
    "GoodClustering",
    "Goodness",
    "HeadDistances",
    "InvalidDistances",
    "SearchResult",
    "Witness",
    "check_distance_matrix",
    "check_parameters",
    "find_good_clusterings",
    "goodness",
    "planted_points",
    "read_distances",
]
