"""LayerNorm and RMSNorm as affine maps, against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from normlens.engine.tracing.norms import NormForm


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def definition(form: NormForm, x: Tensor, epsilon: float) -> Tensor:
    """LayerNorm or RMSNorm as PyTorch spells it."""
    if form.centered:
        return torch.nn.functional.layer_norm(x, x.shape[-1:], form.gain, form.shift, epsilon)
    return torch.nn.functional.rms_norm(x, x.shape[-1:], form.gain, epsilon) + form.shift


@pytest.fixture(params=["LayerNorm", "RMSNorm", "gain 1 + w"])
def form(request: pytest.FixtureRequest) -> NormForm:
    centered = request.param == "LayerNorm"
    gain = 0.3 * normal(9, seed=1) + (0 if request.param == "RMSNorm" else 1)
    return NormForm(gain, normal(9, seed=2) if centered else torch.zeros(9, dtype=torch.float64), centered)


def test_a_norm_is_affine_once_sigma_is_known(form: NormForm) -> None:
    before = normal(2, 5, 9)
    for epsilon in (0.0, 1e-5, 0.5):
        after = definition(form, before, epsilon)
        scale = form.row_scale(before, after)
        spread = before.var(-1, correction=0) if form.centered else before.square().mean(-1)
        assert torch.allclose(scale.squeeze(-1), (spread + epsilon).rsqrt(), rtol=1e-12, atol=0)
        assert torch.allclose(form.apply(before, scale), after, rtol=1e-12, atol=1e-12)


def test_the_row_scale_of_a_row_without_direction_is_zero(form: NormForm) -> None:
    rows = torch.full((1, 2, 9), 3.0 if form.centered else 0.0, dtype=torch.float64)
    after = form.shift.expand(1, 2, 9)
    assert not form.row_scale(rows, after).any()
    assert torch.equal(form.apply(rows, form.row_scale(rows, after)), after)


def test_folding_a_norm_behind_the_projection_is_normalizing_each_contribution(form: NormForm) -> None:
    projection, value = normal(6, 9, seed=3), normal(4, 6, seed=4)
    assert torch.allclose(value @ form.fold_after(projection), form.linear(value @ projection), atol=1e-12)


def test_folding_a_norm_before_the_projection_is_normalizing_what_goes_in(form: NormForm) -> None:
    projection, mixed = normal(9, 4, seed=3), normal(5, 9, seed=4)
    assert torch.allclose(mixed @ form.fold_before(projection), form.linear(mixed) @ projection, atol=1e-12)
