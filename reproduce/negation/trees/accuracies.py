"""How often each model is right: over all nodes, sentences, negated phrases, and pairs with held-out words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from normlens.negation.sentiment_trees import LabeledTree
from reproduce.negation.resampling import Estimate, interval, line_draws, mean_draws
from reproduce.negation.trees.contestants import CONTESTANTS, REFERENCE
from reproduce.negation.trees.phrases import NEUTRAL, Pairs, scores, sentiment

Probabilities = list[Float[np.ndarray, "node label"]]
"""Of one model and seed: probabilities of all nodes, tree by tree."""

Predictions = Mapping[str, Sequence[Mapping[str, Probabilities]]]
"""Model to its seeds, each a mapping from a split ("test", "removed") to probabilities."""

SETS = ("negated", "held_out", "held_out_short")
"""Negated phrases of test; those of test and of the removed trees whose scope holds a held-out word; short scopes."""

MEASURES = ("accuracy", "polarity", "direction", "flips")

_SHORT = 4


def accuracy_tables(
    predictions: Predictions, trees: Mapping[str, Sequence[LabeledTree]], words: frozenset[str], frequent: int
) -> dict[str, Any]:
    """All accuracies with intervals, and their differences to the matrix–vector model.

    Parameters
    ----------
    predictions
        Of all models.
    trees
        Split to its trees.
    words
        The held-out words.
    frequent
        The most frequent label of negated phrases in the training, as a baseline.
    """
    pairs = {split: Pairs.of(trees[split], words) for split in ("test", "removed")}
    tables: dict[str, Any] = {"whole": _whole(predictions, trees["test"])}
    for name in SETS:
        chosen = {split: _chosen(name, split, pairs[split]) for split in pairs}
        tables[name] = _compared(
            {model: np.stack([_right(seed, pairs, chosen) for seed in seeds]) for model, seeds in predictions.items()},
            MEASURES,
        )
        after = np.concatenate([pairs[split].after[chosen[split]] for split in pairs])
        before = np.concatenate([pairs[split].before[chosen[split]] for split in pairs])
        tables[name]["baseline"] = float((after + NEUTRAL == frequent).mean())
        felt = {model: np.stack([_felt(seed, pairs, chosen) for seed in seeds]) for model, seeds in predictions.items()}
        tables[name]["lines"] = {
            "labels": line_draws(before[None].astype(np.float64), after[None].astype(np.float64)).estimates(),
            **{model: line_draws(x[:, 0], x[:, 1]).estimates() for model, x in felt.items()},
        }
    return tables


def _chosen(name: str, split: str, pairs: Pairs) -> np.ndarray:
    if name == "negated":
        return np.full(len(pairs.phrases), split == "test")
    return np.asarray(pairs.held_out & (pairs.lengths <= (_SHORT if name == "held_out_short" else np.inf)))


def _right(
    seed: Mapping[str, Probabilities], pairs: Mapping[str, Pairs], chosen: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "pair measure"]:
    """The measures of the chosen pairs for one model and seed."""
    rows = []
    for split, own in pairs.items():
        if chosen[split].any():
            scope, phrase = (p[chosen[split]] for p in own.predictions(seed[split]))
            measured = scores(own.before[chosen[split]], own.after[chosen[split]], scope, phrase)
            rows.append(np.stack([measured[name] for name in MEASURES], axis=1))
    return np.concatenate(rows) if rows else np.empty((0, len(MEASURES)))


def _felt(
    seed: Mapping[str, Probabilities], pairs: Mapping[str, Pairs], chosen: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "side pair"]:
    """Predicted sentiment of scopes and of negated phrases."""
    sides = [own.predictions(seed[split]) for split, own in pairs.items() if chosen[split].any()]
    masks = [mask for mask in chosen.values() if mask.any()]
    return np.stack(
        [np.concatenate([sentiment(p[side][mask]) for p, mask in zip(sides, masks, strict=True)]) for side in (0, 1)]
    )


def _whole(predictions: Predictions, trees: Sequence[LabeledTree]) -> dict[str, Any]:
    """Accuracy over the nodes of each test tree, and of its root; trees are what is drawn."""
    sizes = np.array([len(tree.words) for tree in trees])
    right = {}
    for model, seeds in predictions.items():
        rows = []
        for seed in seeds:
            nodes = [p.argmax(axis=1) == tree.labels for p, tree in zip(seed["test"], trees, strict=True)]
            rows.append([[row.sum() / sizes.mean(), row[-1]] for row in nodes])
        right[model] = np.array(rows, dtype=np.float64)
    return _compared(right, ("nodes", "roots"))


def _compared(right: Mapping[str, Float[np.ndarray, "seed pair measure"]], measures: Sequence[str]) -> dict[str, Any]:
    """Means with intervals, and paired differences to the reference model."""
    table: dict[str, Any] = {}
    for number, measure in enumerate(measures):
        values = {model: x[:, :, number] for model, x in right.items()}
        applies = np.isfinite(next(iter(values.values()))).all(axis=0)
        if not applies.any():
            continue
        # A model's seeds are drawn the same whichever others are measured.
        streams = {model: list(CONTESTANTS).index(model) for model in values}
        draws = {model: mean_draws(x[:, applies], streams[model]) for model, x in values.items()}
        table[measure] = {
            "pairs": int(applies.sum()),
            "models": {model: interval(x) for model, x in draws.items()},
            "less_reference": _differences(draws),
        }
    return table


def _differences(draws: Mapping[str, Float[np.ndarray, " draw"]]) -> dict[str, Estimate]:
    if REFERENCE not in draws:
        return {}
    return {model: interval(x - draws[REFERENCE]) for model, x in draws.items() if model != REFERENCE}
