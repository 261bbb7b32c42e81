"""The cells of a run: one trained model each, with the settings that name it and the cells that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        return {
            "version": VERSION,
            "data": data,
            "classifier": {name: value for name, value in settings["classifier"].items() if name != "vectors"},
            "training": settings[training],
            "tests": {name: tests[name] for name in names},
            "cell": [self.role, self.seed, self.strength, self.guide],
            "needs": [cell.key(experiment, data) for cell in self.needs],
        }


def base_cell() -> Cell:
    """The model under test: the first seed with learned attention."""
    return Cell("learned", 0)


def trained_cells(experiment: Experiment) -> list[Cell]:
    """The models with learned and with uniform attention, the controls with shuffled labels, and the adversaries."""
    tests = experiment.tests
    cells = [Cell("learned", seed) for seed in range(tests.seeds)]
    cells += [Cell("uniform", seed) for seed in range(tests.seeds)]
    cells += [Cell("shuffled", seed) for seed in range(tests.shuffled)]
    cells += [
        Cell("adversary", seed, strength=strength, needs=(base_cell(),))
        for strength in tests.strengths
        for seed in range(1, tests.adversary_seeds + 1)
    ]
    return cells


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
        for guide, needs in guides_of(experiment.tests.explanations, adversary)
        for seed in range(experiment.tests.guides)
    ]


def guides_of(explanations: Sequence[str], adversary: Cell | None) -> list[tuple[str, tuple[Cell, ...]]]:
    """The guides, with the cells that each depends on."""
    guides: list[tuple[str, tuple[Cell, ...]]] = [(name, ()) for name in CONTROLS]
    for explanation in explanations:
        guides += [(f"base/{explanation}{control}", (base_cell(),)) for control in ("", "/permuted", "/random")]
        if adversary is not None:
            guides.append((f"adversary/{explanation}", (adversary,)))
    return guides
