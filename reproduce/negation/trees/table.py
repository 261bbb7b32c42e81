"""What "not" does in five tree models trained on the Stanford Sentiment Treebank, with words never seen negated held out.

``python -m reproduce negation-trees --data DATA --runs runs`` trains what ``runs`` doesn't hold yet; a killed run goes on
when the command is repeated. Each part is kept until it is measured again; page and figures are drawn of what is kept.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from normlens.errors import NormLensError
from normlens.negation.sentiment_trees import LABELS, StructuredModel, TreeModel, TreeTraining, negated_phrases
from reproduce.negation.trees.accuracies import accuracy_tables
from reproduce.negation.trees.cells import Trained, seeds_of, tuned
from reproduce.negation.trees.contestants import CONTESTANTS, parameter_counts
from reproduce.negation.trees.figures import draw
from reproduce.negation.trees.label_fits import label_fits, label_groups, twice_negated
from reproduce.negation.trees.learned_cues import cue_table, functor_choice, plane, repeated
from reproduce.negation.trees.page import page
from reproduce.negation.trees.treebank import Treebank, read_treebank
from reproduce.negation.trees.word_lists import gradable_words, polar_words
from reproduce.study.kept import kept, measure_of, numbers_of, rounded
from reproduce.study.options import add_data, run_study, study_parser

NAME = "negation/trees"


@dataclass(frozen=True)
class Study:
    """What all parts share: the treebank, and the trained models."""

    treebank: Treebank
    runs: Path
    training: TreeTraining
    seeds: int
    names: Sequence[str]

    @cached_property
    def tried(self) -> dict[str, list[Trained]]:
        """Every cell that the choices on dev are made from."""
        return {name: tuned(name, self.treebank, self.runs, self.training)[1] for name in self.names}

    @cached_property
    def trained(self) -> dict[str, list[Trained]]:
        """The seeds of each model."""
        cells = {name: max(tried, key=lambda one: one.best["accuracy"]).cell for name, tried in self.tried.items()}
        seeds: dict[str, list[Trained]] = {name: [] for name in cells}
        for one in seeds_of(cells, self.seeds, self.treebank, self.runs):
            seeds[one.cell.name].append(one)
        return seeds

    @cached_property
    def models(self) -> dict[str, list[TreeModel]]:
        """The models of each seed."""
        return {name: [one.model(self.treebank) for one in seeds] for name, seeds in self.trained.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts that the command line names, keep them, and write page and figures.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    parser = study_parser(__doc__)
    add_data(parser, "sst/train.txt, dev.txt and test.txt")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), help=f"some of {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--models",
        nargs="+",
        default=list(CONTESTANTS),
        choices=list(CONTESTANTS),
        help="some of them; the numbers of the others stay (default: all)",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the trained models (default: runs)")
    parser.add_argument("--words", type=int, default=8000, help="size of the vocabulary (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.3, help="of words to hold out negated (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=6, help="of each training (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="of each model (default: %(default)s)")
    return run_study(NAME, parser, arguments, _measured, page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    torch.set_num_threads(1)  # so that numbers don't depend on the machine
    treebank = read_treebank(options.data, words=options.words, share=options.share)
    study = Study(
        treebank, options.runs, TreeTraining(epochs=options.epochs, batch_size=64), options.seeds, options.models
    )
    before = kept(numbers_of(NAME, options.output)) if set(options.models) != set(CONTESTANTS) else {}
    for name in options.parts:
        yield name, beside(before.get(name, {}), rounded(measure_of(name, PARTS)(study)))


def beside(before: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of some models beside those that are kept of the others.

    Raises
    ------
    NormLensError
        If the kept numbers are of another training set, or another number of epochs.
    """
    for name in ("words", "train", "removed", "epochs"):
        if name in before and name in measured and before[name] != measured[name]:
            raise NormLensError(
                f"The kept numbers are of {name} = {before[name]}, these of {measured[name]}. Measure all models, or choose "
                "another folder by --output."
            )
    both = dict(before)
    for name, value in measured.items():
        nested = isinstance(value, dict) and isinstance(both.get(name), dict)
        both[name] = beside(both[name], value) if nested else value
    return both


def _labels(study: Study) -> dict[str, Any]:
    """Lines through the annotators' labels, on the trees of all splits."""
    trees = [*study.treebank.train, *study.treebank.dev, *study.treebank.test]
    words = polar_words(trees)
    gradable = gradable_words(trees)
    groups = {"gradable": frozenset(words) & gradable, "not gradable": frozenset(words) - gradable}
    return {
        "fits": label_fits(trees),
        "groups": label_groups(trees, groups),
        "twice": twice_negated(trees),
        "words": {name: len(own) for name, own in groups.items()},
    }


def _models(study: Study) -> dict[str, Any]:
    """Counts, choices on dev and cost of each model."""
    counts = parameter_counts(len(study.treebank.numbers))
    held_out, rows = study.treebank.held_out, {}
    for name in study.names:
        contestant = CONTESTANTS[name]
        chosen = study.trained[name][0].cell
        rows[name] = {
            "title": contestant.title,
            "sizes": contestant.sizes,
            "parameters": counts[name],
            "learning_rate": chosen.training.learning_rate,
            "weight_decay": chosen.training.weight_decay,
            "vectors": chosen.vectors,
            "variant": chosen.variant,
            "dev": [one.best["accuracy"] for one in study.trained[name]],
            "tried": [one.best["accuracy"] for one in study.tried[name]],
            "seconds": float(np.mean([one.seconds / len(one.history) for one in study.trained[name]])),
        }
    return {
        "models": rows,
        "words": len(study.treebank.numbers),
        "train": len(held_out.kept),
        "removed": len(held_out.removed),
        "held_out": sorted(held_out.words),
        "epochs": study.training.epochs,
    }


def _accuracy(study: Study) -> dict[str, Any]:
    """Accuracies on test and on pairs with held-out words."""
    treebank = study.treebank
    predictions = {
        name: [one.predictions(model, treebank) for one, model in zip(study.trained[name], models, strict=True)]
        for name, models in study.models.items()
    }
    trees = {"test": treebank.test, "removed": treebank.removed.trees}
    labels = Counter(int(treebank.kept.trees[p.tree].labels[p.node]) for p in negated_phrases(treebank.kept.trees))
    frequent = max(range(LABELS), key=lambda label: labels[label])
    return accuracy_tables(predictions, trees, treebank.held_out.words, frequent)


def _cues(study: Study) -> dict[str, Any]:
    """What each model does to words under each cue."""
    numbers, trees = study.treebank.numbers, study.treebank.kept.trees
    polarities = {word: score for word, score in polar_words(trees).items() if word in numbers.numbers}
    words, signs = list(polarities), np.sign(list(polarities.values()))
    with_degrees = gradable_words(trees)
    gradable = np.array([word in with_degrees for word in words])
    held_out = np.array([word in study.treebank.held_out.words for word in words])
    groups = {"gradable": gradable, "not gradable": ~gradable, "held out": held_out}
    structured = [model for model in study.models.get("structured", ()) if isinstance(model, StructuredModel)]
    made = {
        "words": len(words),
        "groups": {name: int(own.sum()) for name, own in groups.items()},
        "models": {name: cue_table(models, numbers, words, groups) for name, models in study.models.items()},
        "repeated": {name: repeated(models, numbers, words, signs) for name, models in study.models.items()},
    }
    if structured:
        shown = _often(trees, polarities)
        made |= {"functor": functor_choice(structured, numbers, words), "plane": plane(structured[0], numbers, shown)}
    return made


def _often(trees: Sequence[Any], polarities: Mapping[str, float], count: int = 6) -> list[str]:
    """The most frequent words of a mean label at least 1 from neutral: as many positive as negative ones."""
    counts = Counter(word for tree in trees for word in tree.words)
    chosen = []
    for sign in (1, -1):
        strong = [word for word, score in polarities.items() if sign * score >= 1]
        chosen += sorted(strong, key=lambda word: (-counts[word], word))[:count]
    return chosen


PARTS: Mapping[str, Callable[[Study], dict[str, Any]]] = {
    "labels": _labels,
    "models": _models,
    "accuracy": _accuracy,
    "cues": _cues,
}
"""The parts of the study, in the order of the page."""
