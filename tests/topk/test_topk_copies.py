"""Copies of a switched model: refused as they are, switched and switched back like any other model."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import PreTrainedModel

from normlens.errors import InvalidInput
from normlens.topk import undo, use

Ids = Callable[..., list[int]]


def run(model: PreTrainedModel, ids: Tensor) -> Tensor:
    with torch.no_grad():
        output: Tensor = model(input_ids=ids)[0]
    return output


@pytest.mark.parametrize("ran", [False, True])
@pytest.mark.parametrize("measure", ["weight", "norm"])
def test_a_copy_can_be_used_and_undone(measure: str, ran: bool, tokens: Ids) -> None:
    model, ids = tiny.build("bert"), torch.tensor([tokens(9)])
    dense = run(model, ids)
    with use(model, k=3, measure=measure):
        if ran:
            run(model, ids)
        copied = copy.deepcopy(model)
        kept = run(model, ids)
    with pytest.raises(InvalidInput, match="is a copy"):
        run(copied, ids)
    with use(copied, k=3, measure=measure):
        assert torch.equal(run(copied, ids), kept)
    assert not torch.equal(kept, dense)
    assert torch.equal(run(copied, ids), dense)
    assert copied.config._attn_implementation == "eager"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in copied.modules())


def test_undo_makes_a_copy_dense_and_leaves_the_model_in_use(tokens: Ids) -> None:
    model, ids = tiny.build("gpt2"), torch.tensor([tokens(9)])
    dense = run(model, ids)
    with use(model, k=3):
        kept = run(model, ids)
        copied = copy.deepcopy(model)
        undo(copied)
        assert torch.equal(run(copied, ids), dense)
        assert torch.equal(run(model, ids), kept)
        with pytest.raises(InvalidInput, match="nothing to undo"):
            undo(copied)
    assert torch.equal(run(model, ids), dense)
