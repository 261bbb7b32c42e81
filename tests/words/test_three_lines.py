"""Results say in three lines what they are, what is in them and what to call next; HTML has the same lines, escaped."""

import numpy as np
import pytest

from normlens.alignment import Alignment, Link, LinkSets, SoftAlignment, evaluate
from normlens.clustering import find_good_clusterings, goodness
from normlens.clustering.model_heads import ComparedHeads
from normlens.words.three_lines import Summarized, first_few, paragraph

LINE = [[0.0], [1.0], [10.0], [11.0]]
SOFT = SoftAlignment(["das", "ist"], ["that", "is", "!"], np.array([[1.0, 0, 0], [0, 2, 1], [0, 0, 1]]))
SUMMARIES: list[tuple[Summarized, str, str, str]] = [
    (
        Alignment(3, ["<b>"], ["x", "y"], [Link(0, 0, 0.75), Link(0, 1, 0.25, False)], None),
        "<Alignment of line 3: 1 source word, 2 target words, 2 links (1 sure)>",
        "Links: '<b>'–'x' 0.75, '<b>'–'y' 0.25",
        ".word_pairs",
    ),
    (
        Alignment(4, [], ["x"], [], None, "One side is empty."),
        "<Alignment of line 4: 0 source words, 1 target word, skipped>",
        "Reason: One side is empty.",
        ".skipped",
    ),
    (
        SOFT,
        "<SoftAlignment: 3 target words × 2 source words and the end of the sentence>",
        "Largest shares: 'that' from 'das' 1.00, 'is' from 'ist' 0.67",
        ".links()",
    ),
    (
        evaluate([LinkSets.from_links({(0, 0), (1, 1)}, {(2, 1)})], [LinkSets.from_links({(0, 0), (2, 1), (2, 2)})]),
        "<Evaluation of 1 sentence pair: 3 links against 2 sure and 3 possible ones>",
        "AER 40.0 %, precision 66.7 %, recall 50.0 %",
        ".as_dict()",
    ),
    (
        find_good_clusterings(LINE, alpha=5, gamma=0.25).clusterings[0],
        "<Clustering of 4 points into 2 clusters: α* 19, γ* 0.5, inclusive means>",
        "Points: 2 in 0, 2 in 1. Witness: point 1, 0.5 from its cluster 0, 9.5 from 1",
        ".labels",
    ),
    (
        goodness(LINE, ["a", "a", "b", "b"]),
        "<Goodness of 4 points in 2 clusters: α* 19, γ* 0.5, inclusive means>",
        "Points: 2 in 'a', 2 in 'b'. Witness: point 1, 0.5 from its cluster 'a', 9.5 from 'b'",
        ".ratios",
    ),
    (
        ComparedHeads(
            np.array([[0, 0.25], [0.25, 0]]), ("0.0", "0.1"), np.full((2, 6), 1 / 6), "norm", "encoder", 1, 9
        ),
        "<ComparedHeads: 2 heads of group 'encoder' by norm, over 1 text, 9 targets>",
        "Heads: 0.0, 0.1. Distances: 0.250 to 0.250, mean 0.250",
        "figures.cluster_map",
    ),
]


@pytest.mark.parametrize(("result", "first", "second", "following"), SUMMARIES, ids=lambda case: type(case).__name__)
def test_three_lines(result: Summarized, first: str, second: str, following: str) -> None:
    lines = repr(result).splitlines()
    assert lines[:2] == [first, second]
    assert len(lines) == 3
    assert lines[2].startswith("Next: ")
    assert following in lines[2]
    assert result._repr_html_().startswith(paragraph(lines))
    assert "<b>" not in result._repr_html_()


def test_a_search_says_what_it_proved_and_the_best_or_the_nearest() -> None:
    good, poor, small = (
        repr(find_good_clusterings(points, alpha=5, gamma=gamma)).splitlines()
        for points, gamma in ((LINE, 0.25), ([[0.0], [1.0], [2.0], [3.1]], 0.25), ([[0.0], [1.0], [2.0]], 0.5))
    )
    assert good[0].startswith("<SearchResult: 1 good clustering found, and no others exist")
    assert good[1].startswith("Best: α* 19, γ* 0.5, inclusive means. Points: 2 in 0, 2 in 1.")
    assert good[2].startswith("Next: .clusterings[0].labels")
    assert poor[0].startswith("<SearchResult: No good clustering exists")
    assert poor[1].startswith("Nearest to a good one: α* 2.727")
    assert poor[2].startswith("Next: .nearest.labels")
    assert small[1] == "No partition was verified"
    assert [len(lines) for lines in (good, poor, small)] == [3, 3, 3]


def test_a_long_list_is_cut() -> None:
    assert first_few(["a", "b", "c"]) == "a, b, c"
    assert first_few(["a", "b", "c", "d"]) == "a, b, c, …"
