"""The paper's classifiers: what attention may read, what padding changes, and what can be learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.divergences import jensen_shannon
from normlens.faithfulness.four_tests.models import (
    RecurrentClassifier,
    TokenClassifier,
    classification_loss,
)
from normlens.faithfulness.four_tests.uniform import uniform_attention

CLASSIFIERS = [RecurrentClassifier, TokenClassifier]
Batch = tuple[Tensor, Tensor, Tensor]


def made(kind: type[RecurrentClassifier | TokenClassifier], classes: int = 2, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return kind(torch.randn(20, 6), classes, hidden=4)


@pytest.fixture
def batch() -> Batch:
    """Three texts of 6, 4 and 3 tokens; the first and the last of each may not be read."""
    lengths = torch.tensor([6, 4, 3])
    ids = torch.randint(1, 20, (3, 6), generator=torch.Generator().manual_seed(1))
    place = torch.arange(6)
    return ids, lengths, (place > 0) & (place < lengths[:, None] - 1)


def test_ids_that_dont_occur_play_no_part_in_the_diagnostic(batch: Batch) -> None:
    """With the vectors of the ids that occur alone, what it says and what it learns are the same."""
    ids, lengths, readable = batch
    vectors = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    said = []
    for occurring in (None, torch.unique(ids)):
        torch.manual_seed(0)
        model = TokenClassifier(vectors, 2, hidden=4, ids=occurring)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1, amsgrad=True)
        for _ in range(3):
            optimizer.zero_grad()
            classification_loss(model(ids, lengths, readable), torch.tensor([0, 1, 1])).backward()
            optimizer.step()
        said.append(model(ids, lengths, readable).logits)
        assert len(model.embedding.weight) == (40 if occurring is None else len(occurring))
    torch.testing.assert_close(*said)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("classes", [2, 4])
def test_rows_add_up_to_one_and_what_may_not_be_read_gets_nothing(kind: type, classes: int, batch: Batch) -> None:
    reading = made(kind, classes)(*batch)
    assert reading.attention[~batch[2]].abs().max() == 0
    torch.testing.assert_close(reading.attention.sum(-1), torch.ones(3))
    assert reading.probabilities.shape == (3, classes)
    torch.testing.assert_close(reading.probabilities.sum(-1), torch.ones(3))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_padding_changes_nothing(kind: type, batch: Batch) -> None:
    ids, lengths, readable = batch
    model = made(kind)
    padded = model(ids, lengths, readable)
    alone = model(ids[1:2, :4], lengths[1:2], readable[1:2, :4])
    torch.testing.assert_close(padded.logits[1:2], alone.logits)
    torch.testing.assert_close(padded.attention[1:2, :4], alone.attention)


def test_uniform_attention_is_one_over_the_number_of_readable_tokens(batch: Batch) -> None:
    weights = uniform_attention(batch[2])
    expected = [[0, 0.25, 0.25, 0.25, 0.25, 0], [0, 0.5, 0.5, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    torch.testing.assert_close(weights, torch.tensor(expected))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_weights_from_outside_take_the_place_of_the_own_ones(kind: type, batch: Batch) -> None:
    model = made(kind)
    own = model(*batch)
    replaced = model(*batch, own.attention.detach())
    torch.testing.assert_close(replaced.logits, own.logits)
    uniform = model(*batch, uniform_attention(batch[2]))
    assert not torch.allclose(uniform.logits[0], own.logits[0])
    torch.testing.assert_close(uniform.logits[2], own.logits[2])  # one readable token: nothing to choose


def test_the_recurrent_logit_equals_the_paper_written_out(batch: Batch) -> None:
    model = made(RecurrentClassifier).double()
    ids, lengths, readable = batch
    states, _ = model.encoder(model.embedding(ids[:1]))
    scores = torch.stack([_score(model, h) for h in states[0]])
    weights = torch.exp(scores[1:5]) / torch.exp(scores[1:5]).sum()
    logit = model.head.weight[0] @ sum(a * h for a, h in zip(weights, states[0, 1:5], strict=True)) + model.head.bias
    reading = model(ids[:1], lengths[:1], readable[:1])
    torch.testing.assert_close(reading.attention[0, 1:5], weights)
    torch.testing.assert_close(reading.logits[0], logit)


def _score(model: nn.Module, h: Tensor) -> Tensor:
    attention = model.attention
    return attention.outer.weight[0] @ torch.tanh(attention.inner.weight @ h + attention.inner.bias)


def test_a_copied_model_has_no_divergence_and_another_seed_has(batch: Batch) -> None:
    model, copy, other = (made(RecurrentClassifier, seed=seed) for seed in (0, 1, 2))
    copy.load_state_dict(model.state_dict())
    first, same, different = (each(*batch).attention.detach().numpy() for each in (model, copy, other))
    np.testing.assert_array_equal(jensen_shannon(first, same, batch[2]), 0)
    assert jensen_shannon(first, different, batch[2])[0] > 0


@pytest.mark.parametrize("classes", [2, 3])
def test_loss_is_the_mean_negative_log_probability(classes: int, batch: Batch) -> None:
    reading = made(RecurrentClassifier, classes)(*batch)
    labels = torch.tensor([1, 0, classes - 1])
    expected = -reading.probabilities[range(3), labels].log().mean()
    torch.testing.assert_close(classification_loss(reading, labels), expected)


def test_a_guide_that_knows_where_the_label_stands_helps() -> None:
    """Only the second token tells the class; the same words elsewhere are noise."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 20, (400, 8), generator=generator)
    labels = (ids[:, 1] > 9).long()
    lengths, readable = torch.full((400,), 8), torch.ones(400, 8, dtype=torch.bool)
    telling = torch.zeros(400, 8)
    telling[:, 1] = 1

    def accuracy(guide: Tensor, answers: Tensor) -> float:
        model = made(TokenClassifier)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(60):
            optimizer.zero_grad()
            classification_loss(model(ids[:200], lengths[:200], readable[:200], guide[:200]), answers[:200]).backward()
            optimizer.step()
        with torch.no_grad():
            predicted = model(ids[200:], lengths[200:], readable[200:], guide[200:]).probabilities.argmax(-1)
        return float((predicted == labels[200:]).double().mean())

    uniform = uniform_attention(readable)
    assert accuracy(telling, labels) > 0.97
    assert accuracy(uniform, labels) < 0.85
    shuffled = [
        labels[torch.randperm(400, generator=generator)] for _ in range(12)
    ]  # 19 words: one draw varies by 0.11
    assert 0.4 < sum(accuracy(telling, answers) for answers in shuffled) / 12 < 0.6


def test_one_class_and_texts_without_a_readable_token_are_refused(batch: Batch) -> None:
    with pytest.raises(InvalidInput, match="expected at least two"):
        made(RecurrentClassifier, classes=1)
    ids, lengths, readable = batch
    with pytest.raises(InvalidInput, match="Text 2 of the batch has no token"):
        made(TokenClassifier)(ids, lengths, readable & (torch.arange(3) < 2)[:, None])
