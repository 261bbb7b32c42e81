"""Activations spelled out by hand: the gain of the whole, not of its operations; gated products stay products."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from test_frozen_rules import pulled
from torch import Tensor, nn
from torch.autograd import forward_ad

from normlens.engine.frozen.directions import Forward, tangent
from normlens.engine.frozen.mode import FrozenMode
from normlens.errors import UnknownOperation

Function = Callable[[Tensor], Tensor]

SLOPES = torch.linspace(0.5, 2.0, 9, dtype=torch.float64)


def tanh_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def tanh_gelu_in_place(x: Tensor) -> Tensor:
    inner = x.pow(3).mul_(0.044715).add_(x).mul_(math.sqrt(2 / math.pi)).tanh_()
    return inner.add_(1).mul_(x).mul_(0.5)


def tanh_gelu_widened(x: Tensor) -> Tensor:
    wide = x.to(torch.float32 if x.dtype == torch.bfloat16 else x.dtype)
    return (0.5 * x * (1 + torch.tanh(0.79788456080286535588 * wide * (1 + 0.044715 * wide * wide))).type_as(x)).to(
        x.dtype
    )


class ShiftedSoftplus(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x) - math.log(2)


class Swish(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(SLOPES[None, None].clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + torch.tanh(self.beta * x / 2)) / 2


SPELLED: dict[str, tuple[Function, Function]] = {
    "tanh GELU": (tanh_gelu, lambda x: F.gelu(x, approximate="tanh")),
    "tanh GELU in place": (tanh_gelu_in_place, lambda x: F.gelu(x, approximate="tanh")),
    "tanh GELU with casts": (tanh_gelu_widened, lambda x: F.gelu(x, approximate="tanh")),
    "GELU by erf": (lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))), F.gelu),
    "quick GELU": (lambda x: x * torch.sigmoid(1.702 * x), lambda x: x * torch.sigmoid(1.702 * x)),
    "SiLU by sigmoid": (lambda x: x * x.sigmoid(), F.silu),
    "SiLU by tanh": (lambda x: 0.5 * x * (1 + torch.tanh(x / 2)), F.silu),
    "SiLU by division": (lambda x: x / (1 + torch.exp(-x)), F.silu),
    "SiLU by addcmul": (lambda x: torch.addcmul(0.5 * x, 0.5 * x, torch.tanh(x / 2)), F.silu),
    "squared ReLU": (lambda x: F.relu(x) ** 2, lambda x: F.relu(x).square()),
    "squared ReLU as a product": (lambda x: F.relu(x) * F.relu(x), lambda x: F.relu(x).square()),
    "mish": (lambda x: x * torch.tanh(torch.log(1 + torch.exp(x))), F.mish),
    "hard swish": (lambda x: x * F.relu6(x + 3) / 6, F.hardswish),
    "hard swish by clamp": (lambda x: x * (x + 3).clamp(0, 6) / 6, F.hardswish),
    "ELU": (lambda x: torch.where(x > 0, x, torch.exp(x) - 1), F.elu),
    "leaky ReLU by max": (lambda x: torch.max(x, 0.01 * x), F.leaky_relu),
    "leaky ReLU by maximum": (lambda x: torch.maximum(x, 0.01 * x), F.leaky_relu),
    "ReLU by maximum": (lambda x: torch.maximum(x, torch.zeros((), dtype=x.dtype)), F.relu),
    "ReLU by a mask": (lambda x: x * (x > 0), F.relu),
    "ReLU by absolutes": (lambda x: (x + x.abs()) / 2, F.relu),
    "softsign": (lambda x: x / (1 + x.abs()), F.softsign),
    "tanh by exp": (lambda x: 2 * x.sigmoid() + x - 1 - x, lambda x: torch.tanh(x / 2)),
    "tanh shrink": (lambda x: x - torch.tanh(x), F.tanhshrink),
    "swish with slopes": (Swish(), lambda x: x * torch.sigmoid(SLOPES.to(x) * x)),
    "PReLU": (lambda x: F.prelu(x, torch.tensor([0.3], dtype=x.dtype)), lambda x: F.leaky_relu(x, 0.3)),
    "snake": (lambda x: x + torch.sin(2 * x).square() / 2, lambda x: x + torch.sin(2 * x) ** 2 / 2),
    "squareplus": (lambda x: (x + torch.sqrt(x * x + 4)) / 2, lambda x: (x + torch.sqrt(x * x + 4)) / 2),
    "tanh of a shifted number": (lambda x: torch.tanh(x + 1), lambda x: torch.tanh(x + 1)),
    "softplus": (lambda x: F.linear(F.softplus(x), torch.eye(9).to(x)), F.softplus),
    "softplus spelled out": (lambda x: torch.log(1 + x.exp()) @ torch.eye(9).to(x), F.softplus),
    "shifted softplus": (lambda x: F.linear(ShiftedSoftplus()(x), torch.eye(9).to(x)), ShiftedSoftplus()),
    "sigmoid": (lambda x: F.linear(torch.sigmoid(x), torch.eye(9).to(x)), torch.sigmoid),
}
X = torch.tensor([[[-7.0, -1.5, -0.05, -1e-7, 0.0, 1e-12, 3e-5, 0.4, 5.0]]], dtype=torch.float64)


def secant(function: Function, x: Tensor) -> Tensor:
    """(g(x) − g(0)) / x, at ±1e-8 nearest to zero."""
    away = torch.where(x.abs() < 1e-8, torch.where(x > 0, 1e-8, -1e-8), x)
    return (function(away) - function(torch.zeros_like(x))) / away


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", SPELLED)
def test_the_gain_is_that_of_the_whole(name: str, dtype: torch.dtype) -> None:
    spelled, reference = SPELLED[name]
    x = X.to(dtype)
    value, gradient, constants = pulled(spelled, x)
    expected = secant(reference, x.double())
    digits = {torch.float64: 1e-7, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(gradient.double(), expected, rtol=digits, atol=digits)
    at_zero = reference(torch.zeros(1, 9, dtype=torch.float64))
    assert constants == pytest.approx(float(at_zero.sum()), abs=9 * digits)
    assert torch.equal(value, spelled(x.clone()))


@pytest.mark.parametrize("name", SPELLED)
def test_pushed_forward_it_is_the_same(name: str) -> None:
    spelled, reference = SPELLED[name]
    seed = torch.randn(X.shape, dtype=X.dtype, generator=torch.Generator().manual_seed(2))
    direction = Forward(lambda group, value: seed)
    mode = FrozenMode(direction, "half", lambda: "the test")
    with torch.no_grad(), forward_ad.dual_level():
        with mode:
            value = spelled(mode.admit(lambda: direction.source("", X)))
        derivative = tangent(value)
    assert derivative is not None
    torch.testing.assert_close(derivative, seed * secant(reference, X), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # 3 · 5 with half the derivative to each: the factors come from different numbers
        (lambda x: x[..., :1] * x[..., 1:], (2.5, 1.5)),
        (lambda x: F.relu(x[..., :1]) * x[..., 1:], (2.5, 1.5)),
        (lambda x: torch.mul(*x.chunk(2, -1)), (2.5, 1.5)),
        (lambda x: x * x.flip(-1), (5.0, 3.0)),
        (lambda x: x[..., :1] * torch.sigmoid(x[..., 1:]), (torch.sigmoid(torch.tensor(5.0)).item(), 0.0)),
        (lambda x: x * torch.sigmoid(x.sum(-1, keepdim=True)), (torch.sigmoid(torch.tensor(8.0)).item(),) * 2),
    ],
)
def test_factors_of_different_tensors_are_a_product(function: Function, expected: tuple[float, float]) -> None:
    _, gradient, _ = pulled(function, torch.tensor([[3.0, 5.0]]))
    assert gradient[0].tolist() == pytest.approx(expected)


def test_a_bias_belongs_to_what_an_activation_takes() -> None:
    bias = torch.tensor([0.5, -1.0], dtype=torch.float64)
    x = torch.tensor([[1.5, 3.0]], dtype=torch.float64)
    _, gradient, constants = pulled(lambda x: tanh_gelu(x + bias), x)
    gain = F.gelu(x + bias, approximate="tanh") / (x + bias)
    torch.testing.assert_close(gradient, gain, rtol=1e-9, atol=0)
    assert constants == pytest.approx(float((gain * bias).sum()))


def test_a_tensor_that_was_written_to_is_another_root() -> None:
    def function(x: Tensor) -> Tensor:
        y = x * 2
        half = torch.tanh(y)
        y.copy_(y @ torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=y.dtype))  # the numbers change places
        return y * (1 + half)

    x = torch.tensor([[0.3, 2.0]], dtype=torch.float64)
    _, gradient, constants = pulled(function, x)
    half, gain = torch.tanh(2 * x), torch.tanh(2 * x) / x
    other = 2 * x.flip(-1)
    expected = (1 + half.flip(-1)) + other / 2 * gain  # half of the product's derivative to each
    # y's half: (1 + half) / 2 · 2 at the other place; half's half: y / 2 · tanh(2x) / x, and 1 as a constant
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=0)
    assert float((gradient * x).sum()) + constants == pytest.approx(float(function(x.clone()).sum()))


def test_the_larger_of_two_tensors_is_no_activation() -> None:
    with pytest.raises(UnknownOperation, match="larger or smaller of two tensors"):
        pulled(lambda x: torch.maximum(x, x.flip(-1)), torch.ones(1, 2))


@pytest.mark.parametrize("spelled", [lambda z: z * z.sigmoid(), lambda z: 0.5 * z * (1 + torch.tanh(z / 2))])
def test_a_gate_spelled_out_is_integrated_as_one(spelled: Function) -> None:
    x = torch.tensor([[0.7, 2.0]], dtype=torch.float64)
    expected = pulled(lambda x: x[..., :1] * F.silu(x[..., 1:]), x, "integrated")[1]
    shares = pulled(lambda x: x[..., :1] * spelled(x[..., 1:]), x, "integrated")[1]
    torch.testing.assert_close(shares, expected, rtol=1e-9, atol=1e-12)
    assert float(shares[:, :1] / F.silu(x[:, 1:])) == pytest.approx(0.44, abs=5e-3)  # u's share at z = 2


def test_a_recurrence_is_no_activation() -> None:
    def function(x: Tensor) -> Tensor:
        for _ in range(200):
            x = 0.5 * x + 0.1 * torch.tanh(x)
        return x

    x = torch.tensor([[0.7, 2.0]], dtype=torch.float64)
    _, gradient, _ = pulled(function, x)
    torch.testing.assert_close(gradient * x, function(x.clone()), rtol=1e-9, atol=0)
