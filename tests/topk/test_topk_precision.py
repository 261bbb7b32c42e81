"""Switched models in half and in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import PreTrainedModel

from normlens.topk import use

Ids = Callable[..., list[int]]


def run(model: PreTrainedModel, ids: Tensor, **options: Any) -> Tensor:
    """Hidden states of the decoder, or the only tower."""
    if model.config.is_encoder_decoder:
        options["decoder_input_ids"] = ids[:, :6]
    with torch.no_grad():
        output: Tensor = model(input_ids=ids, **options)[0]
    return output


def gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_run(dtype: torch.dtype, tokens: Ids) -> None:
    model, ids = tiny.build("llama", dtype=dtype), torch.tensor([tokens(12)])
    before = run(model, ids)
    with use(model, k=12, measure="norm"):
        assert gap(run(model, ids).float(), before.float()) < 2e-2


@pytest.mark.parametrize("side", ["left", "right", None])
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "t5", "marian"])
def test_double_precision_models_run_under_every_mask(model_type: str, side: str | None, tokens: Ids) -> None:
    """Held against float32 where a target sees nothing: there eager attention of float64 gives NaN in some models."""
    model, single = tiny.build(model_type, dtype=torch.float64), tiny.build(model_type)
    ids, masked = torch.tensor([tokens(9), tokens(9, 1)]), {}
    if side is not None:
        mask = torch.ones(2, 9, dtype=torch.long)
        mask[1, slice(0, 2) if side == "left" else slice(7, 9)] = 0
        masked["attention_mask"] = mask
    dense, ours = run(single if side == "left" else model, ids, **masked), []
    for k in (9, 3):
        with use(model, k=k, measure="norm"):
            ours.append(run(model, ids, **masked))
    real = slice(None) if model.config.is_encoder_decoder or side is None else mask.bool()
    assert gap(ours[0][real], dense[real].double()) < (1e-5 if side == "left" else 1e-6)
    assert gap(ours[1][real], dense[real].double()) > 1e-3
