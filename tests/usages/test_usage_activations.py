"""Usages: activations written by hand, as a module or a function, give what torch's own give."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

import normlens
from normlens.attribution import Predicted
from normlens.errors import UnknownOperation, UnsupportedArchitecture

IDS = [3, 14, 15, 9, 26]


class NewGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class SiLU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(x / 2))


class Custom(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Hidden(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * Custom.apply(x) / 2


@torch.jit.script
def scripted_silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


class Scripted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return scripted_silu(x)


class MixesPositions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Custom.apply(x.flip(-1))


def softplus(x: Tensor) -> Tensor:
    return torch.log(1 + torch.exp(x))


def bert(activation: Any) -> normlens.Lens:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        hidden_act="gelu",
    )
    model = BertModel(config).eval()
    for layer in model.encoder.layer:
        for parameter in layer.parameters():
            parameter.data.mul_(4)
        del layer.intermediate.intermediate_act_fn
        layer.intermediate.intermediate_act_fn = activation
    return normlens.load((model.eval(), None))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NewGELU(), nn.GELU(approximate="tanh")),
        (NewGELU().forward, nn.GELU(approximate="tanh")),
        (SiLU(), nn.SiLU()),
        (Hidden(), nn.SiLU()),
        (Scripted(), nn.SiLU()),
        (lambda x: x * F.relu6(x + 3) / 6, nn.Hardswish()),
        (lambda x: torch.where(x > 0, x, x.exp() - 1), nn.ELU()),
    ],
)
def test_through_the_block_an_activation_is_one_activation(one: Any, other: Any) -> None:
    data, expected = (bert(x).analyze(IDS, through="block")["encoder"].data for x in (one, other))
    for name in ("norm_feedforward", "norm_block", "mixing_ratio"):
        np.testing.assert_allclose(data[name], expected[name], rtol=1e-4, atol=1e-5)
    shares, right = (bert(x).attribute(IDS, target=lambda output: output[0][:, 0, 0]) for x in (one, other))
    np.testing.assert_allclose(shares, right, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_seen_and_is_no_activation_is_refused() -> None:
    with pytest.raises(UnknownOperation, match="custom autograd"):
        bert(MixesPositions()).attribute(IDS, target=lambda output: output[0][:, 0, 0])


def test_an_activation_that_is_a_gate_elsewhere_lets_contributions_through() -> None:
    one, other = (bert(x).analyze(IDS, through="block")["encoder"].data for x in (nn.Softplus(), softplus))
    assert float(one["norm_feedforward"].min()) > 0
    np.testing.assert_allclose(one["norm_feedforward"], other["norm_feedforward"], rtol=1e-4, atol=1e-5)


def test_a_gated_product_by_hand_is_integrated_like_the_module() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, head_dim=8
    )
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        parameter.data.mul_(4)
    lens = normlens.load((model, None))
    for product in ("half", "integrated"):
        expected = lens.attribute(IDS, target=Predicted(), product=product)
        for layer in model.model.layers:
            layer.mlp.act_fn = SiLU().eval()
        shares = lens.attribute(IDS, target=Predicted(), product=product)
        np.testing.assert_allclose(shares, expected, rtol=1e-4, atol=1e-5)
        for layer in model.model.layers:
            layer.mlp.act_fn = nn.SiLU().eval()


def test_a_module_of_torch_jit_is_refused_by_name() -> None:
    model = BertModel(BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)).eval()
    model.encoder.layer[0].intermediate.intermediate_act_fn = torch.jit.script(nn.GELU())
    lens = normlens.load((model, None))
    for use in (lens.analyze, lambda ids: lens.attribute(ids, method="norm_rollout"), lens.attribute):
        with pytest.raises(UnsupportedArchitecture, match=r"intermediate_act_fn' was compiled with torch\.jit"):
            use([1, 2, 3])
