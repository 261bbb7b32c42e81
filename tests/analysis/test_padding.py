"""Which texts may run in one padded batch: one definition of agreement, tried out once for each kind and side."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from architectures import tiny
from torch import Tensor

from normlens.analysis.padding import Batcher, Numbers, PaddingProbe, agree
from normlens.inputs.example import Example

SHORT, LONG = torch.tensor([5, 6, 7]), torch.tensor([5, 6, 7, 8, 9])


def example(ids: Tensor) -> Example:
    return Example({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, None, None, "")


def numbers(*values: float) -> Numbers:
    return {"x": torch.tensor(values)}


@pytest.mark.parametrize(
    ("padded", "agreed"),
    [
        (numbers(1, -200), True),
        (numbers(1.9, -200), True),  # off by 0.9, less than 1 % of 200
        (numbers(1, -203), False),
        (numbers(1, -200, 7), True),  # padding comes last
        (numbers(1), False),
        (numbers(float("nan"), -200), False),
        (numbers(1, float("-inf")), False),
        ({}, False),
    ],
)
def test_numbers_agree_to_a_part_of_the_largest(padded: Numbers, agreed: bool) -> None:
    assert agree(padded, numbers(1, -200), 0.01) is agreed


def test_numbers_that_are_not_finite_alone_are_not_finite_when_padded() -> None:
    nan = float("nan")
    assert agree(numbers(nan, 2), numbers(nan, 2), 0.01)
    assert not agree(numbers(0, 2), numbers(nan, 2), 0.01)


def test_an_outcome_is_remembered_until_texts_are_twice_as_long_or_the_model_changes() -> None:
    model, calls = tiny.build("bert"), list[int]()
    probe = PaddingProbe(model)
    probe.forget_if_changed()

    def read(batch: Sequence[Example]) -> list[Numbers]:
        calls.append(len(batch))
        return [numbers(len(batch)) for _ in batch]  # a batch changes the numbers

    short, long = example(SHORT), example(LONG)
    assert not probe.allows([short, long], read)
    assert calls == [2, 1, 1]
    probe.forget_if_changed()
    assert not probe.allows([long, short], read)
    assert calls == [2, 1, 1]
    assert not probe.allows([short, example(LONG.repeat(2))], read)
    assert len(calls) == 6
    model.config.layer_norm_eps = 0.5
    probe.forget_if_changed()
    assert not probe.allows([short, long], read)
    assert len(calls) == 9


def test_texts_of_one_length_need_no_trial_and_failures_forbid_padding() -> None:
    def fails(batch: Sequence[Example]) -> list[Numbers]:
        raise IndexError

    probe = PaddingProbe(tiny.build("bert"))
    assert probe.allows([example(SHORT), example(SHORT + 1)], fails)
    assert not probe.allows([example(SHORT), example(LONG)], fails)


def test_batches_are_padded_only_where_the_output_stays_the_same() -> None:
    texts = [example(LONG), example(SHORT)]
    for padded, batches in ((True, [[1, 0]]), (False, [[1], [0]])):
        model = tiny.build("bert")
        if not padded:  # a model that reads how long the batch is
            model.register_forward_pre_hook(lambda module, args, kwargs: _shifted(kwargs), with_kwargs=True)
        assert list(Batcher(model, frozenset({"input_ids", "attention_mask"})).batches(texts, 2)) == batches


def _shifted(kwargs: dict[str, Tensor]) -> tuple[tuple[()], dict[str, Tensor]]:
    ids = kwargs["input_ids"]
    return (), {**kwargs, "input_ids": ids + ids.shape[1]}
