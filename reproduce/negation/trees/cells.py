"""The cells of the study: one trained model each, kept in a folder that is named by a hash of its settings."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Float

from normlens.files.atomic import write_atomically
from normlens.negation.sentiment_trees import LABELS, TreeModel, TreeTraining, predicted_labels, train_trees
from reproduce.negation.trees.contestants import CONTESTANTS, make
from reproduce.negation.trees.treebank import Treebank

VERSION = 1
"""Rises when the numbers of a cell change for equal settings."""

RATES, DECAYS = (1.5e-3, 5e-3, 1.5e-2), (0.03, 0.3)
"""Learning rates and weight decays that are tried, for a model without variants.

A model with variants is tried without the lowest rate: each variant takes the place of a pair, with the best pair. The best
of all these is tried once more from MiniLM's word vectors, so that every model has seven trials.
"""

MODEL, RECORD = "model.safetensors", "record.json"


@dataclass(frozen=True)
class Cell:
    """One model to train.

    Attributes
    ----------
    name
        Of the model.
    seed
        Of its parameters and of the order of the trees.
    training
        Epochs, batches and rates.
    vectors
        "random" or "minilm": the word vectors it starts from.
    variant
        One of the model's variants; empty for the model as it is.
    """

    name: str
    seed: int
    training: TreeTraining
    vectors: str = "random"
    variant: str = ""

    def folder(self, runs: Path, treebank: Treebank) -> Path:
        """Where it is kept."""
        own = {name: value for name, value in asdict(self).items() if value or name != "variant"}
        settings = [VERSION, own, CONTESTANTS[self.name].sizes, treebank.fingerprint]
        return runs / hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Trained:
    """A trained cell.

    Attributes
    ----------
    cell
        Its settings.
    history
        Of each epoch ``training_loss``, and on dev ``accuracy`` of all nodes and of the ``roots``.
    seconds
        Of processor time.
    path
        The file of its parameters.
    """

    cell: Cell
    history: list[dict[str, float]]
    seconds: float
    path: Path

    @property
    def best(self) -> dict[str, float]:
        """The epoch that is kept."""
        return max(self.history, key=lambda epoch: epoch["accuracy"])

    def model(self, treebank: Treebank) -> TreeModel:
        """The model with its parameters."""
        model = make(self.cell.name, len(treebank.numbers), 0, self.cell.variant)
        model.load_state_dict(safetensors.torch.load_file(self.path))
        return model.eval()

    def predictions(self, model: TreeModel, treebank: Treebank) -> dict[str, list[Float[np.ndarray, "node label"]]]:
        """Probabilities of all nodes of the test trees and of the removed training trees, tree by tree.

        They are kept beside the parameters, since they depend on nothing else.
        """
        made = {}
        for split, forest in (("test", treebank.forest(treebank.test)), ("removed", treebank.removed)):
            path = self.path.with_name(f"{split}.npy")
            if not path.exists():
                buffer = io.BytesIO()
                rows = predicted_labels(model, forest)
                np.save(buffer, np.concatenate(rows) if rows else np.empty((0, LABELS)))
                write_atomically(path, buffer.getbuffer())
            ends = np.cumsum([len(tree.words) for tree in forest.trees])
            made[split] = np.split(np.load(path).astype(np.float64), ends[:-1]) if len(ends) else []
        return made


def trained(cell: Cell, treebank: Treebank, runs: Path) -> Trained:
    """The cell as it is kept, or trained now."""
    folder = cell.folder(runs, treebank)
    if not (folder / RECORD).exists():
        _train(cell, treebank, folder)
    record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return Trained(cell, record["history"], record["seconds"], folder / MODEL)


def _train(cell: Cell, treebank: Treebank, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model = make(cell.name, len(treebank.numbers), cell.seed, cell.variant)
    if cell.vectors == "minilm":
        model.start_from(treebank.word_vectors)
    dev = treebank.forest(treebank.dev)
    begin = time.process_time()
    history = train_trees(model, treebank.kept, dev, cell.training, cell.seed)
    record = {**asdict(cell), "history": [asdict(epoch) for epoch in history], "seconds": time.process_time() - begin}
    write_atomically(folder / MODEL, safetensors.torch.save(model.state_dict()))
    write_atomically(folder / RECORD, json.dumps(record, indent=1) + "\n")
    best = max(epoch.accuracy for epoch in history)
    line = f"{cell.name} seed {cell.seed} {cell.vectors} {cell.variant} {cell.training}: dev {best:.4f}"
    print(f"{line}, {record['seconds']:.0f} s", file=sys.stderr, flush=True)


def tuned(name: str, treebank: Treebank, runs: Path, training: TreeTraining) -> tuple[Cell, list[Trained]]:
    """The cell with the best dev accuracy over all nodes, and every cell that was tried.

    Parameters
    ----------
    name
        Of the model.
    treebank, runs
        The data, and where cells are kept.
    training
        Epochs and batches of every cell.
    """
    variants = CONTESTANTS[name].variants
    rates = RATES[1:] if variants else RATES
    cells = [
        Cell(name, 0, replace(training, learning_rate=rate, weight_decay=decay)) for rate in rates for decay in DECAYS
    ]
    tried = [trained(cell, treebank, runs) for cell in cells]
    best = best_of(tried)
    tried += [trained(replace(best, variant=variant), treebank, runs) for variant in variants]
    tried.append(trained(replace(best_of(tried), vectors="minilm"), treebank, runs))
    return best_of(tried), tried


def best_of(tried: list[Trained]) -> Cell:
    """The cell with the best dev accuracy; the first of equals."""
    return max(tried, key=lambda one: one.best["accuracy"]).cell


def seeds_of(cells: dict[str, Cell], seeds: int, treebank: Treebank, runs: Path) -> Iterator[Trained]:
    """Each model with each seed; a seed of all models before the next seed."""
    torch.set_num_threads(1)  # so that numbers don't depend on the machine
    for seed in range(seeds):
        for cell in cells.values():
            yield trained(replace(cell, seed=seed), treebank, runs)
