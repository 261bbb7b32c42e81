"""Symmetrization worked out on paper, and the published baselines made again from their two directions."""

import os
from pathlib import Path

import numpy as np
import pytest

from normlens.alignment import SYMMETRIZATIONS, agreement, grow_diag, read_links, symmetrize
from normlens.alignment.symmetrization import shares
from normlens.errors import InvalidInput

# Five source and six target words.
#   both directions: 0-0 2-2
#   forward alone: 1-1 (diagonal neighbor of both, both words free), 2-3 (beside 2-2, target 3 free),
#                  4-5 (no neighbor of anything grown, both words free), 0-2 (neighbor of 1-1 only, neither word free)
#   reverse alone: 4-3 (no neighbor of grown links; source 4 free until 4-5 comes, target 3 taken by 2-3)
FORWARD = {(0, 0), (2, 2), (1, 1), (2, 3), (4, 5), (0, 2)}
REVERSE = {(0, 0), (2, 2), (4, 3)}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("intersection", {(0, 0), (2, 2)}),
        ("union", FORWARD | REVERSE),
        ("grow-diag", {(0, 0), (2, 2), (1, 1), (2, 3)}),
        ("grow-diag-final", {(0, 0), (2, 2), (1, 1), (2, 3), (4, 5)}),
        ("grow-diag-final-and", {(0, 0), (2, 2), (1, 1), (2, 3), (4, 5)}),
    ],
)
def test_worked_out_on_paper(how: str, expected: set[tuple[int, int]]) -> None:
    assert symmetrize(FORWARD, REVERSE, how) == expected


def test_final_takes_a_link_of_one_free_word_and_final_and_does_not() -> None:
    # 0-0 is common; 3-0 is forward's: source 3 is free, target 0 isn't.
    assert symmetrize({(0, 0), (3, 0)}, {(0, 0)}, "grow-diag-final") == {(0, 0), (3, 0)}
    assert symmetrize({(0, 0), (3, 0)}, {(0, 0)}, "grow-diag-final-and") == {(0, 0)}


def test_the_reverse_direction_comes_last() -> None:
    # Neither link has a common neighbor; forward's 2-5 takes source 2, and reverse's 2-0 then has a free target only.
    assert symmetrize({(2, 5)}, {(2, 0)}, "grow-diag-final-and") == {(2, 5)}
    assert symmetrize({(2, 5)}, {(2, 0)}, "grow-diag-final") == {(2, 5), (2, 0)}


def test_growth_goes_on_from_what_was_added() -> None:
    # A staircase: only its first step is common.
    stairs = {(k, k) for k in range(6)}

    assert grow_diag(stairs, {(0, 0)}) == stairs
    assert grow_diag(stairs, {(3, 3)}) == stairs


def test_strict_growth_needs_two_free_words() -> None:
    assert grow_diag({(0, 0), (0, 1), (1, 1)}, {(0, 0)}) == {(0, 0), (0, 1), (1, 1)}
    assert grow_diag({(0, 0), (0, 1), (1, 1)}, {(0, 0)}, strict=True) == {(0, 0), (1, 1)}


def test_nothing_grows_out_of_nothing() -> None:
    assert all(how(set(), set()) == set() for how in SYMMETRIZATIONS.values())
    assert grow_diag({(0, 0)}, {(1, 1)}) == set()


def test_everything_lies_between_intersection_and_union() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        one, other = ({(int(i), int(j)) for i, j in generator.integers(0, 6, (9, 2))} for _ in range(2))
        grown = grow_diag(one, other)
        for how in SYMMETRIZATIONS.values():
            assert one & other <= how(one, other) <= one | other
        assert grown <= symmetrize(one, other, "grow-diag-final")
        swapped = [{(j, i) for i, j in cells} for cells in (one, other)]
        assert symmetrize(*swapped, "union") == {(j, i) for i, j in one | other}


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(InvalidInput, match="choose one of intersection"):
        symmetrize(set(), set(), "grow")


def test_agreement_is_the_geometric_mean_of_shares() -> None:
    # Two target words, one source word; rows are (source, end) and (target, target, end).
    agreed = agreement([[3.0, 1.0], [0.0, 5.0]], [[2.0, 1.0, 1.0]])

    np.testing.assert_allclose(agreed, [[np.sqrt(0.75 * 0.5)], [0.0]])
    with pytest.raises(InvalidInput, match=r"\(1, 2\) and \(3, 2\)"):
        agreement([[1.0, 0.0]], [[1.0, 0.0]] * 3)


def test_shares_of_a_row_without_anything_are_zero() -> None:
    np.testing.assert_array_equal(shares([[0.0, 0.0], [np.nan, np.nan], [1.0, 3.0]]), [[0, 0], [0, 0], [0.25, 0.75]])


DATA = Path(os.environ.get("NORMLENS_DATA", "")) / "deen" / "baselines"


@pytest.mark.skipif(not DATA.is_dir(), reason="NORMLENS_DATA holds no deen/baselines")
@pytest.mark.parametrize(
    ("how", "name"), [("intersection", "intersection"), ("union", "union"), ("strict", "grow-diagonal")]
)
def test_mgiza_s_published_symmetrizations_are_made_again(how: str, name: str) -> None:
    ahead = [links.possible for links in read_links(DATA / "giza.test.deen.talp")]
    back = [{(j, i) for i, j in links.possible} for links in read_links(DATA / "giza.test.deen.reverse.talp")]
    published = [links.possible for links in read_links(DATA / f"giza.test.deen.{name}.talp")]

    made = [
        grow_diag(one, other, strict=True) if how == "strict" else symmetrize(one, other, how)
        for one, other in zip(ahead, back, strict=True)
    ]

    assert made == published
