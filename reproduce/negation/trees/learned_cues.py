"""What models learned for a cue: whether the domain is kept, how the value turns, and what further negations do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from normlens.negation.sentiment_trees import CUES, Forest, StructuredModel, TreeModel, WordNumbers, parse_tree
from normlens.negation.sentiment_trees.tree_batches import UNKNOWN
from reproduce.negation.resampling import groups_of_lines, interval, line_draws, mean_draws
from reproduce.negation.trees.phrases import sentiment

FUNCTORS = (*CUES, "very", "the")
"""The cues, and two words that negate nothing, as controls."""

NEGATIONS = 4
"""How often "not" is applied."""


@dataclass(frozen=True)
class Positions:
    """Where a model puts phrases.

    Attributes
    ----------
    domain, value
        The two sides of their vectors: those of the structured model, or what the readout of another model doesn't and
        does read (the orthogonal complement and the row space of its centered weights).
    sentiment
        The expected label, centered.
    """

    domain: Float[np.ndarray, "phrase domain"]
    value: Float[np.ndarray, "phrase value"]
    sentiment: Float[np.ndarray, " phrase"]


def phrase_of(cue: str, word: str, times: int = 1) -> str:
    """A tree that applies a cue to a word; "n't" stands behind "does", as in sentences.

    Parameters
    ----------
    cue
        The functor.
    word
        Its argument.
    times
        How often it is applied.
    """
    functor = "(2 (2 does) (2 n't))" if cue == "n't" else f"(2 {cue})"
    return f"(2 {word})" if times == 0 else f"(2 {functor} {phrase_of(cue, word, times - 1)})"


def positions(model: TreeModel, numbers: WordNumbers, phrases: Sequence[str]) -> Positions:
    """Where a model puts phrases, which are written as trees."""
    trees = [parse_tree(phrase.replace("/", "\\/")) for phrase in phrases]
    batch = Forest.of(trees, numbers).batch(range(len(trees)))
    roots = np.array([len(tree.words) - 1 for tree in trees])
    at_root = np.flatnonzero(batch.node == roots[batch.tree])
    with torch.no_grad():
        states = model.states(batch)[at_root[np.argsort(batch.tree[at_root])]]
        vectors = model.vectors(states)
        felt = sentiment(model.readout(vectors).softmax(dim=-1).double().numpy())
        if isinstance(model, StructuredModel):
            domain, value = model.meanings(states).domain, vectors
        else:
            weight = model.readout.weight
            basis = torch.linalg.svd(weight - weight.mean(0), full_matrices=False).Vh[: weight.shape[0] - 1]
            value = vectors @ basis.T
            domain = vectors - value @ basis
    return Positions(domain.double().numpy(), value.double().numpy(), felt)


def cue_table(
    models: Sequence[TreeModel], numbers: WordNumbers, words: Sequence[str], groups: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """What one kind of model learned for each functor, over its seeds.

    Parameters
    ----------
    models
        One model for each seed.
    numbers
        Their vocabulary.
    words
        The words that functors are applied to.
    groups
        Name to the words that belong to it, ``(word,)``: lines are also fitted to these alone.

    Returns
    -------
    dict
        Functor to estimates: of the domain ``cosine``, ``moved`` (distance over length) and ``nearest`` (the word's own
        domain is the nearest of all); of sentiment the line; of value vectors ``mu`` and ``explained``.
    """
    bare = [positions(model, numbers, words_as_trees(words)) for model in models]
    return {
        functor: _functor(
            bare, [positions(m, numbers, [phrase_of(functor, word) for word in words]) for m in models], groups
        )
        for functor in FUNCTORS
    }


def words_as_trees(words: Sequence[str]) -> list[str]:
    """Single words as trees."""
    return [phrase_of("", word, 0) for word in words]


def _functor(bare: Sequence[Positions], after: Sequence[Positions], groups: Mapping[str, np.ndarray]) -> dict[str, Any]:
    pairs = list(zip(bare, after, strict=True))
    x, y = (np.stack([p.sentiment for p in side]) for side in (bare, after))
    cosine = np.stack([_cosine(a.domain, b.domain) for a, b in pairs])
    moved = np.stack([np.linalg.norm(b.domain - a.domain, axis=1) / np.linalg.norm(a.domain, axis=1) for a, b in pairs])
    nearest = np.stack([_nearest(a.domain, b.domain) for a, b in pairs])
    vectors = [_value_fit(a.value, b.value) for a, b in pairs]
    return {
        "domain": {
            name: interval(mean_draws(v)) for name, v in (("cosine", cosine), ("moved", moved), ("nearest", nearest))
        },
        "sentiment": line_draws(x, y).estimates(),
        "groups": groups_of_lines(x, y, groups),
        "values": {"mu": [fit[0] for fit in vectors], "explained": [fit[1] for fit in vectors]},
    }


def _cosine(a: Float[np.ndarray, "word size"], b: Float[np.ndarray, "word size"]) -> Float[np.ndarray, " word"]:
    return np.asarray((a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12))


def _nearest(
    domains: Float[np.ndarray, "word size"], moved: Float[np.ndarray, "word size"]
) -> Float[np.ndarray, " word"]:
    """Whether each moved domain is nearer to its own word's than to any other word's."""
    squares = (domains**2).sum(1) - 2 * moved @ domains.T  # less ‖moved‖², equal along a row
    return np.asarray(squares.argmin(axis=1) == np.arange(len(domains)), dtype=np.float64)


def _value_fit(before: Float[np.ndarray, "word size"], after: Float[np.ndarray, "word size"]) -> tuple[float, float]:
    """μ of v′ = −μ v + b by least squares, with a vector b, and the share of the variance of v′ that it explains."""
    x, y = before - before.mean(0), after - after.mean(0)
    slope = float((x * y).sum() / (x * x).sum())
    return -slope, float(1 - ((y - slope * x) ** 2).sum() / (y * y).sum())


def repeated(
    models: Sequence[TreeModel], numbers: WordNumbers, words: Sequence[str], signs: np.ndarray
) -> dict[str, Any]:
    """Sentiment under "not", "not not" and so on.

    Parameters
    ----------
    models, numbers, words
        As in :func:`cue_table`.
    signs
        Polarity of each word, −1 or 1.

    Returns
    -------
    dict
        ``curves``: sign to the mean sentiment after 0 to 4 negations; ``double``: the line of "not not x" over x, and the
        shares of words for which it has the same sign as x (``same_sign``), and is nearer to zero (``weaker``).
    """
    made = [
        np.stack([positions(m, numbers, [phrase_of("not", w, k) for w in words]).sentiment for m in models])
        for k in range(NEGATIONS + 1)
    ]
    once, twice = made[0], made[2]
    return {
        "curves": {
            name: [interval(mean_draws(x[:, signs == sign])) for x in made]
            for name, sign in (("positive", 1), ("negative", -1))
        },
        "double": {
            **line_draws(once, twice).estimates(),
            "same_sign": interval(mean_draws((np.sign(twice) == np.sign(once)).astype(np.float64))),
            "weaker": interval(mean_draws((np.abs(twice) < np.abs(once)).astype(np.float64))),
        },
    }


def functor_choice(
    models: Sequence[StructuredModel], numbers: WordNumbers, words: Sequence[str]
) -> dict[str, list[float]]:
    """For each functor and seed, the mean probability that it is the functor of a word behind it."""
    chosen: dict[str, list[float]] = {functor: [] for functor in FUNCTORS}
    with torch.no_grad():
        for model in models:
            behind = model.leaves(torch.tensor([numbers.numbers[word] for word in words]))
            for functor in FUNCTORS:
                own = model.leaves(torch.tensor([numbers.numbers.get(functor, UNKNOWN)])).expand(len(behind), -1)
                chosen[functor].append(float(model.left_is_functor(own, behind).mean()))
    return chosen


def plane(model: StructuredModel, numbers: WordNumbers, words: Sequence[str]) -> list[dict[str, Any]]:
    """Words, "not" and "not not" in the plane of the first principal component of domains, and sentiment."""
    stages = [positions(model, numbers, [phrase_of("not", word, k) for word in words]) for k in range(3)]
    center = stages[0].domain.mean(0)
    axis = np.linalg.svd(stages[0].domain - center, full_matrices=False)[2][0]
    return [
        {
            "word": word,
            "domain": [float((stage.domain[row] - center) @ axis) for stage in stages],
            "value": [float(stage.sentiment[row]) for stage in stages],
        }
        for row, word in enumerate(words)
    ]
