"""Runs of switched models, and how far they are from others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

Ids = Callable[..., list[int]]
MODELS = ["bert", "gpt2", "llama", "gemma2", "marian", "t5", "gpt_oss"]


def run(model: PreTrainedModel, ids: Tensor, **options: Any) -> Tensor:
    """Hidden states of the decoder, or the only tower."""
    if model.config.is_encoder_decoder:
        options["decoder_input_ids"] = ids[:, :6]
    with torch.no_grad():
        return model(input_ids=ids, **options)[0]


def gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())
