"""Jain & Wallace's measures on models whose answer is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normlens.faithfulness.four_tests.encoded_texts import EncodedTexts
from normlens.faithfulness.four_tests.models import Prediction
from normlens.faithfulness.four_tests.permutations import (
    adversarial_attention,
    gradient_importance,
    permutation_changes,
    random_orders,
    without_each_token,
)

READABLE = torch.tensor([[False, True, True, True, False], [False, True, True, False, False]])
ALPHA = torch.tensor([[0, 0.6, 0.3, 0.1, 0], [0, 0.9, 0.1, 0, 0]])


def answer_of(values: list[float]) -> object:
    """A model whose probability of the second class is Σ α v."""

    def answer(attention: Tensor) -> Tensor:
        p = attention @ torch.tensor(values)
        return torch.stack([1 - p, p], dim=-1)

    return answer


def test_orders_permute_readable_tokens_alone() -> None:
    orders = [random_orders(READABLE, torch.Generator().manual_seed(seed)) for seed in range(40)]
    assert all(order[0, [0, 4]].tolist() == [0, 4] and sorted(order[0].tolist()) == [0, 1, 2, 3, 4] for order in orders)
    assert len({tuple(order[0].tolist()) for order in orders}) == 6


def test_permutations_change_nothing_where_all_tokens_say_the_same() -> None:
    changes = permutation_changes(answer_of([0.3] * 5), ALPHA, READABLE, permutations=5)
    assert changes.shape == (5, 2) and np.abs(changes).max() < 1e-6


def test_a_permutation_changes_the_prediction_as_by_hand() -> None:
    changes = permutation_changes(answer_of([0.0, 1.0, 0.0, 0.0, 0.0]), ALPHA, READABLE, permutations=50)
    assert set(changes[:, 1].round(5)) == {0.0, 0.8}  # α of the only token that counts: 0.9 or 0.1
    assert set(changes[:, 0].round(5)) == {0.0, 0.3, 0.5}


def test_adversarial_attention_is_free_where_tokens_say_the_same_and_bound_where_they_don_t() -> None:
    divergence, change = adversarial_attention(answer_of([0.3] * 5), ALPHA, READABLE, steps=400, learning_rate=0.1)
    assert divergence[0] > 0.4 and change.max() <= 0.01
    bound, change = adversarial_attention(answer_of([0, 1, 0.5, 0, 0]), ALPHA, READABLE, steps=400, learning_rate=0.1)
    assert bound[1] < 0.01 < divergence[1]  # two tokens: the prediction fixes the weights
    assert change.max() <= 0.01
    alike, change = adversarial_attention(
        answer_of([0, 0.2, 0.2, 0.9, 0]), ALPHA, READABLE, steps=400, learning_rate=0.1
    )
    assert alike[0] > 0.05 and change[0] <= 0.01  # weight moves between the two tokens that say the same


class Sum(nn.Module):
    """The logit is the sum of the embeddings' first components."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.tensor([[0.0, 9], [1, 9], [2, 9], [3, 9]]))

    def forward(self, ids: Tensor) -> Prediction:
        logits = self.embedding(ids)[..., 0].sum(dim=1, keepdim=True)
        return Prediction(logits, torch.ones_like(ids, dtype=torch.float32) / ids.shape[1])


def test_gradient_importance_is_p_times_one_minus_p_times_the_embedding() -> None:
    encoded = EncodedTexts([np.array([1, 3])], [np.array([True, True])], [], np.array([0]))
    model = Sum()
    [batch] = encoded.batches(4)
    importance = gradient_importance(model, model.embedding, batch, lambda b: model(b.ids))
    p = 1 / (1 + np.exp(-4.0))
    np.testing.assert_allclose(importance, [[p * (1 - p), 3 * p * (1 - p)]], rtol=1e-5)


def test_each_readable_token_is_left_out_once() -> None:
    encoded = EncodedTexts([np.array([2, 7, 8, 3])], [np.array([False, True, True, False])], [], np.array([1]))
    without = without_each_token(encoded, 0)
    assert [ids.tolist() for ids in without.ids] == [[2, 8, 3], [2, 7, 3]]
    assert [mask.tolist() for mask in without.readable] == [[False, True, False]] * 2
    assert without.labels.tolist() == [1, 1] and pytest.approx(without.lengths()) == [1, 1]
