"""The training loop: what it optimizes, which epoch it keeps, and F1 with drawn texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn

from normlens.faithfulness.four_tests.encoded_texts import Batch, EncodedTexts
from normlens.faithfulness.four_tests.instances import draws, f1_by_text, interval
from normlens.faithfulness.four_tests.models import Prediction, RecurrentClassifier, classification_loss
from normlens.faithfulness.four_tests.training import TrainingOptions, f1, optimizer_of, predicted, train


def encoded(count: int, seed: int) -> EncodedTexts:
    """Texts of three tokens; the label is whether the second is a 5."""
    generator = np.random.default_rng(seed)
    ids = [np.array([2, *generator.integers(4, 6, size=3), 3]) for _ in range(count)]
    mask = np.array([False, True, True, True, False])
    return EncodedTexts(ids, [mask] * count, [], np.array([int(row[2] == 5) for row in ids]))


def read(model: nn.Module, batch: Batch, split: str) -> Prediction:
    prediction: Prediction = model(batch.ids, batch.lengths, batch.readable)
    return prediction


def by_label(prediction: Prediction, batch: Batch, split: str) -> Tensor:
    return classification_loss(prediction, batch.labels)


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return RecurrentClassifier(torch.randn(6, 8), 2, hidden=8)


def test_a_rule_is_learned_and_training_repeats_bit_for_bit() -> None:
    splits = {"train": encoded(200, 0), "dev": encoded(60, 1)}
    options = TrainingOptions(epochs=6, learning_rate=0.02)
    models = [small(), small()]
    histories = [train(model, splits, read, by_label, options, seed=3) for model in models]
    assert histories[0] == histories[1] and histories[0][-1].accuracy == 1
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)
    assert not models[0].training
    probabilities, attention = predicted(models[0], splits["dev"], read, "dev")
    assert f1(probabilities, splits["dev"].labels) == 1 and [len(row) for row in attention] == [5] * 60


def test_the_best_epoch_on_dev_is_kept() -> None:
    """A learning rate so large that later epochs are worse than some earlier one."""
    splits = {"train": encoded(64, 0), "dev": encoded(64, 1)}
    model = small()
    history = train(model, splits, read, by_label, TrainingOptions(epochs=6, learning_rate=0.6), seed=0)
    probabilities, _ = predicted(model, splits["dev"], read, "dev")
    right = float((probabilities.argmax(axis=1) == splits["dev"].labels).mean())
    assert right == pytest.approx(max(epoch.accuracy for epoch in history))


def test_attention_has_no_weight_decay_and_the_rate_rises_and_falls() -> None:
    model = small()
    optimizer, _ = optimizer_of(model, TrainingOptions(weight_decay=0.5), 10)
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert not decayed & {id(p) for p in model.get_submodule("attention").parameters()}
    assert id(model.get_submodule("embedding").weight) in decayed
    every = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(every) == sorted(id(p) for p in model.parameters())
    assert optimizer.param_groups[0]["amsgrad"]
    optimizer, schedule = optimizer_of(model, TrainingOptions(learning_rate=1.0, warmup=0.2), 10)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


@pytest.mark.parametrize("classes", [2, 4])
def test_f1_of_drawn_texts_is_that_of_repeated_texts(classes: int) -> None:
    generator = np.random.default_rng(0)
    predicted_classes, labels = generator.integers(classes, size=(2, 30))
    by_text, by_seed = draws(30, 3, 20)
    assert by_text[0].tolist() == [1] * 30 and by_seed.sum(axis=1).tolist() == [3] * 21
    ours = f1_by_text(predicted_classes, labels, by_text, classes)
    average = "binary" if classes == 2 else "macro"
    for counts, value in zip(by_text.astype(int), ours, strict=True):
        repeated = np.repeat(labels, counts), np.repeat(predicted_classes, counts)
        expected = f1_score(*repeated, average=average, labels=range(classes) if classes > 2 else None, zero_division=0)
        assert value == pytest.approx(expected)
    value, low, high = interval(ours)
    assert low <= np.median(ours[1:]) <= high and value == ours[0]
