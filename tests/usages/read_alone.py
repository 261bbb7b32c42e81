"""Each text read alone by the model itself, to hold analyses of several against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    PreTrainedModel,
)

import normlens

MakeLens = Callable[..., normlens.Lens]
Ids = Callable[..., list[int]]
TEXTS = ["the cat sat", "a dog ran here, the cat is here.", "Paris is here"]
MODELS = ["bert", "roberta", "gpt2", "llama", "opt"]


def weights_alone(model: PreTrainedModel, **inputs: Any) -> list[Tensor]:
    """Attention weights per layer of one row, by the model itself: ``(head, target, source)``."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            return [x[0] for x in model(**inputs, output_attentions=True).attentions]
    finally:
        model.set_attn_implementation(before)


def assert_weights(analysis: normlens.Analysis, expected: list[Tensor], group: str | None = None) -> None:
    measured = analysis[group or analysis.groups[0]].weight
    assert measured.sizes["layer"] == len(expected)
    for layer, weights in enumerate(expected):
        np.testing.assert_allclose(measured[layer].values, weights.numpy(), atol=1e-6)


def same(one: normlens.Analysis, other: normlens.Analysis) -> bool:
    """Whether two analyses are the same, labels and numbers."""
    for name in one.groups:
        a, b = one[name].data, other[name].data
        if set(a.variables) != set(b.variables) or not all(np.array_equal(a[c], b[c]) for c in a.coords):
            return False
        gaps = [float(np.nanmax(np.abs(a[v] - b[v]))) for v in a.data_vars if v != "conservation_error"]
        if max(gaps) > 1e-5:
            return False
    return one.groups == other.groups
