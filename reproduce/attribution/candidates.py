"""The explanations of a classifier that the table compares: one row each, with several candidates where options are open."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from normlens import Lens
from normlens.attribution.registry import Method, registered
from normlens.engine.frozen import pull_back
from normlens.errors import NormLensError
from normlens.faithfulness import LensClassifier

Predictions = Float[np.ndarray, "text class"]


@dataclass(frozen=True)
class Candidate:
    """One method with its options.

    Attributes
    ----------
    row
        Its row in the table; of several candidates for a row, one is chosen on dev.
    method, scope, options
        As in `Lens.attribute`.
    target
        "logit" of the predicted class, "difference" to the second most probable one, or None: the [CLS] row of a map.
    magnitude
        Whether words are ranked by the absolute value of their score.
    """

    row: str
    method: str
    scope: str | None = None
    target: str | None = None
    magnitude: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def choice(self) -> str:
        """What distinguishes this candidate from the others of its row."""
        settings = [f"{name}={value}" for name, value in self.options.items()]
        settings += [self.target] if self.target else []
        return ", ".join([*settings, "by magnitude"] if self.magnitude else settings)

    @property
    def question(self) -> tuple[str, str | None, str | None, str]:
        """The query: the same for candidates that differ only in the ranking."""
        return self.method, self.scope, self.target, str(sorted(self.options.items()))

    @property
    def name(self) -> str:
        """Row and choice."""
        return f"{self.row} ({self.choice})" if self.choice else self.row


MAPS = (
    Candidate("attention rollout", "rollout"),
    Candidate("attention flow", "flow"),
    Candidate("N", "norm_rollout", "attention"),
    Candidate("N-Res", "norm_rollout", "residual"),
    Candidate("N-ResLN", "norm_rollout", "layernorm"),
    Candidate("GlobEnc (N-Enc)", "norm_rollout", "encoder"),
    Candidate("whole blocks", "norm_rollout", "block"),
    Candidate("ALTI", "alti"),
    Candidate("Value Zeroing", "value_zeroing"),
    Candidate("DecompX without the head", "decompx"),
)
"""Methods without a class, as published: the row of [CLS], which the classifier reads."""

TARGETED = {
    "DecompX": "decompx",
    "DecompX, averaged": "decompx",
    "gradient × input": "gradient_input",
    "integrated gradients": "integrated_gradients",
    "direct logit attribution": "logit",
    "ALTI-Logit": "alti_logit",
}
"""Methods that explain a number: the target and the ranking are chosen on dev."""

LAYER = {"sources": "embedding layer"}
"""DecompX from the output of the embedding layer on, as published: a source is a token with its position."""

AVERAGED = ({"baseline": "mask", "steps": 3}, {"baseline": "mask", "steps": 5}, {"baseline": "zero", "steps": 5})
"""DecompX on the average of several frozen models, between the text and a masked text or zero vectors."""

OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "DecompX": ({}, LAYER),
    "DecompX, averaged": AVERAGED,
    "integrated gradients": ({}, {"baseline": "mask"}),
}
"""Options of a row's candidates, besides target and ranking."""


TRIED = (("difference", False), ("difference", True), ("logit", False))
"""Target and ranking of the candidates; those with options of their own take only the first."""


def candidates() -> list[Candidate]:
    """Every candidate whose method exists, rows in the order of the table."""
    targeted = [
        Candidate(row, method, target=target, magnitude=magnitude, options=options)
        for row, method in TARGETED.items()
        for options in OPTIONS.get(row, ({},))
        for target, magnitude in (TRIED[:1] if options else TRIED)
    ]
    return [candidate for candidate in (*targeted, *MAPS) if candidate.method in registered()]


def method_of(candidate: Candidate) -> Method:
    """The registered method of a candidate."""
    return registered()[candidate.method]


def scores(
    lens: Lens, texts: Sequence[str], predictions: Predictions, candidate: Candidate, batch_size: int = 8
) -> list[Float[np.ndarray, " token"]]:
    """Score the tokens of every text.

    Parameters
    ----------
    lens
        On a classifier that reads its first position.
    texts
        The texts to explain.
    predictions
        Probabilities of the classes, which determine the targets.
    candidate
        The method and its options.
    batch_size
        Maximum number of texts per forward pass.

    Raises
    ------
    NormLensError
        If the method can't explain this model.
    """
    if candidate.options == LAYER:
        return list(_shares_of_embedding_layer(lens, texts, targets(predictions, candidate.target or "logit")))
    asked: dict[str, Any] = {**candidate.options, **({"scope": candidate.scope} if candidate.scope else {})}
    if candidate.method == "integrated_gradients":
        asked["tolerance"] = inf  # words are ranked; the accuracy of the integral is not the subject of the table
    if candidate.target is not None:
        asked["target"] = targets(predictions, candidate.target)
    results = lens.attribute(texts, method=candidate.method, batch_size=batch_size, **asked)
    return [array.values if array.ndim == 1 else array.isel(target=0).values for array in results]


def _shares_of_embedding_layer(
    lens: Lens, texts: Sequence[str], asked: Sequence[Any]
) -> Iterator[Float[np.ndarray, " token"]]:
    """Shares of the output of the embedding layer at each token: its word, position and segment, normalized together."""
    [path] = [name for name, module in lens.model.named_modules() if module is lens.model.base_model.embeddings]
    classifier = LensClassifier(lens)
    for text, target in zip(texts, asked, strict=True):
        ids = torch.tensor(classifier.encode(text).ids, device=lens.model.device)[None]
        plus, *minus = target if isinstance(target, tuple) else (target,)

        def scalar(output: Any, plus: int = plus, minus: list[int] = minus) -> torch.Tensor:
            logits: torch.Tensor = output.logits
            return logits[:, plus] - logits[:, minus].sum(dim=-1)

        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        yield pull_back(lens.model, inputs, scalar, sources=path).shares[0].double().cpu().numpy()


def targets(predictions: Predictions, kind: str) -> list[Any]:
    """The target of each text, for `Lens.attribute`.

    Parameters
    ----------
    predictions
        Probabilities of the classes.
    kind
        "logit" or "difference".
    """
    ranked = np.argsort(-predictions, axis=1)
    if kind == "logit":
        return [int(row[0]) for row in ranked]
    return [(int(row[0]), int(row[1])) for row in ranked]


def all_scores(
    lens: Lens, texts: Sequence[str], predictions: Predictions, chosen: Sequence[Candidate]
) -> dict[str, list[Float[np.ndarray, " token"]]]:
    """Scores of several candidates, by name; candidates with the same query share the result.

    Parameters
    ----------
    lens, texts, predictions
        As in `scores`.
    chosen
        The candidates.
    """
    answers: dict[object, list[np.ndarray]] = {}
    for candidate in chosen:
        if candidate.question not in answers:
            print(f"{candidate.name} on {len(texts)} texts", file=sys.stderr, flush=True)
            answers[candidate.question] = scores(lens, texts, predictions, candidate)
    return {candidate.name: answers[candidate.question] for candidate in chosen}


def supported(lens: Lens, text: str, predictions: Predictions) -> tuple[list[Candidate], dict[str, str]]:
    """Split the candidates into those that explain this model and those that refuse, with their messages.

    Parameters
    ----------
    lens
        The model.
    text
        The text on which the first candidate of each row is tried.
    predictions
        Probabilities of its classes, ``(1, class)``.
    """
    refused: dict[str, str] = {}
    for row, candidate in {candidate.row: candidate for candidate in reversed(candidates())}.items():
        try:
            scores(lens, [text], predictions, candidate)
        except NormLensError as error:
            refused[row] = str(error)
    return [candidate for candidate in candidates() if candidate.row not in refused], refused
