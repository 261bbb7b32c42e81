"""One operation at a time: value kept bit for bit, derivative frozen, constants followed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from normlens.engine.frozen.directions import Backward, Forward, tangent
from normlens.engine.frozen.mode import FrozenMode
from normlens.errors import UnknownOperation

Function = Callable[[Tensor], Tensor]


def pulled(function: Function, x: Tensor, product: str = "half") -> tuple[Tensor, Tensor, float]:
    """Value, gradient of its sum, and share of the constants."""
    direction = Backward()
    mode = FrozenMode(direction, product, lambda: "the test")
    with torch.enable_grad(), mode:
        live = mode.admit(lambda: direction.source("", x))
        value = function(live)
    leaves = [direction.leaves[0], *(leaf for leaf, _ in direction.constants)]
    gradient, *others = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    shares = ((g * c).sum() for g, (_, c) in zip(others, direction.constants, strict=True) if g is not None)
    return value.detach(), torch.zeros_like(x) if gradient is None else gradient, float(sum(shares))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


GENERATOR = torch.Generator().manual_seed(1)
W = torch.randn(6, 6, dtype=torch.float64, generator=GENERATOR)
B = torch.randn(6, dtype=torch.float64, generator=GENERATOR)
C = torch.randn(2, 4, 6, dtype=torch.float64, generator=GENERATOR)
MASK = torch.rand(2, 4, 6, generator=GENERATOR) > 0.5


def in_place(name: str, *args: object) -> Function:
    def function(x: Tensor) -> Tensor:
        y = x + 0
        getattr(y, name)(*(arg(x) if callable(arg) else arg for arg in args))
        return y

    return function


def written(x: Tensor) -> Tensor:
    y = C.clone()
    y[:, 1:3] = x[:, :2] * 2
    y[0, 0] = 1.5
    return y


def scattered(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y.index_add_(1, torch.tensor([1, 0, 1, 3]), x)
    y.view(-1).add_(x.reshape(-1))
    return y


def hand_spelled_layer_norm(x: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt() * W[0] + B


def hand_spelled_rms_norm(x: Tensor) -> Tensor:
    return W[0] * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def multi_head_layer() -> torch.nn.MultiheadAttention:
    layer = torch.nn.MultiheadAttention(6, 2, batch_first=True, dtype=torch.float64).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    for parameter in layer.parameters():
        parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    return layer


MULTI_HEAD = multi_head_layer()


OPERATIONS: dict[str, Function] = {
    "scalar added": lambda x: 1.5 + x - 2,
    "constant added": lambda x: C - x,
    "constant added in place": in_place("add_", C),
    "live added to a constant in place": lambda x: C.clone().add_(x),
    "linear": lambda x: F.linear(x, W, B),
    "linear by keyword": lambda x: F.linear(input=x, weight=W, bias=B),
    "addmm": lambda x: torch.addmm(B, x[0], W),
    "addmm to a live one": lambda x: torch.addmm(x[0], x[1], W, beta=0.5),
    "baddbmm of two live": lambda x: torch.baddbmm(C[:, :, :4], x, x.mT, beta=0.5, alpha=0.3),
    "convolution": lambda x: F.conv1d(x.mT, W[:, :3, None].expand(-1, -1, 2), B, padding=1, groups=2),
    "product": lambda x: x * (x @ W),
    "product in place": in_place("mul_", lambda x: x @ W),
    "product with a constant in place": in_place("mul_", C),
    "matrix product of two live": lambda x: x @ (x.mT @ C),
    "einsum of two live": lambda x: torch.einsum("bij,bkj->bik", x, x @ W),
    "square": lambda x: x.square() + x**2 + x.pow(3),
    "division by live": lambda x: C * x / (x.sum(-1, keepdim=True) + 20),
    "literal over live": lambda x: (2 / (x.exp() + 1)) * x,
    "gelu": F.gelu,
    "relu in place": lambda x: F.relu(x + 0, inplace=True),
    "silu": F.silu,
    "tanh softcap": lambda x: torch.tanh(x / 5) * 5,
    "hand-written gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "clamp": lambda x: x.clamp(-0.5, 0.7),
    "clamp away from zero": lambda x: x.clamp(min=0.3) + x.clamp(max=-0.1),
    "clamp in place": in_place("clamp_", 0.2),
    "gated": lambda x: x * torch.sigmoid(x @ W),
    "glu": F.glu,
    "softmax": lambda x: torch.softmax(x @ x.mT, -1) @ x,
    "softmax with a stabilizer": lambda x: torch.softmax(x @ x.mT - (x @ x.mT).amax(-1, keepdim=True), -1) @ x,
    "fused attention": lambda x: F.scaled_dot_product_attention(x[:, None], x[:, None] @ W, x[:, None] + 1),
    "multi-head attention": lambda x: MULTI_HEAD(x, x, x)[0],
    "router": lambda x: x * torch.softmax((x @ W).topk(1).values, -1),
    "layer norm": lambda x: F.layer_norm(x, (6,), W[0], B),
    "layer norm by hand": hand_spelled_layer_norm,
    "rms norm": lambda x: F.rms_norm(x, (6,), W[0], 1e-6),
    "rms norm by hand": hand_spelled_rms_norm,
    "group norm": lambda x: F.group_norm(x.mT, 2, W[0], B),
    "batch norm": lambda x: F.batch_norm(x.mT, B, B.abs() + 1, W[0], W[1]),
    "normalize": lambda x: F.normalize(x, dim=-1) + 1,
    "var_mean": lambda x: (x - torch.var_mean(x, -1, keepdim=True)[1]) @ W,
    "cat and stack": lambda x: torch.stack([torch.cat([x, C], -1), torch.cat([C, x], -1)]),
    "where": lambda x: torch.where(MASK, x, C) + torch.where(MASK, 0.7, x),
    "masked_fill": lambda x: x.masked_fill(MASK, 0.25),
    "masked_fill in place": in_place("masked_fill_", MASK, -1.0),
    "padding with ones": lambda x: F.pad(x, (1, 2), value=1.0),
    "written into a constant": written,
    "scattered into zeros": scattered,
    "roll, flip, cumsum": lambda x: x.roll(1, 1).flip(0).cumsum(-1),
    "type of a live tensor": lambda x: x * C.type_as(x) * B.expand_as(x),
    "Fourier": lambda x: torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real,
    "complex rotation": lambda x: torch.view_as_real(
        torch.view_as_complex(x.reshape(2, 4, 3, 2)) * torch.polar(C[..., :3].abs(), C[..., :3])
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_value_is_kept_and_derivatives_add_up_to_it(name: str, x: Tensor) -> None:
    plain = OPERATIONS[name](x.clone())
    value, gradient, constants = pulled(OPERATIONS[name], x)
    same = torch.equal if name != "multi-head attention" else torch.allclose  # unfrozen, it takes a fused path
    assert same(value, plain)
    assert float((gradient * x).sum()) + constants == pytest.approx(float(plain.sum()), abs=1e-11)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("name", OPERATIONS)
def test_both_directions_have_the_same_derivative(name: str, x: Tensor) -> None:
    seed = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(2))
    direction = Forward(lambda group, value: seed)
    mode = FrozenMode(direction, "half", lambda: "the test")
    with torch.no_grad(), forward_ad.dual_level():
        with mode:
            value = OPERATIONS[name](mode.admit(lambda: direction.source("", x)))
        derivative = tangent(value)
    assert derivative is not None
    _, gradient, _ = pulled(OPERATIONS[name], x)
    assert float(derivative.sum()) == pytest.approx(float((gradient * seed).sum()), abs=1e-11)


@pytest.mark.parametrize(
    ("function", "limit"),
    [(F.gelu, 0.5), (F.silu, 0.5), (F.relu, 0.0), (torch.tanh, 1.0), (F.mish, 0.6), (F.hardswish, 0.5), (F.elu, 1.0)],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_gain_at_zero_is_the_limit(function: Function, limit: float, dtype: torch.dtype) -> None:
    _, gradient, _ = pulled(function, torch.tensor([0.0, -1e-30, -1e-12], dtype=dtype))
    assert gradient.tolist() == pytest.approx([limit] * 3, rel=4e-3 if dtype == torch.bfloat16 else 1e-6)


def test_gain_is_value_over_input() -> None:
    x = torch.tensor([-3.0, -0.5, 0.25, 2.0], dtype=torch.float64)
    _, gradient, _ = pulled(F.gelu, x)
    assert gradient.tolist() == pytest.approx((0.5 * (1 + torch.erf(x / 2**0.5))).tolist())


@pytest.mark.parametrize(("product", "slopes"), [("half", (7.5, 7.5)), ("first", (15, 0)), ("second", (0, 15))])
def test_the_derivative_of_a_product_is_split_as_asked(product: str, slopes: tuple[float, float]) -> None:
    # value 3a · 5b at a = b = 1: all of it is 15
    _, gradient, _ = pulled(lambda x: (3 * x[:1]) * (5 * x[1:]), torch.ones(2), product)
    assert tuple(gradient.tolist()) == slopes


def test_layer_norm_keeps_sigma_fixed() -> None:
    x = torch.tensor([1.0, 3.0], dtype=torch.float64)  # mean 2, sigma 1
    _, gradient, constants = pulled(lambda x: F.layer_norm(x, (2,), torch.tensor([4.0, 0.0]).double(), eps=0.0), x)
    assert gradient.tolist() == [2.0, -2.0]  # 4 (x_0 - (x_0 + x_1) / 2)
    assert constants == 0


def test_an_operation_outside_the_list_is_named(x: Tensor) -> None:
    with pytest.raises(UnknownOperation, match=r"max_pool1d.*in the test"):
        pulled(lambda x: F.max_pool1d(x, 2), x)


def test_a_custom_function_is_noticed(x: Tensor) -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return gradient * 2

    with pytest.raises(UnknownOperation, match="custom autograd"):
        pulled(lambda x: Double.apply(x) + 1, x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.dropout(x, 0.5),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: torch.div(x, 2, rounding_mode="floor"),
    ],
)
def test_what_is_not_linear_under_these_options_is_refused(function: Function, x: Tensor) -> None:
    with pytest.raises(UnknownOperation):
        pulled(function, x)


@pytest.mark.parametrize("pool", [lambda x: x.amax(-1), lambda x: x.max(-1).values, lambda x: x.topk(2).values])
def test_what_is_selected_may_not_pass_for_bias(pool: Function, x: Tensor) -> None:
    value, gradient, constants = pulled(lambda x: x.sum() + pool(x).sum(), x)
    assert constants == 0
    assert float((gradient * x).sum()) != pytest.approx(float(value), abs=0.1)


def test_no_grad_inside_a_model_changes_nothing(x: Tensor) -> None:
    def half_recorded(x: Tensor) -> Tensor:
        with torch.no_grad():
            y = x @ W
        return y * 2

    assert torch.equal(pulled(half_recorded, x)[1], pulled(lambda x: (x @ W) * 2, x)[1])
