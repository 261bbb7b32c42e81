"""Layers below those under test run once for many reads: answers and gradients are the same to the bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_transformers import MODELS, Batch, bert
from torch import Tensor, nn

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.held_layers import frozen, held
from normlens.faithfulness.four_tests.transformer import TransformerClassifier


def answers(classifier: TransformerClassifier, batch: Batch, weights: Tensor) -> list[Tensor]:
    """Probabilities and the gradient of α in two reads with different attention."""
    results = []
    for attention in (weights, weights.flip(1) * batch[2]):
        leaf = (attention / attention.sum(-1, keepdim=True)).requires_grad_()
        probabilities = classifier(*batch, leaf).probabilities
        (gradient,) = torch.autograd.grad(probabilities[:, 0].sum(), leaf)
        results += [probabilities.detach(), gradient]
    return results


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_and_gradients_are_the_same_to_the_bit(
    kind: str,
    dtype: torch.dtype,
    batch: Batch,
) -> None:
    model = MODELS[kind]().to(dtype)
    classifier = TransformerClassifier(model, layers=[1, 2]).eval()
    weights = torch.rand(2, 7, dtype=dtype, generator=torch.Generator().manual_seed(3)) * batch[2]
    own = answers(classifier, batch, weights)
    calls: list[nn.Module] = []
    handle = classifier._below[0].register_forward_pre_hook(lambda module, args: calls.append(module))
    inner = next(module for module in classifier._below[0].modules() if isinstance(module, nn.Linear))
    runs: list[nn.Module] = []
    inner.register_forward_pre_hook(lambda module, args: runs.append(module))
    with frozen(classifier), classifier.holding_lower_layers(*batch[:2]):
        again = answers(classifier, batch, weights)
        assert not any(parameter.requires_grad for parameter in classifier.parameters())
    handle.remove()
    assert len(classifier._below) == 1 and len(calls) == 2 and len(runs) == 1  # asked twice, computed once
    for one, other in zip(own, again, strict=True):
        assert torch.equal(one, other)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in classifier.parameters())


def test_a_model_is_itself_again_after_the_context_also_after_an_error(batch: Batch) -> None:
    classifier = TransformerClassifier(bert()).eval()
    ids, lengths, readable = batch
    before = classifier(*batch).logits
    with pytest.raises(ZeroDivisionError), frozen(classifier), classifier.holding_lower_layers(ids, lengths):
        classifier(*batch)
        raise ZeroDivisionError
    assert all("forward" not in vars(module) for module in classifier.modules())
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    other = ids.flip(0)
    assert not torch.equal(classifier(other, lengths, readable).logits, before)
    assert torch.equal(classifier(*batch).logits, before)


def test_another_batch_and_training_mode_are_refused(batch: Batch) -> None:
    classifier = TransformerClassifier(bert()).eval()
    ids, lengths, readable = batch
    with classifier.holding_lower_layers(ids, lengths):
        classifier(*batch)
        with pytest.raises(InvalidInput, match="2 texts of up to 7 tokens are not the batch"):
            classifier(ids.clone().fill_(5), lengths, readable)
        with pytest.raises(InvalidInput, match="not the batch"):
            classifier(ids[:1], lengths[:1], readable[:1])
    with (
        pytest.raises(InvalidInput, match=r"training mode.* Call eval\(\)"),
        classifier.train().holding_lower_layers(ids, lengths),
    ):
        pass


def test_a_forward_that_a_module_has_of_its_own_stays() -> None:
    module = nn.Linear(2, 2)
    own: Callable[[Tensor], Tensor] = lambda x: x + 1  # noqa: E731
    module.forward = own  # type: ignore[method-assign]
    with held([module]):
        assert module(torch.ones(1)) == 2 and module(torch.ones(1)) == 2
    assert module.forward is own


def test_parameters_that_were_frozen_before_stay_so() -> None:
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    with frozen(module):
        assert not module.weight.requires_grad
    assert module.weight.requires_grad and not module.bias.requires_grad
