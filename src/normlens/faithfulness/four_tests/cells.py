"""The cells of a run: one trained model each, with the settings that name it and the cells that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from normlens.faithfulness.four_tests.experiment import Experiment

VERSION = 1
"""Rises when the numbers of a cell change for equal settings, so that kept cells of an older version are not used."""

Role = Literal["learned", "uniform", "shuffled", "adversary", "diagnostic"]

CONTROLS = ("uniform", "learned", "label")
"""Guides that depend on no cell: equal weights, weights of the diagnostic's own, and weights that know the label."""


@dataclass(frozen=True)
class Cell:
    """One model to train.

    Attributes
    ----------
    role
        "learned" and "uniform" attention, "shuffled" labels, an "adversary" of the base model, or a guided "diagnostic".
    seed
        Of its parameters, of the order of the texts and of dropout.
    strength
        λ of an adversary.
    guide
        Of a diagnostic: one of :data:`CONTROLS`, or ``source/explanation`` with "base" or "adversary" as the source; its
        controls end in "/permuted" or "/random".
    needs
        The cells whose weights or predictions it is trained with.
    """

    role: Role
    seed: int
    strength: float | None = None
    guide: str | None = None
    needs: tuple[Cell, ...] = ()

    @property
    def name(self) -> str:
        """A name for people, unique in a run."""
        what: list[str] = [self.role]
        if self.strength is not None:
            what.append(f"λ={self.strength:g}")
        if self.guide is not None:
            what.append(self.guide)
        return " ".join([*what, f"seed {self.seed}"])

    def key(self, experiment: Experiment, data: str) -> str:
        """The name of its folder: a hash of everything that its numbers depend on.

        Parameters
        ----------
        experiment
            The run.
        data
            A hash of the texts and word vectors.
        """
        return hashlib.sha256(json.dumps(self._settings(experiment, data), sort_keys=True).encode()).hexdigest()[:20]

    def _settings(self, experiment: Experiment, data: str) -> dict[str, Any]:
        settings: Mapping[str, Any] = experiment.as_data()
        training = {"adversary": "adversary", "diagnostic": "diagnostic"}.get(self.role, "training")
        tests = settings["tests"]
        names = ["explanations"] if self.role in ("learned", "adversary") else []
        if self.role == "adversary":
            names.append("divergence")
        if self == base_cell():
            names += ["permutations", "distributions", "instances"]
        as_it_is = self == base_cell() and experiment.classifier.trained
        return {
            "version": VERSION,
            "data": data,
            "classifier": _named(settings["classifier"]),
            "training": None if as_it_is else settings[training],
            "tests": {name: tests[name] for name in names},
            "cell": [self.role, self.seed, self.strength, self.guide],
            "needs": [cell.key(experiment, data) for cell in self.needs],
        }


def _named(classifier: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a classifier; those that came later count only where they are set, so that older cells are used."""
    unset = {"trained": False, "start": None, "row": None}
    return {
        name: value
        for name, value in classifier.items()
        if name != "vectors" and not (name in unset and value == unset[name])
    }


def base_cell() -> Cell:
    """The model under test: the first seed with learned attention, or the trained model that is tested as it is."""
    return Cell("learned", 0)


def others_depend_on(cell: Cell) -> bool:
    """Whether other cells may be trained with what a cell says of the training texts."""
    return cell == base_cell() or cell.role == "adversary"


def trained_cells(experiment: Experiment) -> list[Cell]:
    """The models with learned and with uniform attention, the controls with shuffled labels, and an adversary for each λ.

    A trained model without a ``start`` has neither other seeds nor such controls: they would begin with what it knows.
    """
    tests = experiment.tests
    cells = [Cell("learned", seed) for seed in range(tests.seeds if experiment.compares_seeds else 1)]
    cells += [Cell("uniform", seed) for seed in range(tests.seeds)]
    cells += [Cell("shuffled", seed) for seed in range(tests.shuffled if experiment.compares_seeds else 0)]
    if tests.adversary_seeds:
        cells += [Cell("adversary", 1, strength=strength, needs=(base_cell(),)) for strength in tests.strengths]
    return cells


def repeated_adversaries(experiment: Experiment, adversary: Cell | None) -> list[Cell]:
    """The adversary that was chosen, with further seeds."""
    seeds = range(2, experiment.tests.adversary_seeds + 1)
    return [] if adversary is None else [replace(adversary, seed=seed) for seed in seeds]


def diagnostic_cells(experiment: Experiment, adversary: Cell | None) -> list[Cell]:
    """The guided models.

    Parameters
    ----------
    experiment
        The run.
    adversary
        The adversary whose weights are a guide; None where there is none.
    """
    return [
        Cell("diagnostic", seed, guide=guide, needs=needs)
        for guide, needs in guides_of(experiment, adversary)
        for seed in range(experiment.tests.guides)
    ]


def guides_of(experiment: Experiment, adversary: Cell | None) -> list[tuple[str, tuple[Cell, ...]]]:
    """The guides, with the cells that each depends on.

    An adversary of a Transformer guides by α alone: norms and attributions of all training texts would cost more than its
    training.
    """
    guides: list[tuple[str, tuple[Cell, ...]]] = [(name, ()) for name in CONTROLS]
    for explanation in experiment.tests.explanations:
        guides += [(f"base/{explanation}{control}", (base_cell(),)) for control in ("", "/permuted", "/random")]
        if adversary is not None and (explanation == "weight" or experiment.classifier.kind == "recurrent"):
            guides.append((f"adversary/{explanation}", (adversary,)))
    chosen = experiment.tests.guided
    return [(name, needs) for name, needs in guides if not chosen or name in chosen]
