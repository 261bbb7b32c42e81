"""The algebra of domain, value and function: the properties of the theory, for random meanings in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.negation import Meaning, Negation, apply, block_function, compose, negate

many = settings(max_examples=60, deadline=None)
seeds, small = st.integers(0, 2**32 - 1), st.integers(1, 4)
rates = st.tuples(st.floats(0.01, 0.98), st.floats(0.01, 0.98)).filter(lambda pair: abs(pair[0] - pair[1]) > 1e-3)


def meanings(seed: int, m: int, n: int, count: int = 1, batch: tuple[int, ...] = ()) -> list[Meaning]:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*batch, *shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return [Meaning(draw(m), draw(n), draw(m + n, m + n)) for _ in range(count)]


def negation(pair: tuple[float, float], bias: float | Tensor | None = None) -> Negation:
    return Negation(min(pair), max(pair), bias)


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-10, atol=1e-10)


def same(one: Meaning, other: Meaning) -> bool:
    return close(one.vector, other.vector) and close(one.function, other.function)


@many
@given(seeds, small, small, rates, st.integers(0, 6))
def test_k_negations_keep_the_domain_and_turn_and_weaken_the_value(
    seed: int, m: int, n: int, pair: tuple[float, float], k: int
) -> None:
    """P1, P2 and P3, and F by ν: notᵏ x = (d, (−μ)ᵏ v), with the rows of F that make the value scaled by (−ν)ᵏ."""
    [word] = meanings(seed, m, n)
    twisted = word
    for _ in range(k):
        twisted = negate(twisted, negation(pair))
    mu, nu = sorted(pair)
    assert torch.equal(twisted.domain, word.domain)
    assert close(twisted.value, (-mu) ** k * word.value)
    assert torch.equal(twisted.function[:m], word.function[:m])
    assert close(twisted.function[m:], (-nu) ** k * word.function[m:])
    if k % 2:
        assert float(twisted.value @ word.value) < 0


@many
@given(seeds, small, small, rates, st.integers(0, 6), st.floats(-2, 2))
def test_with_a_bias_negations_close_in_on_a_point(
    seed: int, m: int, n: int, pair: tuple[float, float], k: int, bias: float
) -> None:
    """v′ = −μ v + b has the fixed point b/(1 + μ), about which it is turned and weakened."""
    [word] = meanings(seed, m, n)
    twisted = word
    for _ in range(k):
        twisted = negate(twisted, negation(pair, bias))
    mu = min(pair)
    center = bias / (1 + mu)
    assert close(twisted.value - center, (-mu) ** k * (word.value - center))


@many
@given(seeds, small, small, st.booleans())
def test_application_is_associative(seed: int, m: int, n: int, translate: bool) -> None:
    f, g, x = meanings(seed, m, n, 3, batch=(2,))
    left = apply(apply(f, g, translate=translate), x, translate=translate)
    assert same(left, apply(f, apply(g, x, translate=translate), translate=translate))


@many
@given(seeds, small, small, rates)
def test_negating_a_functor_weakens_less_than_negating_what_it_makes(
    seed: int, m: int, n: int, pair: tuple[float, float]
) -> None:
    f, x = meanings(seed, m, n, 2)
    mu, nu = sorted(pair)
    functor, result = apply(negate(f, negation(pair)), x), negate(apply(f, x), negation(pair))
    assert close(functor.domain, result.domain)
    assert close(functor.value * mu, result.value * nu)
    assert close(functor.function, negate(apply(f, x), negation(pair)).function)


@many
@given(seeds, small, small)
def test_block_functions_keep_the_domain_from_the_value(seed: int, m: int, n: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b, c, v = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in
                  ((2, m, m), (2, n, n), (2, n, m), (2, n)))  # fmt: skip
    f, other = (
        Meaning(torch.zeros(m).double(), torch.zeros(n).double(), block_function(a[k], b[k], c[k])) for k in (0, 1)
    )
    [x] = meanings(seed, m, n)
    assert close(apply(f, x).domain, a[0] @ x.domain)
    assert close(apply(f, x).value, b[0] @ x.value + c[0] @ x.domain)
    assert close(apply(f, Meaning(x.domain, v[0], x.function)).domain, apply(f, x).domain)
    assert close(apply(f, other).function, block_function(a[0] @ a[1], b[0] @ b[1], c[0] @ a[1] + b[0] @ c[1]))
    assert torch.equal(block_function(a, b)[:, m:, :m], torch.zeros(2, n, m).double())


def test_not_not_bad_by_hand() -> None:
    eye = torch.eye(2, dtype=torch.float64)
    bad = Meaning(torch.tensor([3.0]).double(), torch.tensor([-1.0]).double(), eye)
    very = Meaning(torch.zeros(1).double(), torch.zeros(1).double(), torch.diag(torch.tensor([1.0, 1.5]).double()))
    cues = {"not": Negation(0.5, 0.6)}
    read = lambda tree: compose(tree, {"bad": bad, "very": very}, cues).vector.tolist()  # noqa: E731
    assert read("bad") == [3, -1]
    assert read(("not", "bad")) == [3, 0.5]
    assert read(("not", ("not", "bad"))) == [3, -0.25]
    assert read(("not", ("very", "bad"))) == [3, 0.75]
    assert read((("not", "very"), "bad")) == pytest.approx([3, 0.9])  # ν, since the functor is negated
    assert read(("very", ("not", "bad"))) == [3, 0.75]


def test_gradients_flow_to_every_input() -> None:
    f, x = meanings(0, 2, 3, 2)
    tensors = [f.domain, f.value, f.function, x.domain, x.value, x.function, *map(torch.tensor, (0.4, 0.7, 0.2))]
    tensors = [tensor.double().requires_grad_() for tensor in tensors]

    def run(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        lexicon = {"f": Meaning(*inputs[:3]), "x": Meaning(*inputs[3:6])}
        made = compose(("not", ("f", ("not", "x"))), lexicon, {"not": Negation(*inputs[6:])}, translate=True)
        return made.vector, made.function

    assert torch.autograd.gradcheck(run, tensors)


@pytest.mark.parametrize("mu", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_mu_outside_its_range_is_refused(mu: float) -> None:
    with pytest.raises(InvalidInput, match=r"μ is .* expected a number between 0 and 1"):
        Negation(mu, 0.9)


@pytest.mark.parametrize("nu", [0.3, 0.5, 1.0, float("nan")])
def test_nu_is_between_mu_and_one(nu: float) -> None:
    with pytest.raises(InvalidInput, match=r"ν is .* between μ and 1"):
        Negation(0.5, nu)


def test_shapes_that_do_not_fit_are_refused() -> None:
    [x] = meanings(0, 2, 3)
    [y] = meanings(0, 3, 2)
    with pytest.raises(InvalidInput, match=r"shapes \(2,\), \(3,\) and \(4, 4\); expected"):
        Meaning(x.domain, x.value, x.function[:4, :4])
    with pytest.raises(InvalidInput, match=r"shapes \(1, 2\), \(3,\)"):
        Meaning(x.domain[None], x.value, x.function)
    with pytest.raises(InvalidInput, match=r"m, n = \(2, 3\), its argument \(3, 2\)"):
        apply(x, y)
    with pytest.raises(InvalidInput, match=r"bias has shape \(2,\), but values have 3"):
        negate(x, Negation(0.4, 0.5, torch.zeros(2)))
    with pytest.raises(InvalidInput, match=r"blocks A, B and C have shapes"):
        block_function(torch.eye(2), torch.eye(3), torch.zeros(2, 3))


def test_trees_that_cannot_be_composed_are_refused() -> None:
    [x] = meanings(0, 2, 3)
    cues = {"not": Negation(0.4, 0.5)}
    with pytest.raises(InvalidInput, match=r"no word 'goood'.*Did you mean 'good'"):
        compose(("not", "goood"), {"good": x}, cues)
    with pytest.raises(InvalidInput, match=r"'not' negates nothing here"):
        compose(("not", "not"), {"good": x}, cues)
    with pytest.raises(InvalidInput, match=r"A branch of the tree is \('good',\)"):
        compose(("good",), {"good": x}, cues)  # type: ignore[arg-type]
