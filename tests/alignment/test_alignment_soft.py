"""Hard links read off soft alignments, and two directions joined."""

import numpy as np
import pytest

from normlens.alignment import SoftAlignment, joint_links, two_way

# Two target words take from three source words and the end.
FORWARD = SoftAlignment(["a", "b", "c"], ["x", "y"], np.array([[6.0, 2, 0, 2], [1, 1, 0, 3]]))


def test_each_target_word_links_to_what_gives_it_most_unless_that_is_the_end() -> None:
    (link,) = FORWARD.links()

    assert (link.source, link.target, link.sure) == (0, 0, True)
    assert link.score == pytest.approx(0.6)


def test_a_threshold_drops_weak_links() -> None:
    assert FORWARD.links(threshold=0.59)
    assert not FORWARD.links(threshold=0.61)


def test_balance_holds_back_what_everything_takes_from() -> None:
    soft = SoftAlignment(["a", "b"], ["x", "y"], np.array([[0.6, 0.4, 0.0], [0.9, 0.1, 0.0]]))

    # Columns hold 1.5 and 0.5: row x becomes 0.4 : 0.8, row y 0.6 : 0.2.
    np.testing.assert_allclose(soft.shares(balance=1.0), [[1 / 3, 2 / 3, 0], [0.75, 0.25, 0]])
    assert [link[:2] for link in soft.links()] == [(0, 0), (0, 1)]
    assert [link[:2] for link in soft.links(balance=1.0)] == [(1, 0), (0, 1)]


def test_words_of_which_nothing_was_read_have_no_link() -> None:
    soft = SoftAlignment(["a"], ["x", "y"], np.array([[np.nan, np.nan], [0.0, 0.0]]))

    assert soft.links() == []


def test_two_directions_joined() -> None:
    reverse = SoftAlignment(FORWARD.target, FORWARD.source, np.array([[8.0, 1, 1], [1, 6, 3], [1, 2, 7]]))

    # Forward has 0-0 alone; reverse has 0-0 and 1-1.
    (common,) = joint_links(FORWARD, reverse, "intersection")
    assert common == (0, 0, pytest.approx((0.6 + 0.8) / 2), True)
    union = joint_links(FORWARD, reverse, "union")
    assert union[1] == (1, 1, pytest.approx((0.2 + 0.6) / 2), False)
    agreed = joint_links(FORWARD, reverse, "agreement", threshold=0.5)
    assert agreed == [(0, 0, pytest.approx(np.sqrt(0.6 * 0.8)), True)]


def test_one_map_read_both_ways() -> None:
    back = two_way(FORWARD)

    np.testing.assert_allclose(back.values, [[0.6, 0.2, 0], [0.2, 0.2, 0], [0, 0, 0]])
    assert (list(back.source), list(back.target)) == (["x", "y"], ["a", "b", "c"])
    assert [link[:2] for link in joint_links(FORWARD, back, "union")] == [(0, 0), (1, 0)]
