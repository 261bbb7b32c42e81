"""Transformers of three small layers, with every parameter random."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
)

SMALL = {
    "vocab_size": 99, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_labels": 3, "pad_token_id": 0,
}  # fmt: skip


def randomized(model: PreTrainedModel) -> PreTrainedModel:
    """Every parameter drawn anew, biases and gains too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def bert() -> PreTrainedModel:
    torch.manual_seed(0)
    return randomized(BertForSequenceClassification(BertConfig(**SMALL)))


def llama() -> PreTrainedModel:
    """A decoder whose value heads are shared by two query heads each."""
    torch.manual_seed(0)
    return randomized(LlamaForSequenceClassification(LlamaConfig(**SMALL, num_key_value_heads=2)))


MODELS = {"bert": bert, "llama": llama}
Batch = tuple[Tensor, Tensor, Tensor]
