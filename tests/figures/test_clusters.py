import numpy as np
import pytest

from normlens.errors import InvalidInput
from normlens.figures.clusters import cluster_map

LINE = np.array([0.0, 1.0, 10.0, 11.0, 30.0])
MATRIX = np.abs(LINE[:, None] - LINE)


def test_points_lie_as_far_apart_as_they_are() -> None:
    panels = cluster_map(MATRIX, [0, 0, 1, 1, -1])
    places = np.concatenate([np.asarray(one.get_offsets()) for one in panels[0].collections])  # -1 first
    drawn = np.sqrt(((places[:, None] - places[None]) ** 2).sum(axis=-1))
    order = [4, 0, 1, 2, 3]
    np.testing.assert_allclose(drawn, MATRIX[np.ix_(order, order)], atol=0.05)


def test_certified_nodes_carry_a_diamond_at_their_height_and_the_best_alpha() -> None:
    certified = [([0, 1], 9.0), ([1, 0], 19.0), ([2, 3], 9.0), ([0, 3], 5.0)]
    panels = cluster_map(MATRIX, [0, 0, 1, 1, -1], names=list("abcde"), certified=certified)
    diamonds = [line for line in panels[1].lines if line.get_marker() == "D"]
    assert sorted(float(np.asarray(line.get_ydata()).ravel()[0]) for line in diamonds) == [1.0, 1.0]
    assert {text.get_text() for text in panels[1].texts} == {"19.00", "9.00"}
    ticks = [label.get_text() for label in panels[1].get_xticklabels()]
    centers = {frozenset(ticks[int(x) // 10 - 1 + step] for step in (0, 1)) for x in (_x(line) for line in diamonds)}
    assert centers == {frozenset("ab"), frozenset("cd")}


def _x(line: object) -> float:
    return float(np.asarray(line.get_xdata()).ravel()[0])  # type: ignore[attr-defined]


def test_names_are_written_while_they_can_be_read() -> None:
    few = cluster_map(MATRIX, names=list("abcde"))
    assert {text.get_text() for text in few[0].texts} == set("abcde")
    many = np.abs(np.arange(50.0)[:, None] - np.arange(50.0))
    panels = cluster_map(many, names=[str(n) for n in range(50)])
    assert not panels[0].texts
    assert {label.get_text() for label in panels[1].get_xticklabels()} == {str(n) for n in range(50)}
    most = np.abs(np.arange(161.0)[:, None] - np.arange(161.0))
    assert not any(label.get_text() for label in cluster_map(most, names=["x"] * 161)[1].get_xticklabels())


@pytest.mark.parametrize(
    ("matrix", "labels", "names"),
    [
        (MATRIX[:2, :2], None, None),
        (MATRIX[:3], None, None),
        (np.full((3, 3), np.nan), None, None),
        (np.zeros((3, 3)), None, None),
        (MATRIX, [0, 1], None),
        (MATRIX, None, ["a"]),
    ],
)
def test_what_does_not_fit_together_is_refused(
    matrix: np.ndarray, labels: list[int] | None, names: list[str] | None
) -> None:
    with pytest.raises(InvalidInput):
        cluster_map(matrix, labels, names=names)


def test_clusters_of_a_kind_that_stands_aside_share_an_entry_of_the_legend() -> None:
    panels = cluster_map(
        MATRIX, [0, 0, 1, 1, 2], kinds=["elsewhere 60 %", "itself 90 %", "elsewhere 70 %"], aside="elsewhere"
    )
    assert [text.get_text() for text in panels[0].figure.legends[0].get_texts()] == [
        "itself 90 % (2)",
        "elsewhere (3, in 2 clusters)",
    ]
    first, second, third = (tuple(one.get_facecolor()[0]) for one in panels[0].collections)
    assert first == third != second
