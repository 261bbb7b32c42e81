"""Trees with labels: what is read, what is refused, and where; negated phrases and words that are held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from normlens.errors import InvalidInput
from normlens.negation.sentiment_trees import hold_out, negated_phrases, parse_tree, read_trees


def test_nodes_come_before_their_parents() -> None:
    tree = parse_tree("(1 (2 (2 Is) (1 n't)) (3 (2 very) (4 Good)))")
    assert tree.words == ("is", "n't", "", "very", "good", "", "")
    assert tree.labels.tolist() == [2, 1, 2, 2, 4, 3, 1]
    assert tree.children.tolist() == [[-1, -1], [-1, -1], [0, 1], [-1, -1], [-1, -1], [3, 4], [2, 5]]
    assert tree.heights.tolist() == [0, 0, 1, 0, 0, 1, 2]
    assert tree.sizes.tolist() == [1, 1, 3, 1, 1, 3, 7]
    assert [tree.span(node) for node in (1, 5, 6)] == [["n't"], ["very", "good"], ["is", "n't", "very", "good"]]


def test_a_word_may_hold_a_no_break_space_and_an_escaped_slash(tmp_path: Path) -> None:
    path = tmp_path / "trees.txt"
    path.write_text("(2 (2 8\u00a01\\/2) (2 stars))\n\n(3 fine)\n", encoding="utf-8")
    first, second = read_trees(path)
    assert first.words == ("8\u00a01/2", "stars", "") and second.words == ("fine",)


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("(1 (2 not) (3 good)", "1 brackets are not closed"),
        ("(1 (2 not) (3 good)))", r"'\)' follows the end"),
        ("not good", "it starts with 'not'"),
        ("(1 (2 not) (5 good))", "a label is '5'"),
        ("(1 (2 not) (-1 good))", "a label is '-1'"),
        ("(1 (2 not) (x good))", "a label is 'x'"),
        ("(1 ((3 good)) (3 good))", "a label is ''"),
        ("(1 (2 not))", "a node holds a tree behind its label"),
        ("(1 (2 not) (3 very) (3 good))", "a node holds a tree and a tree and a tree"),
        ("(1 not good)", "a node holds 'not' and 'good'"),
        ("(1)", "a node holds nothing"),
        ("()", "a label is ''"),
    ],
)
def test_what_does_not_parse_is_named_with_file_and_line(tmp_path: Path, line: str, seen: str) -> None:
    path = tmp_path / "trees.txt"
    path.write_text(f"(3 fine)\n{line}\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=rf"trees\.txt, line 2 doesn't parse: {seen}.*expected"):
        read_trees(path)


def test_files_without_trees_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"can't be read as trees"):
        read_trees(tmp_path / "missing.txt")
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"holds no tree"):
        read_trees(tmp_path / "empty.txt")


def test_a_cue_negates_its_sister() -> None:
    trees = [
        parse_tree("(1 (2 not) (3 (2 so) (3 good)))"),
        parse_tree("(1 (2 it) (1 (2 (2 does) (2 n't)) (3 work)))"),
        parse_tree("(3 (3 good) (2 not))"),  # the cue is no left child
    ]
    found = [
        (p.tree, p.cue, trees[p.tree].span(p.scope), trees[p.tree].span(p.node)[0]) for p in negated_phrases(trees)
    ]
    assert found == [(0, "not", ["so", "good"], "not"), (1, "n't", ["work"], "does")]
    assert [p.cue for p in negated_phrases(trees, ["n't"])] == ["n't"]
    with pytest.raises(InvalidInput, match=r"'nott' is no cue; expected some of not, n't.*Did you mean 'not'"):
        negated_phrases(trees, ["nott"])


def test_held_out_words_are_never_negated_in_what_stays() -> None:
    lines = ["(1 (2 not) (4 good))", "(3 (2 a) (4 good))", "(3 (2 the) (4 good))", "(2 (2 never) (0 bad))",
             "(1 (2 so) (0 bad))", "(1 (2 too) (0 bad))", "(2 (2 no) (2 film))", "(1 (2 lacks) (4 charm))"]  # fmt: skip
    trees = [parse_tree(line) for line in lines]
    everything = hold_out(trees, 1.0, seed=0)
    assert everything.words == {"good", "bad"}  # "film" is neutral, "charm" occurs negated alone
    assert everything.removed.tolist() == [0, 3] and everything.kept.tolist() == [1, 2, 4, 5, 6, 7]
    half = hold_out(trees, 0.5, seed=0)
    assert len(half.words) == 1 and half.words < everything.words and len(half.removed) == 1
    assert hold_out(trees, 0.0, seed=0).removed.tolist() == []
    with pytest.raises(InvalidInput, match=r"share of held-out words is 2; expected"):
        hold_out(trees, 2, seed=0)
