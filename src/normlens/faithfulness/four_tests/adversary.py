"""The fourth test: a model that is trained to predict what another one predicts, with attention elsewhere.

The loss of each text is TVD(ŷ_a, ŷ_b) − λ · D(α_a ‖ α_b); the true labels are not used (Wiegreffe & Pinter 2019, section 4).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from normlens.errors import InvalidInput, did_you_mean
from normlens.faithfulness.four_tests.models import Prediction

Divergence = Literal["kl", "reverse_kl", "jsd"]
"""Between the adversary's α_a and the base model's α_b: KL(α_a ‖ α_b), KL(α_b ‖ α_a), or Jensen–Shannon."""


def adversarial_loss(
    adversary: Prediction,
    base: Prediction,
    readable: Bool[Tensor, "text token"],
    strength: float,
    *,
    divergence: Divergence = "kl",
) -> Float[Tensor, ""]:
    """Mean over texts of TVD of the predictions − λ · divergence of the attention.

    TVD is :func:`total_variation` over all classes, from 0 to 1. Tokens that may not be read are left out before any
    logarithm is taken, and a weight that underflowed counts as the smallest normal number of its type; value and gradient
    are finite.

    Parameters
    ----------
    adversary
        Predictions of the model in training; the gradient flows through its probabilities and α.
    base
        Predictions of the model under test on the same texts; no gradient reaches it.
    readable
        Tokens that attention may weigh.
    strength
        λ, from 0.
    divergence
        "kl", as in the paper; "reverse_kl" or "jsd".

    Raises
    ------
    InvalidInput
        If λ is negative or not finite, or there is no such divergence.

    References
    ----------
    Wiegreffe & Pinter 2019, "Attention is not not Explanation", https://aclanthology.org/D19-1002/.
    """
    if divergence not in get_args(Divergence):
        names = ", ".join(get_args(Divergence))
        raise InvalidInput(
            f"The divergence is {divergence!r}; expected one of {names}.{did_you_mean(divergence, get_args(Divergence))}"
        )
    if not 0 <= strength < float("inf"):
        raise InvalidInput(f"The strength λ is {strength}; expected a finite number from 0.")
    variation = (adversary.probabilities - base.probabilities.detach()).abs().sum(dim=-1) / 2
    own, other = adversary.attention, base.attention.detach()
    if divergence == "jsd":
        middle = (own + other) / 2
        distance = (relative_entropy(own, middle, readable) + relative_entropy(other, middle, readable)) / 2
    elif divergence == "kl":
        distance = relative_entropy(own, other, readable)
    else:
        distance = relative_entropy(other, own, readable)
    return (variation - strength * distance).mean()


def relative_entropy(
    first: Float[Tensor, "*rest token"], second: Float[Tensor, "*rest token"], readable: Bool[Tensor, "*rest token"]
) -> Float[Tensor, "*rest"]:
    """KL(first ‖ second) of distributions over the readable tokens, in nats; with finite gradients.

    Parameters
    ----------
    first, second
        Weights that add up to one.
    readable
        The tokens that count.
    """
    smallest = torch.finfo(first.dtype).tiny
    p, q = first.where(readable, 1.0), second.where(readable, 1.0)
    terms = p * (p.clamp_min(smallest).log() - q.clamp_min(smallest).log())
    return terms.where(readable, 0.0).sum(dim=-1)
