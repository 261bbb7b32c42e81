"""What the annotators say: the label of a negated phrase against that of its scope, without any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from normlens.negation.sentiment_trees import ALL_CUES, CUES, LabeledTree, negated_phrases
from reproduce.negation.resampling import groups_of_lines, line_draws
from reproduce.negation.trees.phrases import NEUTRAL

SHORT = 4
_SEVEN = (*CUES, "nothing", "without")


def label_fits(trees: Sequence[LabeledTree]) -> dict[str, Any]:
    """Lines after = slope · before + intercept, on labels centered at neutral.

    Parameters
    ----------
    trees
        All trees.

    Returns
    -------
    dict
        Name of a set of phrases to ``pairs``, ``slope``, ``intercept``, ``explained`` and the ``means`` after each label.
    """
    rows = []
    for phrase in negated_phrases(trees, ALL_CUES):
        tree = trees[phrase.tree]
        alone = bool(tree.words[int(tree.children[phrase.node, 0])])
        before, after = (int(tree.labels[node]) - NEUTRAL for node in (phrase.scope, phrase.node))
        rows.append((phrase.cue, alone, len(tree.span(phrase.scope)), before, after))
    sets = {
        "cue directly before its scope": [row for row in rows if row[1] and row[0] in _SEVEN],
        "five cues": [row for row in rows if row[0] in CUES],
        "five cues, short": [row for row in rows if row[0] in CUES and row[2] <= SHORT],
        **{cue: [row for row in rows if row[0] == cue] for cue in CUES},
    }
    return {name: _fit(chosen) for name, chosen in sets.items() if len({row[3] for row in chosen}) > 1}


def label_groups(trees: Sequence[LabeledTree], groups: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """The same lines by the kind of the words in the scope, and the difference of the first two kinds.

    Parameters
    ----------
    trees
        All trees.
    groups
        Name to words; a scope belongs to a group if it holds words of that group alone.

    Returns
    -------
    dict
        Name of a group to ``pairs``, ``slope``, ``intercept`` and ``explained``.
    """
    before, after, kinds = [], [], []
    for phrase in negated_phrases(trees):
        tree = trees[phrase.tree]
        span = tree.span(phrase.scope)
        inside = [name for name, words in groups.items() if not words.isdisjoint(span)]
        before.append(int(tree.labels[phrase.scope]) - NEUTRAL)
        after.append(int(tree.labels[phrase.node]) - NEUTRAL)
        kinds.append(inside[0] if len(inside) == 1 else "")
    own = {name: np.array(kinds) == name for name in groups}
    lines = groups_of_lines(np.array([before], dtype=np.float64), np.array([after], dtype=np.float64), own)
    return {name: {"pairs": int(own[name].sum()) if name in own else None, **line} for name, line in lines.items()}


def twice_negated(trees: Sequence[LabeledTree]) -> dict[str, Any]:
    """Labels of phrases that negate a negated phrase, by the sign of the innermost scope."""
    phrases = negated_phrases(trees, ALL_CUES)
    by_node = {(phrase.tree, phrase.node): phrase for phrase in phrases}
    rows: dict[str, list[tuple[int, int]]] = {"negative": [], "neutral": [], "positive": []}
    for phrase in phrases:
        inner = by_node.get((phrase.tree, phrase.scope))
        if inner is not None:
            once, twice = (int(trees[phrase.tree].labels[p.node]) - NEUTRAL for p in (inner, phrase))
            start = int(trees[phrase.tree].labels[inner.scope]) - NEUTRAL
            rows[("neutral", "positive", "negative")[int(np.sign(start))]].append((once, twice))
    return {
        sign: {"phrases": len(pairs), "once": _mean([a for a, _ in pairs]), "twice": _mean([b for _, b in pairs])}
        for sign, pairs in rows.items()
    }


def _fit(rows: Sequence[tuple[str, bool, int, int, int]]) -> dict[str, Any]:
    before, after = (np.array([[row[k] for row in rows]], dtype=np.float64) for k in (3, 4))
    means: Mapping[str, float | None] = {
        f"{label:+d}": _mean(after[before == label].tolist()) for label in range(-NEUTRAL, NEUTRAL + 1)
    }
    return {"pairs": len(rows), **line_draws(before, after).estimates(), "means": means}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
