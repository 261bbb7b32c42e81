"""End to end: what ``analyze`` returns against the papers' formulas, in float64 and in float32."""

from __future__ import annotations

from collections.abc import Callable

import direct_formula
import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import PreTrainedModel

import normlens

FAMILIES = ["bert", "gpt2", "llama", "marian", "gemma2", "gpt_neox", "granite"]


def model_of(model_type: str, dtype: torch.dtype) -> PreTrainedModel:
    if model_type != "granite":
        return tiny.build(model_type, dtype=dtype)
    model = tiny.build(model_type, dtype=dtype)
    for layer in model.layers:
        layer.residual_multiplier = 0.37
    model.config.residual_multiplier = 0.37
    return model


def inputs_of(model: PreTrainedModel, ids: list[int], target: list[int] | None = None) -> dict[str, Tensor]:
    inputs = {"input_ids": torch.tensor([ids])}
    if target is not None:
        inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id, *target[:-1]]])
    return inputs


def gap(found: np.ndarray, expected: Tensor, name: str) -> float:
    """Largest difference: norms relative to the row's largest contribution, weights and ratios as they are."""
    exact = expected.numpy()
    assert found.shape == exact.shape, name
    scale = exact.max(-1, keepdims=True) if "norm" in name else exact if name.startswith("own") else 1.0
    return float((np.abs(found - exact) / scale).max())


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-6), (torch.float32, 1e-4)], ids=["float64", "float32"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_variable_equals_the_direct_formula(
    model_type: str, dtype: torch.dtype, limit: float, tokens: Callable[..., list[int]]
) -> None:
    model = model_of(model_type, dtype)
    source, target = tokens(9), tokens(6, seed=1) if model.config.is_encoder_decoder else None
    oracle = direct_formula.attentions(model_of(model_type, torch.float64), inputs_of(model, source, target))
    analysis = normlens.load((model, None)).analyze(source, target)
    assert set(analysis.groups) == set(oracle)
    for name, blocks in oracle.items():
        group = analysis[name]
        assert group.data.sizes["layer"] == len(blocks)
        checked = {"conservation_error"}
        for layer, block in enumerate(blocks):
            for variable, expected in direct_formula.measures(block).items():
                plain, _, scope = variable.partition("/")
                found = getattr(group, plain).isel(layer=layer)
                found = found.sel(scope=scope) if scope else found
                assert gap(found.values, expected, plain) <= limit, (name, layer, variable)
                checked.add(plain)
        assert checked == {str(v) for v in group.data.data_vars} | {"weighted_norm"}
    assert analysis.conservation_error <= (1e-6 if dtype == torch.float64 else 1e-5)
