"""Rules for single operations: how each keeps its value and freezes its derivative.

A tensor is *live* if it depends on a source and carries a derivative, a *gate* if it depends on a source but is held
fixed, and *constant* otherwise. Every rule keeps the operation's value, bit for bit, and replaces only its derivative,
so that

    live output  =  Σ (frozen derivative) · live input  +  constants.

The table of operations and their rules is in :mod:`normlens.engine.frozen.operations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any

import torch
from torch import Tensor

from normlens.engine.frozen.call import Call, NoRule, Product, has_numbers, held
from normlens.engine.frozen.directions import graft
from normlens.engine.precision import at_least_float32

Rule = Callable[[Call], Any]


def constant(call: Call) -> Any:
    """Shapes, comparisons, indices: there is no derivative to freeze."""
    return call.run()


def gate(call: Call) -> Any:
    """The result is held fixed."""
    return call.map(Tensor.detach).run()


def selection(call: Call) -> Any:
    """Held fixed like a gate, but only as a factor: it consists of sources, so it must not join the bias share.

    The mode remembers the result. Adding it to a live tensor shows in the conservation error.
    """
    return gate(call)


def linear(call: Call) -> Any:
    """Linear in all its tensors together: constants among them belong to the bias share."""
    return call.map(call.follow).run()


def affine(call: Call) -> Any:
    """Linear, possibly with an additive literal: ``masked_fill(x, mask, 1)``."""
    return _with_literals(call, linear(call))


def broadcast(call: Call) -> Any:
    """Affine, its tensors broadcast to a common shape: ``x + 1``, ``x + bias``."""
    tensors = [x for x in (*call.args, *call.kwargs.values()) if isinstance(x, Tensor)]
    if not any(map(call.is_constant, tensors)):
        return _with_literals(call, call.run())
    shape = torch.broadcast_shapes(*(x.shape for x in tensors))
    return _with_literals(call, call.map(lambda x: call.follow(x, shape)).run())


def _with_literals(call: Call, result: Tensor) -> Tensor:
    if not any(map(_may_add, (*call.args, *call.kwargs.values()))):
        return result
    contribution = call.map(lambda x: torch.zeros_like(x) if has_numbers(x) else x).run()
    if not contribution.any():
        return result
    return call.direction.added(result, contribution)


def _may_add(x: object) -> bool:
    """Whether an argument is a number other than zero, or a tensor of whole numbers."""
    if isinstance(x, Tensor):
        return not has_numbers(x) and x.dtype != torch.bool
    return isinstance(x, Number) and bool(x)


def like(call: Call) -> Any:
    """``x.type_as(y)``, ``x.expand_as(y)``: linear in x; y only determines the type or shape."""
    return call.function(call.args[0], *held(call.args[1:]), **call.kwargs)


def write(call: Call) -> Tensor:
    """``x[...] = y``, ``x.copy_(y)``, ``x.fill_(0)``: in place; a constant x is followed where it is kept."""
    base, *rest = call.args
    if call.is_constant(base) and base.any():
        base.add_(call.direction.constant(torch.zeros_like(base), base))
    if rest and isinstance(rest[-1], int | float) and rest[-1] != 0:
        literal = torch.full((), rest[-1], dtype=base.dtype, device=base.device)
        rest[-1] = call.direction.constant(literal, literal)
    elif rest:
        rest[-1] = call.follow(rest[-1])
    call.function(base, *rest, **call.kwargs)
    result: Tensor = base
    return result


def product_of(*names: str, terms: tuple[str, ...] = (), fixed: tuple[str, ...] = ()) -> Rule:
    """The rule for a product of the arguments ``names``: each of k live factors gets 1/k of the derivative.

    Those in ``terms`` are added to the product instead (along the channels of a layer, times ``beta`` elsewhere), those
    in ``fixed`` are held fixed.
    """
    factors = [name for name in names if name not in terms and name not in fixed]

    def rule(call: Call) -> Any:
        arguments = call.bind(*names)
        if any(call.is_live(x) for name, x in arguments.items() if name not in names):
            raise NoRule(f"only {', '.join(factors)} may depend on the sources")
        live = [name for name in factors if call.is_live(arguments.get(name))]
        for position, name in enumerate(live if len(live) > 1 else ()):
            arguments[name] = share_of(arguments[name], position, len(live), call.product)
        arguments.update({name: held(arguments[name]) for name in fixed})
        added = {name: x for name in terms if isinstance(x := arguments.get(name), Tensor)}
        if call.direction.follows_arguments:
            arguments.update({name: call.follow(x) for name, x in added.items()})
            added = {}

        def multiplied(changes: Mapping[str, Tensor]) -> Any:
            changed = {**arguments, **changes}
            positional = [changed.pop(name) for name in names if name in changed]
            return call.function(*positional, *call.args[len(names) :], **changed)

        if len(live) == 1 and not any(map(call.is_live, added.values())):
            (name,) = live
            nothing = {term: torch.zeros_like(x) for term, x in added.items()}
            result = call.direction.affine(
                arguments[name],
                whole=lambda x: multiplied({name: x}),
                linear=lambda x: multiplied({**nothing, name: x}),
            )
        else:
            result = multiplied({})
        for term in added.values():
            result = call.added(result, term, _addend(term, arguments))
        return result

    return rule


def _addend(term: Tensor, arguments: Mapping[str, Any]) -> Tensor:
    """The addend ``term`` of a product, shaped to broadcast to it."""
    if "weight" in arguments:
        return term.reshape(-1, *(1,) * (arguments["weight"].ndim - 2))
    return torch.mul(term, arguments.get("beta", 1))


def einsum(call: Call) -> Any:
    """A product of all its operands."""
    equation, *operands = call.args
    if len(operands) == 1 and not isinstance(operands[0], Tensor):
        operands = list(operands[0])
    live = [i for i, x in enumerate(operands) if call.is_live(x)]
    for position, i in enumerate(live if len(live) > 1 else ()):
        operands[i] = share_of(operands[i], position, len(live), call.product)
    return call.function(equation, *operands)


def share_of(factor: Tensor, position: int, count: int, product: Product) -> Tensor:
    """``factor`` with its share of the derivative of a product of ``count`` live factors."""
    if product in ("half", "integrated"):
        return graft(factor, factor / count)
    chosen = {"first": 0, "second": count - 1}[product]
    return factor if position == chosen else factor.detach()


def quotient(call: Call) -> Any:
    """A live divisor is held fixed."""
    dividend, divisor, rounding = call.named("input", "other", "rounding_mode")
    if rounding is not None:
        raise NoRule("a rounding division is not linear")
    return call.function(dividend, held(divisor))


TINY = 1e-20


def secant(function: Callable[[Tensor], Tensor], x: Tensor, at_zero: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Value and gain (g(x) − g(0)) / x of an element-wise function g.

    Below |x| = 1e-20, every g with one-sided derivatives equals its tangent to far more digits than are kept, so the gain is
    evaluated there; at x = 0 it is the limit from below (ReLU 0; GELU and SiLU 1/2; tanh 1).
    """
    x = x.detach()
    value, away = function(x), away_from_zero(x)
    rise = value if away is x else function(away)
    return value, ((rise if at_zero is None else rise - at_zero) / away).to(x.dtype)


def away_from_zero(x: Tensor) -> Tensor:
    """``x`` in at least float32, with |x| < 1e-20 replaced by ±1e-20; no copy if nothing changes."""
    wide = at_least_float32(x)
    if x.numel() and wide.abs().amin() >= TINY:
        return wide
    return torch.where(wide.abs() < TINY, torch.where(wide > 0, TINY, -TINY), wide)


def activation(call: Call) -> Tensor:
    """``x · (g(x)/x)`` with the gain held fixed, for g(0) = 0."""
    x, function = call.unary()
    value, gain = secant(function, x)
    return graft(value, x * gain)


def clamp(call: Call) -> Tensor:
    """The secant from (0, g(0)) to (x, g(x)); g(0) is a constant, and zero unless the bounds exclude it."""
    x, function = call.unary()
    at_zero = function(x.new_zeros(()))
    value, gain = secant(function, x, at_zero)
    straight = x * gain
    if at_zero.any():
        straight = call.direction.added(straight, at_zero.expand_as(straight))
    return graft(value, straight)


def extreme(call: Call) -> Any:
    """The larger of two tensors, where this isn't an activation."""
    raise NoRule(
        "the larger or smaller of two tensors has a rule only where both are functions of one, as in max(x, 0)"
    )


def power(call: Call) -> Any:
    """x^n is x · x^(n−1) with the second factor held fixed; roots, inverse and exponential are gates."""
    base, exponent = call.named("input", "exponent")
    if isinstance(exponent, Tensor) or not call.is_live(base) or exponent < 1:
        return gate(call)
    return activation(call)


def dropout(call: Call) -> Any:
    """The identity, in evaluation mode."""
    _, probability, training = call.named("input", "p", "training", p=0.5, training=True)
    if probability and training:
        raise NoRule("dropout is random; call model.eval() first")
    return call.run()
