"""The adversary: its loss by a direct formula, finite gradients, and what λ does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.adversary import Divergence, adversarial_loss
from normlens.faithfulness.four_tests.divergences import jensen_shannon, kullback_leibler, total_variation
from normlens.faithfulness.four_tests.models import Prediction, RecurrentClassifier

READABLE = torch.tensor([[False, True, True, True, False], [False, True, True, False, False]])


def prediction(seed: int, classes: int) -> Prediction:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(2, 5, generator=generator, dtype=torch.float64).masked_fill(~READABLE, -torch.inf)
    outputs = 1 if classes == 2 else classes
    return Prediction(torch.randn(2, outputs, generator=generator, dtype=torch.float64), scores.softmax(-1))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("divergence", ["kl", "reverse_kl", "jsd"])
def test_loss_equals_the_direct_formula(divergence: Divergence, classes: int) -> None:
    one, other = prediction(0, classes), prediction(1, classes)
    p, q = one.attention.numpy(), other.attention.numpy()
    distance = {
        "kl": kullback_leibler(p, q, READABLE),
        "reverse_kl": kullback_leibler(q, p, READABLE),
        "jsd": jensen_shannon(p, q, READABLE),
    }[divergence]
    expected = total_variation(one.probabilities.numpy(), other.probabilities.numpy()) - 0.3 * distance
    loss = adversarial_loss(one, other, READABLE, 0.3, divergence=divergence)
    assert float(loss) == pytest.approx(float(expected.mean()), abs=1e-12)


@pytest.mark.parametrize("divergence", ["kl", "reverse_kl", "jsd"])
def test_value_and_gradient_are_finite_where_weights_underflowed(divergence: Divergence) -> None:
    scores = torch.tensor([[0.0, 0.0, -300.0, 1.0, 0.0], [0.0, 0.0, 300.0, 0.0, 0.0]], requires_grad=True)
    own = scores.masked_fill(~READABLE, -torch.inf).softmax(-1)
    base = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]])
    logits = torch.zeros(2, 1)
    loss = adversarial_loss(Prediction(logits, own), Prediction(logits, base), READABLE, 1.0, divergence=divergence)
    loss.backward()
    assert torch.isfinite(loss) and scores.grad is not None and torch.isfinite(scores.grad).all()


def test_a_larger_strength_moves_attention_further_and_none_keeps_the_predictions() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 20, (48, 8), generator=generator)
    lengths, readable = torch.full((48,), 8), torch.ones(48, 8, dtype=torch.bool)

    def made(seed: int) -> RecurrentClassifier:
        torch.manual_seed(seed)
        return RecurrentClassifier(torch.randn(20, 6), 2, hidden=8)

    base = made(0)
    with torch.no_grad():
        base.head.weight.mul_(8)  # predictions that differ between texts
        told = base(ids, lengths, readable)

    def trained(strength: float) -> tuple[float, float]:
        adversary = made(1)
        optimizer = torch.optim.Adam(adversary.parameters(), lr=0.01)
        for _ in range(120):
            optimizer.zero_grad()
            adversarial_loss(adversary(ids, lengths, readable), told, readable, strength).backward()
            optimizer.step()
        with torch.no_grad():
            output = adversary(ids, lengths, readable)
        variation = total_variation(output.probabilities.numpy(), told.probabilities.numpy())
        return float(variation.mean()), float(jensen_shannon(output.attention.numpy(), told.attention.numpy()).mean())

    (close, own), (_, moved), (_, far) = trained(0.0), trained(0.02), trained(0.5)
    assert close < 0.05
    assert own < moved < far


def test_a_copied_model_has_no_loss_at_any_strength() -> None:
    one = prediction(0, 3)
    for strength in (0.0, 1.0):
        assert float(adversarial_loss(one, one, READABLE, strength)) == 0


@pytest.mark.parametrize("strength", [-1.0, np.nan, np.inf])
def test_a_strength_that_is_none_is_refused(strength: float) -> None:
    with pytest.raises(InvalidInput, match="strength λ"):
        adversarial_loss(prediction(0, 2), prediction(1, 2), READABLE, strength)


def test_an_unlisted_divergence_is_refused_with_its_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"Did you mean 'jsd'\?"):
        adversarial_loss(prediction(0, 2), prediction(1, 2), READABLE, 1.0, divergence="jsdd")  # type: ignore[arg-type]
