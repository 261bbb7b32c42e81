"""Usages: layers that share a module, outputs without names, half precision: all methods answer, or say why not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

import normlens
from normlens.attribution.methods.value_zeroing import cosine_distance
from normlens.errors import ConservationError, ModelError, UnsupportedArchitecture

IDS = [3, 14, 15, 9, 26]
MAPS = ("value_zeroing", "alti", "rollout", "norm_rollout", "flow")
SIZES = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}


def first_number(output: Any) -> Tensor:
    number: Tensor = output[0][:, 0, 0]
    return number


def llama(**options: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES, head_dim=8, **options)).eval()


def bert(**options: Any) -> BertModel:
    torch.manual_seed(0)
    return BertModel(BertConfig(**SIZES, **options)).eval()


def same_answers(one: Any, other: Any, methods: tuple[str, ...]) -> None:
    for method in methods:
        target = {} if method in MAPS else {"target": first_number}
        answers, expected = (
            normlens.load((model, None)).attribute(IDS, method=method, **target) for model in (one, other)
        )
        np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-6, err_msg=method)
    answers, expected = (normlens.load((model, None)).analyze(IDS, through="block") for model in (one, other))
    for group in answers.groups:
        np.testing.assert_allclose(answers[group].data["norm_block"], expected[group].data["norm_block"], rtol=1e-5)


@pytest.mark.parametrize("make", [llama, bert])
def test_layers_that_share_a_module_are_those_of_a_copy(make: Callable[[], Any]) -> None:
    shared, copied = make(), make()
    layers, others = ((m.model.layers if make is llama else m.encoder.layer) for m in (shared, copied))
    layers[2], others[2] = layers[0], copy.deepcopy(others[0])
    if make is llama:
        others[2].self_attn.layer_idx = 0
    same_answers(
        shared, copied, (*MAPS, "decompx", "gradient_input", *(("logit", "alti_logit") if make is llama else ()))
    )


@pytest.mark.parametrize("make", [llama, bert])
def test_outputs_without_names_change_nothing(make: Callable[..., Any]) -> None:
    same_answers(make(return_dict=False), make(), (*MAPS, "decompx", "gradient_input"))


@pytest.mark.parametrize("make", [llama, bert])
@pytest.mark.parametrize("setting", ["output_attentions", "output_hidden_states"])
def test_further_outputs_change_nothing(make: Callable[..., Any], setting: str) -> None:
    same_answers(make(**{setting: True}), make(), (*MAPS, "decompx", "gradient_input"))


@pytest.mark.parametrize("broken", [float("nan"), -1.0])
def test_a_model_whose_own_output_is_not_finite_gives_no_numbers(broken: float) -> None:
    lens = normlens.load((bert(layer_norm_eps=broken), None))
    with pytest.raises(ModelError, match=r"BertModel itself gives \d+ values that are not finite \(of \d+\)"):
        lens.analyze([5, 6, 7])
    with pytest.raises(ConservationError, match=r"shares are not finite"):
        lens.attribute([5, 6, 7])
    with pytest.raises(ConservationError, match=r"shares are not finite"):
        lens.attribute([5, 6, 7], method="gradient_input", target=first_number)


def test_positions_beside_the_rows_stay_as_they_are() -> None:
    model = tiny.build("dinov3_vit").eval()
    image = torch.randn(3, model.config.image_size, model.config.image_size, generator=torch.Generator().manual_seed(0))
    shares = normlens.load((model, None)).attribute(image, method="value_zeroing", layers="each").isel(layer=0)
    layer, outputs = model.get_submodule("model.layer.0" if hasattr(model, "model") else "layer.0"), []
    zero: list[int | None] = [None]

    def zeroed(module: Any, args: Any, value: Tensor) -> Tensor:
        value = value.clone()
        if zero[0] is not None:
            value[:, zero[0]] = 0
        return value

    layer.attention.v_proj.register_forward_hook(zeroed)
    layer.register_forward_hook(lambda module, args, output: outputs.append(output[0] if output.ndim == 3 else output))
    with torch.no_grad():
        for zero[0] in (None, *range(shares.sizes["source"])):
            model(image[None])
    whole, *without = outputs
    distances = torch.stack([cosine_distance(whole.double(), one.double()) for one in without], dim=-1)
    np.testing.assert_allclose(shares, distances / distances.sum(-1, keepdim=True), rtol=1e-3, atol=1e-6)


def test_a_layer_that_carries_several_streams_is_refused_with_the_reason() -> None:
    lens = normlens.load((tiny.build("gemma3n_text").eval(), None))
    with pytest.raises(
        UnsupportedArchitecture, match=r"Gemma3nTextDecoderLayer can't be run again by itself.*Use method='alti'"
    ):
        lens.attribute(IDS, method="value_zeroing")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_full_precision(dtype: torch.dtype) -> None:
    half = llama().to(dtype)
    full = copy.deepcopy(half).float()
    rounded, expected = (
        normlens.load((model, None)).analyze(IDS, through="block")["decoder"].data for model in (half, full)
    )
    assert "absent" not in rounded.attrs
    for name in ("norm", "norm_residual", "norm_block"):
        np.testing.assert_allclose(rounded[name], expected[name], rtol=5e-2, atol=2e-2 * float(expected[name].max()))


@pytest.mark.parametrize("method", ["rollout", "flow"])
def test_maps_without_a_place_for_the_residual_stream_are_refused(method: str) -> None:
    model = tiny.build("cvt").eval()
    image = torch.randn(tiny.inputs("cvt", model)["pixel_values"].shape[1:], generator=torch.Generator().manual_seed(0))
    with pytest.raises(UnsupportedArchitecture, match="16 targets and 4 sources"):
        normlens.load((model, None)).attribute(image, method=method)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_attention_may_be_nearly_all_of_the_first_block(dtype: torch.dtype) -> None:
    half = llama(initializer_range=0.2)
    half.model.embed_tokens.weight.data.mul_(0.02)  # the residual stream is less than rounding allows
    half = half.to(dtype)
    full = copy.deepcopy(half).float()
    rounded, expected = (
        normlens.load((model, None)).analyze(IDS, through="block")["decoder"].data for model in (half, full)
    )
    assert "absent" not in rounded.attrs
    for name in ("norm_residual", "norm_feedforward", "norm_block"):
        np.testing.assert_allclose(rounded[name], expected[name], rtol=5e-2, atol=2e-2 * float(expected[name].max()))
