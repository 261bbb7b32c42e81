"""Binary trees with a label at every node, as the Stanford Sentiment Treebank writes them: ``(1 (2 not) (3 good))``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int

from normlens.errors import InvalidInput
from normlens.files.reading import refuse_unreadable

LABELS = 5
"""Labels are 0 (very negative) to 4 (very positive)."""

_TOKEN = re.compile(r"[()]|[^() \t\r]+")  # a word may hold a no-break space


@dataclass(frozen=True, eq=False)
class LabeledTree:
    """A tree as arrays over its nodes, children before their parents, the root last.

    Attributes
    ----------
    labels
        0 to 4, ``(node,)``.
    words
        The word of a leaf, in lower case; empty at branches, ``(node,)``.
    children
        Left and right child; −1 at leaves, ``(node, 2)``.
    """

    labels: Int[np.ndarray, " node"]
    words: tuple[str, ...]
    children: Int[np.ndarray, "node 2"]

    @cached_property
    def heights(self) -> Int[np.ndarray, " node"]:
        """Zero for leaves, one more than the higher child for branches."""
        heights = np.zeros(len(self.words), dtype=np.int64)
        for node, (left, right) in enumerate(self.children):
            if left >= 0:
                heights[node] = 1 + max(heights[left], heights[right])
        return heights

    @cached_property
    def sizes(self) -> Int[np.ndarray, " node"]:
        """Number of nodes at and below each node: its subtree is the nodes ``node − size + 1`` to ``node``."""
        sizes = np.ones(len(self.words), dtype=np.int64)
        for node, (left, right) in enumerate(self.children):
            if left >= 0:
                sizes[node] += sizes[left] + sizes[right]
        return sizes

    def span(self, node: int) -> list[str]:
        """The words below a node, from left to right."""
        return [word for word in self.words[node - int(self.sizes[node]) + 1 : node + 1] if word]


def read_trees(path: Path) -> list[LabeledTree]:
    """Read a file with a tree in each line; empty lines are skipped.

    Raises
    ------
    InvalidInput
        If the file can't be read or a line is no tree; the message names file and line.
    """
    try:
        refuse_unreadable(path)
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput(
            f"{path} can't be read as trees: {error}. Expected UTF-8 with a tree in each line."
        ) from error
    trees = [parse_tree(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not trees:
        raise InvalidInput(f"{path} holds no tree; expected one in each line, such as (1 (2 not) (3 good)).")
    return trees


def parse_tree(text: str, place: str = "the tree") -> LabeledTree:
    """Parse one tree.

    Parameters
    ----------
    text
        Such as ``(1 (2 not) (3 good))``: a label, then a word or two trees.
    place
        What messages call it.

    Raises
    ------
    InvalidInput
        If brackets don't match, a label is not an integer from 0 to 4, or a node has neither a word nor two children.
    """
    labels: list[int] = []
    words: list[str] = []
    children: list[tuple[int, int]] = []
    open_nodes: list[list[str | int]] = []  # of each open bracket: its tokens, or numbers of its finished children
    for token in _TOKEN.findall(text):
        if labels and not open_nodes:
            raise _wrong(place, f"{token!r} follows the end of the tree", "one tree in a line")
        if token == "(":
            open_nodes.append([])
        elif not open_nodes:
            raise _wrong(place, f"it starts with {token!r}", "an opening bracket")
        elif token != ")":
            open_nodes[-1].append(token)
        else:
            label, word, pair = _node(open_nodes.pop(), place)
            labels.append(label)
            words.append(word)
            children.append(pair)
            if open_nodes:
                open_nodes[-1].append(len(labels) - 1)
    if open_nodes or not labels:
        raise _wrong(
            place, f"{len(open_nodes)} brackets are not closed" if open_nodes else "it is empty", "a whole tree"
        )
    return LabeledTree(np.array(labels), tuple(words), np.array(children))


def _node(content: list[str | int], place: str) -> tuple[int, str, tuple[int, int]]:
    """Label, word and children of a node."""
    label, *rest = content or [""]
    if not isinstance(label, str) or label not in map(str, range(LABELS)):
        raise _wrong(
            place, f"a label is {label if isinstance(label, str) else ''!r}", f"an integer from 0 to {LABELS - 1}"
        )
    match rest:
        case [str(word)]:
            return int(label), word.replace("\\/", "/").lower(), (-1, -1)
        case [int(left), int(right)]:
            return int(label), "", (left, right)
    seen = ["a tree" if isinstance(entry, int) else repr(entry) for entry in rest]
    raise _wrong(place, f"a node holds {' and '.join(seen) or 'nothing'} behind its label", "a word or two trees")


def _wrong(place: str, seen: str, expected: str) -> InvalidInput:
    return InvalidInput(f"{place} doesn't parse: {seen}; expected {expected}, as in (1 (2 not) (3 good)).")
