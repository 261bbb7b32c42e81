"""On an accelerator, results equal the CPU's to 1e-4. Skipped where there is none."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from architectures import tiny

import normlens
from normlens.engine.frozen import pull_back

pytestmark = pytest.mark.skipif(not torch.accelerator.is_available(), reason="needs an accelerator")


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "marian", "gemma2", "deberta", "bloom", "mixtral"])
def test_analyses_on_an_accelerator_equal_those_on_the_cpu(
    model_type: str, tokens: Callable[[int, int], list[int]]
) -> None:
    model = tiny.build(model_type)
    elsewhere = copy.deepcopy(model).to(torch.accelerator.current_accelerator())
    target = tokens(7, 1) if model.config.is_encoder_decoder else None
    ours, theirs = (normlens.load((m, None)).analyze(tokens(12, 0), target_text=target) for m in (model, elsewhere))
    for name, group in ours.data.children.items():
        for variable in group.data_vars:
            if variable == "conservation_error":
                continue
            one, other = group[variable], theirs.data[name][variable]
            assert float(abs(one - other).max()) <= 1e-4 * float(abs(one).max()), (name, variable)


@pytest.mark.parametrize("model_type", ["vit", "clip_vision_model", "siglip_vision_model"])
def test_images_on_an_accelerator_equal_those_on_the_cpu(model_type: str) -> None:
    """Their patches are made by a convolution, which accelerators compute with fewer digits unless told otherwise."""
    model = tiny.build(model_type)
    elsewhere = copy.deepcopy(model).to(torch.accelerator.current_accelerator())
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    one, other = (normlens.load((m, None)).analyze(image).data["encoder"] for m in (model, elsewhere))
    for variable in set(one.data_vars) - {"conservation_error"}:
        assert float(abs(one[variable] - other[variable]).max()) <= 1e-4 * float(abs(one[variable]).max()), variable


@pytest.mark.parametrize("model_type", ["bert", "llama"])
def test_shares_on_an_accelerator_equal_those_on_the_cpu(
    model_type: str, tokens: Callable[[int, int], list[int]]
) -> None:
    model = tiny.build(model_type)
    elsewhere = copy.deepcopy(model).to(torch.accelerator.current_accelerator())
    ids = torch.tensor([tokens(12, 0)])
    one, other = (
        pull_back(m, {"input_ids": ids.to(m.device)}, lambda output: output.last_hidden_state[:, -1, 0])
        for m in (model, elsewhere)
    )
    assert torch.allclose(one.shares, other.shares.cpu(), atol=1e-4 * float(one.scale.max()), rtol=0)
