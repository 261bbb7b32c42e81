"""Gated products by integrated gradients, against scipy's quadrature and by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from scipy.integrate import quad
from torch import Tensor
from torch.autograd import forward_ad

from normlens.engine.frozen.directions import Backward, Forward, tangent
from normlens.engine.frozen.integrated import mean_along_path
from normlens.engine.frozen.mode import FrozenMode

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_mean_along_the_path_is_scipys(name: str) -> None:
    g = FUNCTIONS[name]
    z = torch.tensor([-30.0, -8.0, -1.0, -1e-3, 1e-3, 0.5, 2.0, 8.0, 30.0], dtype=torch.float64)
    mean, rest = mean_along_path(g, z)
    for x, average in zip(z.tolist(), mean.tolist(), strict=True):
        kinks = [min(0.9, 2 / abs(x))]
        exact = quad(lambda t, x=x: float(g(torch.tensor(t * x, dtype=torch.float64))), 0, 1, points=kinks)[0]
        assert average == pytest.approx(exact, rel=2e-7, abs=1e-9)
    torch.testing.assert_close(mean + z * rest, g(z), rtol=1e-12, atol=1e-12)


def test_at_zero_it_is_the_limit_from_below() -> None:
    mean, rest = mean_along_path(F.silu, torch.zeros(1))
    assert float(mean) == pytest.approx(0, abs=1e-15)
    assert float(rest) == pytest.approx(0.25)  # g'(0)/2


def shares(product: str, u: float, z: float, function: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
    """The shares of (u, 0) and (0, z) in a function of a vector's two entries."""
    direction = Backward()
    mode = FrozenMode(direction, product, lambda: "the test")
    x = torch.tensor([[u, z]], dtype=torch.float64)
    with torch.enable_grad(), mode:
        live = mode.admit(lambda: direction.source("", x))
        value = function(live[:, 0], live[:, 1])
    (gradient,) = torch.autograd.grad(value.sum(), direction.leaves)
    first, second = (gradient * x)[0].tolist()
    assert first + second == pytest.approx(float(value.detach()), rel=1e-12)
    return first, second


def test_silu_gives_the_up_path_44_percent_at_2_and_63_at_minus_1() -> None:
    for z, expected in ((2.0, 0.443), (-1.0, 0.634)):
        first, second = shares("integrated", 3.0, z, lambda u, z: F.silu(z) * u)
        assert first / (first + second) == pytest.approx(expected, abs=5e-4)
        first, second = shares("half", 3.0, z, lambda u, z: F.silu(z) * u)
        assert first == pytest.approx(second, rel=1e-12)


def test_a_square_gate_gives_one_and_two_thirds() -> None:
    """u · z²: ∫ t² dt = 1/3 goes to u."""
    first, second = shares("integrated", -2.0, 3.0, lambda u, z: u * torch.square(z))
    assert (first, second) == (pytest.approx(-6.0), pytest.approx(-12.0))


def test_two_linear_factors_get_half_each() -> None:
    assert shares("integrated", 2.0, 5.0, torch.mul) == (pytest.approx(5.0), pytest.approx(5.0))


def test_pushed_forward_it_is_the_same() -> None:
    direction = Forward(lambda group, x: x * torch.tensor([1.0, 0.0], dtype=torch.float64))
    mode = FrozenMode(direction, "integrated", lambda: "the test")
    with torch.no_grad(), forward_ad.dual_level():
        with mode:
            live = mode.admit(lambda: direction.source("", torch.tensor([[3.0, 2.0]], dtype=torch.float64)))
            value = F.silu(live[:, 1]) * live[:, 0]
        pushed = tangent(value)
    assert pushed is not None
    assert float(pushed) == pytest.approx(shares("integrated", 3.0, 2.0, lambda u, z: F.silu(z) * u)[0], rel=1e-12)
