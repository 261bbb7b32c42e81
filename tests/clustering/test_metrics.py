import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from normlens.clustering import InvalidDistances, check_distance_matrix, read_distances
from normlens.clustering.triangle import EXACT_UP_TO
from normlens.errors import InvalidInput, NormLensError


def test_hellinger_and_root_jsd_of_two_pencil_distributions() -> None:
    rows = [[1.0, 0.0], [0.0, 3.0], [1.0, 1.0]]
    hellinger, jsd = read_distances(rows, "hellinger").matrix(), read_distances(rows, "sqrt_jsd").matrix()
    assert hellinger[0, 1] == pytest.approx(1.0) and jsd[0, 1] == pytest.approx(1.0)
    assert hellinger[0, 2] == pytest.approx(np.sqrt(1 - np.sqrt(0.5)))
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))  # of the middle (3/4, 1/4); the ends have 0 and 1
    assert jsd[0, 2] == pytest.approx(np.sqrt(entropy - 0.5))


def test_root_jsd_equals_scipys_in_base_two() -> None:
    rows = np.random.default_rng(0).dirichlet(np.full(40, 0.1), size=60)
    wanted = [
        [jensenshannon(one, other, base=2) if i != j else 0 for j, other in enumerate(rows)]
        for i, one in enumerate(rows)
    ]
    np.testing.assert_allclose(read_distances(rows, "sqrt_jsd").matrix(), wanted, atol=1e-7)


@pytest.mark.parametrize("size", [1e-10, 3e-9, 1e-8, 7e-8, 1e-6])
def test_root_jsd_of_nearly_equal_rows_is_their_chi_distance(size: float) -> None:
    one = np.array([0.2, 0.3, 0.5])
    step = size * np.array([1.0, -2.0, 1.0])
    distance = read_distances([one, one + step], "sqrt_jsd").matrix()[0, 1]
    # to second order JSD = Σ step²/(8 p), in nats
    assert distance == pytest.approx(np.sqrt((step**2 / one).sum() / 8 / np.log(2)), rel=1e-5)


@pytest.mark.parametrize("metric", ["euclidean", "hellinger", "sqrt_jsd"])
def test_what_is_called_a_metric_is_one(metric: str) -> None:
    rows = np.random.default_rng(1).dirichlet(np.full(5, 0.2), size=80)
    matrix = read_distances(rows, metric).matrix()
    check_distance_matrix(matrix)
    again = read_distances(matrix, "precomputed").between(slice(0, 3), [4, 5])
    np.testing.assert_array_equal(again, matrix[:3][:, [4, 5]])


@pytest.mark.parametrize(
    ("metric", "instead"),
    [
        ("cosine", "metric='euclidean' on rows divided by their length"),
        ("kl", "metric='sqrt_jsd'"),
        ("kullback_leibler", "metric='sqrt_jsd'"),
        ("sqeuclidean", "metric='euclidean'"),
        ("jsd", "metric='sqrt_jsd'"),
        ("jensenshannon", "metric='sqrt_jsd'"),
        ("manhattan", "precomputed"),
    ],
)
def test_what_is_no_metric_is_refused_with_the_one_to_use(metric: str, instead: str) -> None:
    with pytest.raises(InvalidDistances, match=instead):
        read_distances([[1.0, 2.0], [3.0, 4.0]], metric)


def matrix(**changes: float) -> np.ndarray:
    """Points at 0, 1, 3, 7 on a line, with some distances changed: d01=5 sets both, a01=5 one direction only."""
    places = np.array([0.0, 1.0, 3.0, 7.0])
    distances = np.abs(places[:, None] - places)
    for name, value in changes.items():
        i, j = int(name[1]), int(name[2])
        distances[i, j] = value
        if name[0] == "d":
            distances[j, i] = value
    return distances


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (matrix(d12=np.nan), r"NaN.*\(1, 2\)"),
        (matrix(d12=np.inf), r"infinity.*\(1, 2\)"),
        (matrix(a12=2.5), "isn't symmetric: 2 from 2 to 1|isn't symmetric: 2.5 from 1 to 2"),
        (matrix(d12=-2), "from 1 to 2 is negative: -2"),
        (matrix(d22=0.5), "2 is 0.5 from itself"),
        (matrix(d03=20), r"triple \((0, 2, 3|0, 1, 3|3, 2, 0|3, 1, 0)\)"),
        (np.zeros((3, 3)), "one place"),
        (np.zeros((3, 4)), "expected a square one"),
        (np.zeros((1, 1)), "one point"),
    ],
)
def test_a_matrix_that_is_no_metric_is_refused(distances: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidDistances, match=message) as caught:
        read_distances(distances, "precomputed")
    assert isinstance(caught.value, NormLensError) and isinstance(caught.value, ValueError)


def test_the_worst_triple_is_named_with_its_detour() -> None:
    with pytest.raises(InvalidDistances, match=r"\(1, 0, 2\): 9 from 1 to 2, but 1 \+ 3 = 4 through 0"):
        read_distances(matrix(d12=9.0, d03=7.0, d13=6.0, d23=4.0), "precomputed")


def test_a_large_matrix_is_checked_by_sample() -> None:
    count = EXACT_UP_TO + 100
    points = np.random.default_rng(0).normal(size=(count, 3))
    squares = read_distances(points).matrix() ** 2  # squared distances break most obtuse triangles
    with pytest.raises(InvalidDistances, match="triangle inequality"):
        read_distances(squares, "precomputed")
    read_distances(np.sqrt(squares), "precomputed")


def test_distances_rounded_to_float32_are_still_a_metric() -> None:
    line = np.linspace(0, 1, 50)[:, None]
    rounded = read_distances(line).matrix().astype(np.float32)
    assert len(read_distances(rounded, "precomputed")) == 50


@pytest.mark.parametrize(
    ("rows", "metric", "message"),
    [
        ([[1.0, 1.0]], "euclidean", "only one point"),
        ([[1.0, 2.0]] * 3, "euclidean", "one place"),
        ([[1.0, 2.0], [2.0, 4.0]], "hellinger", "one place"),
        ([[1.0, -2.0], [2.0, 4.0]], "sqrt_jsd", "negative entry -2 at 1"),
        ([[0.0, 0.0], [2.0, 4.0]], "sqrt_jsd", "All of row 0 is zero"),
        ([[np.nan, 1.0], [2.0, 4.0]], "euclidean", r"\(0, 0\)"),
        ([1.0, 2.0], "euclidean", "expected a table"),
        ([["a", "b"]], "euclidean", "real numbers"),
    ],
)
def test_points_that_cannot_be_compared_are_refused(rows: list[list[float]], metric: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_distances(rows, metric)
