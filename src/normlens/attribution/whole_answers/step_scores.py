"""Scores of the steps of an answer: how probable each token was, and how open the choice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from numpy import ndarray

from normlens.attribution.subject import Subject
from normlens.attribution.targets.answer_tokens import AnswerTokens
from normlens.engine.precision import double


@dataclass(frozen=True)
class StepScores:
    """Probability and entropy at each step.

    Attributes
    ----------
    probability
        Probability of the token that follows, ``(target,)``.
    entropy
        Entropy of the distribution that it is chosen from, in nats, ``(target,)``.
    """

    probability: Float[ndarray, " target"]
    entropy: Float[ndarray, " target"]


def step_scores(subject: Subject, target: AnswerTokens) -> StepScores:
    """The scores of an answer's tokens, from a plain run of the model.

    Parameters
    ----------
    subject
        The model with one text.
    target
        The tokens of the answer.
    """
    logits = double(subject.output["logits"][0, list(target.positions)])
    log_probabilities = logits.log_softmax(-1)
    ids = torch.tensor(target.ids, device=logits.device)[:, None]
    probability = log_probabilities.gather(1, ids)[:, 0].exp()
    entropy = torch.special.entr(log_probabilities.exp()).sum(-1)
    return StepScores(probability.cpu().numpy(), entropy.cpu().numpy())
