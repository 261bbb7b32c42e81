"""Element-wise functions of one live tensor: each is one activation, however many operations it is written in.

A tanh-GELU written as ``0.5 * x * (1 + torch.tanh(c * (x + 0.044715 * x**3)))``, in a module, in a function or in the
middle of a forward, contains products of two live factors if its operations are taken one by one. So whatever is computed
from one tensor element by element is recorded as a *composition* of operations; where their own rules would not give its
secant through zero, the secant of the whole composition is used. The factors of a gated product come from different
tensors, such as the halves of a projection, so it isn't a composition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from normlens.engine.frozen import hidden
from normlens.engine.frozen.directions import Direction, graft
from normlens.engine.precision import at_least_float32, has_float64


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_SUMS = _names("add sub subtract rsub __rsub__")
_PRODUCTS = _names("mul multiply __rmul__")
_QUOTIENTS = _names("div divide true_divide")
_POWERS = _names("pow __pow__ float_power")
_CASTS = _names("to type type_as float double half bfloat16 clone contiguous")
_SAME = _CASTS | _names("neg positive")
_ACTIVATIONS = _names("""
    gelu relu relu6 silu mish elu selu celu leaky_relu prelu hardswish hardtanh tanh tanhshrink softsign softshrink
    hardshrink square abs clamp clip clamp_min clamp_max
""") | {hidden.NAME}
_CHOICES = _names("where maximum minimum max min")
_HELD = _names("""
    sigmoid hardsigmoid logsigmoid log_sigmoid softplus erf erfc exp expm1 exp2 log log2 log10 log1p sqrt rsqrt
    reciprocal __rdiv__ __rpow__ sin cos sign sgn floor ceil round trunc frac
    eq ne lt le gt ge logical_and logical_or logical_not logical_xor
""")
ELEMENTWISE = _SUMS | _PRODUCTS | _QUOTIENTS | _POWERS | _SAME | _ACTIVATIONS | _CHOICES | _HELD | _names("addcmul")
"""Operations each of whose results depends on one number of every tensor argument."""

WEIGHTED = _names("linear matmul mm conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d")
"""Maps with weights, whose input is never a gate."""

_AFFINE = _SUMS | _SAME
_LONGEST = 64  # operations; longer compositions aren't activations but recurrences
_NEAR = 0.03  # |x| below which g(x) − g(0) is computed with extra digits


@dataclass(frozen=True, eq=False)
class Composition:
    """An element-wise function g of one live tensor, the root.

    Attributes
    ----------
    root, version
        The tensor, and its version counter.
    function, args, kwargs
        The last operation, whose arguments may be compositions; no function for the root itself.
    size
        Number of operations, those that are used twice counted twice.
    is_affine
        Whether g(x) = a·x + b by construction.
    has_vectors
        Whether it contains constants of more than one number.
    """

    root: Tensor
    version: int
    function: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    size: int = 0
    is_affine: bool = True
    has_vectors: bool = False

    def at(self, x: Tensor) -> Tensor:
        """g(x), in the dtype of ``x``."""
        return self._at(x, {})

    def _at(self, x: Tensor, done: dict[int, Tensor]) -> Tensor:
        if self.function is None:
            return x

        def value(arg: Any) -> Any:
            if isinstance(arg, Composition):
                return arg._at(x, done)
            return arg.to(x.dtype) if isinstance(arg, Tensor) and arg.is_floating_point() else arg

        if id(self) not in done:
            kwargs = {name: value(arg) for name, arg in (self.kwargs or {}).items()}
            done[id(self)] = self.function(*map(value, self.args), **kwargs)
        return done[id(self)]

    @cached_property
    def at_zero(self) -> Tensor:
        """g(0), one number if there are no constant vectors."""
        zero = torch.zeros_like(self.root) if self.has_vectors else self.root.new_zeros(())
        return self.at(zero.detach().to(_widest(zero)))

    @property
    def is_finite(self) -> bool:
        """Whether there is a g(0)."""
        return self.function is None or bool(self.at_zero.isfinite().all())

    @property
    def vanishes(self) -> bool:
        """Whether g(0) = 0."""
        return self.function is None or not self.at_zero.any()

    @property
    def is_current(self) -> bool:
        """Whether the root is unchanged."""
        return self.root._version == self.version


class Compositions:
    """The compositions of a run: which of its tensors are element-wise functions of another."""

    def __init__(self, is_live: Callable[[Tensor], bool]) -> None:
        self._is_live = is_live
        self._by_tensor = WeakTensorKeyDictionary()

    def of(self, x: object) -> Composition | None:
        """``x`` as a composition: the identity if live and not a function of another tensor; None if it is constant."""
        if not isinstance(x, Tensor):
            return None
        composition, version = self._by_tensor.get(x, (None, 0))
        if composition is not None and version == x._version and composition.is_current:
            return cast(Composition, composition)
        return Composition(x, x._version) if x.is_floating_point() and self._is_live(x) else None

    def note(self, result: Any, composition: Composition | None) -> None:
        """Record that ``result`` has the values of ``composition``."""
        if composition is None or not isinstance(result, Tensor) or result is composition.root:
            return
        if result.shape == composition.root.shape and (result.is_floating_point() or result.dtype == torch.bool):
            self._by_tensor[result] = composition, result._version

    def compose(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Composition | None:
        """The result of an operation as a composition; None if it isn't an element-wise function of one tensor."""
        if name not in ELEMENTWISE or (name in _QUOTIENTS and kwargs.get("rounding_mode")):
            return None
        if name in ("max", "min") and not (len(args) == 2 and isinstance(args[1], Tensor)):
            return None
        if name in _CASTS:
            args, kwargs, function = args[:1], {}, _recast
        new_args = tuple(self.of(x) or x for x in args)
        new_kwargs = {key: self.of(x) or x for key, x in kwargs.items()}
        operands = [*new_args, *new_kwargs.values()]
        inner = [x for x in operands if isinstance(x, Composition)]
        if not inner or any(x.root is not inner[0].root for x in inner):
            return None
        constants = [x for x in operands if isinstance(x, (Tensor, list, tuple, dict))]
        if not all(_is_shared(x, name) for x in constants):
            return None
        size = 1 + sum(x.size for x in inner)
        if size > _LONGEST:
            return None
        affine = all(x.is_affine for x in inner) and (
            name in _AFFINE
            or (len(inner) == 1 and (name in _PRODUCTS or (name in _QUOTIENTS and inner[0] is new_args[0])))
        )
        vectors = any(x.has_vectors for x in inner) or any(isinstance(x, Tensor) and x.ndim for x in constants)
        return Composition(inner[0].root, inner[0].version, function, new_args, new_kwargs, size, affine, vectors)

    def is_activation(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether the rule of a composing operation gives a derivative other than the secant of the composition."""
        operands = [(x, c) for x in (*args, *kwargs.values()) if (c := self.of(x)) is not None]
        live = [c for x, c in operands if self._is_live(x)]
        if not all(c.is_finite for c in live):
            return False
        if not live or name in _SAME or name in _HELD:
            return False
        if name in _SUMS:
            return len(live) < len(operands)
        if name in _PRODUCTS:
            return len(operands) > 1 and not (len(live) == 1 and live[0].vanishes)
        if name in _QUOTIENTS:
            return len(operands) > 1 and self._is_live(args[0]) and not live[0].vanishes
        if name in _POWERS and not _is_power(*args[1:], *kwargs.values()):
            return False
        if name == "where":
            return self.of(args[0]) is not None and not _is_switch(args[1:], live)
        return len(operands) > 1 or name in _CHOICES or not live[0].vanishes


def _recast(x: Tensor) -> Tensor:
    """A cast without a change of precision: only truth values become numbers."""
    return x if x.is_floating_point() else x.float()


def _is_shared(constant: Any, name: str) -> bool:
    """Whether a constant is one number, or scales each channel; an added vector is a bias before the activation."""
    if not isinstance(constant, Tensor) or name in _SUMS:
        return isinstance(constant, Tensor) and not constant.ndim
    return constant.ndim <= 1 or isinstance(constant, nn.Parameter)


def _is_power(exponent: Any = None, *_: Any) -> bool:
    return isinstance(exponent, int | float) and exponent >= 1


def _is_switch(branches: tuple[Any, ...], live: list[Composition]) -> bool:
    """Whether each branch is zero, or live and zero at zero: then the rule of ``where`` already gives the secant."""
    rest = len(branches) - len(live)
    zeros = sum(isinstance(x, int | float) and x == 0 for x in branches)
    return rest == zeros and all(x.vanishes for x in live)


def as_activation(composition: Composition, value: Tensor, direction: Direction) -> Tensor:
    """``value``, the result of the operations, with the secant from (0, g(0)) to (x, g(x)); g(0) is a constant."""
    x = composition.root
    straight = (x * gain(composition, value, x.detach())).to(value.dtype)
    if not composition.vanishes:
        straight = direction.added(straight, composition.at_zero.to(value.dtype).expand_as(straight))
    return graft(value, straight)


def gain(composition: Composition, value: Tensor, x: Tensor) -> Tensor:
    """(g(x) − g(0)) / x with g(x) = ``value``; near zero in float64, because digits cancel; at zero the limit from below.

    Parameters
    ----------
    composition
        The function g.
    value
        The result of the operations.
    x
        The values of the root.
    """
    wide = at_least_float32(x)
    if x.dtype != wide.dtype:
        value = composition.at(wide)
    small = wide.abs() < _NEAR
    ratio = (value - composition.at_zero.to(wide.dtype)) / torch.where(small, torch.ones_like(wide), wide)
    if not small.any():
        return ratio
    if composition.has_vectors:
        return torch.where(small, _gain_near_zero(composition, wide).to(wide.dtype), ratio)
    ratio[small] = _gain_near_zero(composition, wide[small]).to(wide.dtype)
    return ratio


def _gain_near_zero(composition: Composition, x: Tensor) -> Tensor:
    fine = x.to(_widest(x))
    least = 1e-8 if fine.dtype == torch.float64 else 1e-4
    away = torch.where(fine.abs() < least, torch.where(fine > 0, least, -least).to(fine.dtype), fine)
    return (composition.at(away) - composition.at_zero.to(fine.dtype)) / away


def _widest(x: Tensor) -> torch.dtype:
    """The most precise dtype on the device of ``x``."""
    return torch.float64 if has_float64(x.device.type) else torch.float32
