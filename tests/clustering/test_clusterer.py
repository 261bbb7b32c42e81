import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from normlens.clustering import GoodClustering, InvalidDistances, goodness, planted_points, read_distances
from normlens.errors import NormLensError


@parametrize_with_checks([GoodClustering(gamma=0.2, budget=500)])
def test_scikit_learn_accepts_it(estimator: GoodClustering, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def test_labels_alpha_and_certificate_belong_together() -> None:
    points, labels = planted_points((10, 15), 3.0, 2, np.random.default_rng(0))
    fitted = GoodClustering(alpha=2.5, gamma=0.2, random_state=0).fit(points)
    assert len(set(zip(fitted.labels_.tolist(), labels.tolist(), strict=True))) == 2
    assert fitted.alpha_ == goodness(points, fitted.labels_).alpha >= 3.0
    assert (fitted.certificate_.status, fitted.certificate_.found) == ("complete", len(fitted.clusterings_))
    assert fitted.n_features_in_ == 2


def test_no_clustering_means_minus_one_everywhere_and_no_alpha() -> None:
    points = np.random.default_rng(0).uniform(size=(100, 2))
    fitted = GoodClustering(alpha=2.5).fit(points)
    assert set(fitted.labels_.tolist()) == {-1} and np.isnan(fitted.alpha_)
    assert fitted.clusterings_ == [] and fitted.certificate_.none_exists


def test_a_precomputed_matrix_gives_what_its_points_give() -> None:
    points, _ = planted_points((10, 15), 3.0, 2, np.random.default_rng(0))
    matrix = read_distances(points).matrix()
    one, other = GoodClustering(2.5).fit(points), GoodClustering(2.5, metric="precomputed").fit(matrix)
    np.testing.assert_array_equal(one.labels_, other.labels_)
    assert clone(other).__sklearn_tags__().input_tags.pairwise


@pytest.mark.parametrize(
    ("estimator", "data", "message"),
    [
        (GoodClustering(alpha=1), [[0.0], [1.0]], "above 1"),
        (GoodClustering(metric="cosine"), [[0.0, 1.0], [1.0, 0.0]], "metric='euclidean' on rows"),
        (GoodClustering(), [[0.0], [np.nan]], "NaN"),
        (GoodClustering(), [[0.0]], "minimum of 2"),
        (GoodClustering(), [[1.0], [1.0]], "one place"),
        (GoodClustering(metric="precomputed"), [[0.0, 1.0], [2.0, 0.0]], "isn't symmetric"),
        (GoodClustering(metric="precomputed"), [[0.0, -1.0], [-1.0, 0.0]], "negative"),
        (GoodClustering(metric="precomputed"), [[0.0, 1.0, 9.0], [1.0, 0.0, 1.0], [9.0, 1.0, 0.0]], r"\(0, 1, 2\)"),
    ],
)
def test_bad_input_is_both_this_packages_error_and_a_value_error(
    estimator: GoodClustering, data: list[list[float]], message: str
) -> None:
    with pytest.raises(InvalidDistances, match=message) as caught:
        estimator.fit(data)
    assert isinstance(caught.value, NormLensError) and isinstance(caught.value, ValueError)
