"""What people hand in: tokenizer output, padded or not, one row or many, against the model fed each text alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

import normlens

MakeLens = Callable[..., normlens.Lens]
Ids = Callable[..., list[int]]
TEXTS = ["the cat sat", "a dog ran here, the cat is here.", "Paris is here"]
MODELS = ["bert", "roberta", "gpt2", "llama", "opt", "modernbert", "bloom"]


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
    found = analysis[group or analysis.groups[0]].weight
    assert found.sizes["layer"] == len(expected)
    for layer, weights in enumerate(expected):
        np.testing.assert_allclose(found[layer].values, weights.numpy(), atol=1e-6)


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


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("model_type", MODELS)
def test_a_padded_batch_of_a_tokenizer_is_read_by_its_mask(
    model_type: str, side: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = tiny.build(model_type)
    lens = normlens.load((model, tokenizer))
    encoded = tokenizer(TEXTS, padding=True, padding_side=side, return_tensors="pt")
    found = list(lens.analyze(encoded, progress=False))
    assert len(found) == 3
    for text, analysis in zip(TEXTS, found, strict=True):
        ids = tokenizer(text)["input_ids"]
        assert same(analysis, lens.analyze(ids))
        assert_weights(analysis, weights_alone(model, input_ids=torch.tensor([ids])))


@pytest.mark.parametrize("form", ["pt", "np", None])
def test_one_row_gives_one_analysis_in_every_form(form: str | None, tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("bert"), tokenizer))
    expected = lens.analyze(tokenizer(TEXTS[0])["input_ids"])
    encoded = tokenizer(TEXTS[0], return_tensors=form)
    forms: list[Any] = [encoded, dict(encoded), tokenizer([TEXTS[0]], return_tensors=form), encoded["input_ids"]]
    forms += [tokenizer(TEXTS, padding=True, return_tensors=form).encodings[0], {"input_ids": encoded["input_ids"]}]
    for given in forms:
        assert same(lens.analyze(given), expected), given


def test_lists_of_rows_and_loaders_of_batches_are_opened(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("bert"), tokenizer))
    expected = [lens.analyze(tokenizer(text)["input_ids"]) for text in TEXTS]
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    rows = [tokenizer(text) for text in TEXTS]
    for given in (tokenizer(TEXTS), rows, (batch for _ in range(1)), batch["input_ids"], batch["input_ids"].tolist()):
        found = list(lens.analyze(given, progress=False))
        assert all(map(same, found, expected)) and len(found) == 3
    assert len(list(lens.stream(batch, progress=False))) == 3
