"""Training of tree models on the labels of all nodes, with the best epoch chosen on the dev trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from normlens.errors import InvalidInput
from normlens.negation.sentiment_trees.tree_batches import Forest
from normlens.negation.sentiment_trees.tree_models import TreeModel


@dataclass(frozen=True)
class TreeTraining:
    """How a tree model is trained.

    Attributes
    ----------
    epochs
        Passes over the training trees; the one with the best dev accuracy over all nodes is kept.
    batch_size
        Trees in a batch.
    learning_rate
        Of AdamW; it falls to zero linearly.
    weight_decay
        Of all parameters.
    """

    epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}; expected an integer from 1.")
        for name in ("learning_rate", "weight_decay"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InvalidInput(f"{name} is {getattr(self, name)}; expected a finite number from 0.")


@dataclass(frozen=True)
class TreeEpoch:
    """What an epoch came to.

    Attributes
    ----------
    training_loss
        Mean cross-entropy of the training nodes while they were learned.
    accuracy
        Share of all dev nodes whose label is predicted.
    roots
        The same of the roots alone.
    """

    training_loss: float
    accuracy: float
    roots: float


def train_trees(model: TreeModel, train: Forest, dev: Forest, options: TreeTraining, seed: int) -> list[TreeEpoch]:
    """Train a model in place; it ends with the parameters of its best epoch.

    Parameters
    ----------
    model
        The model.
    train, dev
        The trees.
    options
        Epochs, batches and rates.
    seed
        Of the order of the trees.

    Returns
    -------
    list of TreeEpoch
        One for each epoch.
    """
    generator = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
    )
    steps = options.epochs * -(-len(train.trees) // options.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
    history: list[TreeEpoch] = []
    best: dict[str, Tensor] = {}
    for _ in range(options.epochs):
        losses = []
        for batch in train.batches(options.batch_size, generator):
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(model(batch), batch.labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        history.append(TreeEpoch(float(np.mean(losses)), *accuracies(predicted_labels(model, dev), dev)))
        if max(history, key=lambda epoch: epoch.accuracy) is history[-1]:
            best = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best)
    return history


def predicted_labels(model: TreeModel, forest: Forest, size: int = 128) -> list[Float[np.ndarray, "node label"]]:
    """The probabilities of the labels of all nodes, tree by tree."""
    made = [np.empty((len(tree.words), model.readout.out_features), dtype=np.float32) for tree in forest.trees]
    with torch.no_grad():
        for batch in forest.batches(size):
            probabilities = model(batch).softmax(dim=-1).float().numpy()
            for row, tree, node in zip(probabilities, batch.tree, batch.node, strict=True):
                made[tree][node] = row
    return made


def accuracies(probabilities: list[Float[np.ndarray, "node label"]], forest: Forest) -> tuple[float, float]:
    """Share of right labels over all nodes, and over the roots."""
    right = [p.argmax(axis=1) == tree.labels for p, tree in zip(probabilities, forest.trees, strict=True)]
    return float(np.concatenate(right).mean()), float(np.mean([nodes[-1] for nodes in right]))
