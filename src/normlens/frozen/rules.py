"""The closed list: what the frozen model does with every operation that touches a live tensor.

Read the table :data:`RULES` at the end first. Each operation has one rule, and an operation that isn't in the table is
an error. A tensor is *live* if it depends on a source and carries a derivative, a *gate* if it depends on a source but
is held fixed, and *constant* otherwise. Every rule keeps the operation's value, bit for bit, and replaces only its
derivative, so that

    live output  =  Σ (frozen derivative) · live input  +  constants.

Names are those of the operation without in-place underscore: ``mul`` stands for ``torch.mul``, ``Tensor.mul``,
``Tensor.mul_``, ``*`` and ``*=``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from normlens.frozen.directions import Direction, graft

Product = Literal["half", "first", "second"]


class NoRule(Exception):
    """The operation, as it was called, has no rule; the mode says where."""


@dataclass(frozen=True)
class Call:
    """One operation with at least one live argument.

    Attributes
    ----------
    function
        The operation, never in place.
    args, kwargs
        Its arguments.
    direction
        How live tensors are differentiated.
    product
        How the derivative of a product of live factors is split.
    is_selection
        Whether a tensor was selected from the sources and is held fixed; see :func:`selection`.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    direction: Direction
    product: Product
    is_selection: Callable[[Tensor], bool]

    def run(self) -> Any:
        """Call the operation as it is."""
        return self.function(*self.args, **self.kwargs)

    def map(self, change: Callable[[Tensor], Any]) -> Call:
        """The same call with every tensor argument changed."""
        return replace(
            self,
            args=map_tensors(self.args, change),
            kwargs={name: map_tensors(x, change) for name, x in self.kwargs.items()},
        )

    def bind(self, *names: str) -> dict[str, Any]:
        """The arguments by name: positional ones in the order of ``names``, then keywords."""
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}

    def is_live(self, x: object) -> bool:
        """Whether ``x`` is a live tensor."""
        return isinstance(x, Tensor) and self.direction.is_live(x)

    def follow(self, x: Any) -> Any:
        """``x``, followed as a constant if it is one: a floating tensor that depends on no source."""
        if not isinstance(x, Tensor) or not (x.is_floating_point() or x.is_complex()):
            return x
        if self.is_live(x) or self.is_selection(x):
            return x
        return self.direction.constant(x, x)

    def held(self, x: Any) -> Any:
        """``x`` without its derivative."""
        return x.detach() if isinstance(x, Tensor) else x


Rule = Callable[[Call], Any]


def map_tensors(tree: Any, change: Callable[[Tensor], Any]) -> Any:
    """``tree`` of lists, tuples and dicts with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if type(tree) in (list, tuple):
        return type(tree)(map_tensors(x, change) for x in tree)
    if isinstance(tree, dict):
        return {name: map_tensors(x, change) for name, x in tree.items()}
    return tree


def constant(call: Call) -> Any:
    """Shapes, comparisons, indices: no derivative, and none to freeze."""
    return call.run()


def gate(call: Call) -> Any:
    """The result is held fixed."""
    return call.map(Tensor.detach).run()


def selection(call: Call) -> Any:
    """Held fixed like a gate, but nothing that may be added: the mode keeps its result out of the bias share."""
    return gate(call)


def linear(call: Call) -> Any:
    """Linear in all its tensors together: constants among them belong to the bias share."""
    return call.map(call.follow).run()


def like(call: Call) -> Any:
    """``x.type_as(y)``, ``x.expand_as(y)``: linear in x; y only lends its shape or type."""
    x, *others = call.args
    return call.function(x, *map(call.held, others), **call.kwargs)


def affine(call: Call) -> Any:
    """Linear, perhaps with a literal that adds something: ``x + 1``, ``masked_fill(x, mask, 1)``, ``pad(x, ..., 1)``."""
    result = linear(call)
    if not any(isinstance(x, float | int) and x != 0 for x in (*call.args, *call.kwargs.values())):
        return result
    contribution = call.map(lambda x: torch.zeros_like(x) if _is_float(x) else x).run()
    if not contribution.any():
        return result
    return result + call.direction.constant(torch.zeros_like(contribution), contribution)


def product_of(*names: str, factors: tuple[str, ...], terms: tuple[str, ...] = (), held: tuple[str, ...] = ()) -> Rule:
    """A product: each of k live ``factors`` gets 1/k of the derivative. ``terms`` are added, ``held`` are held fixed."""

    def rule(call: Call) -> Any:
        arguments = call.bind(*names)
        live = [name for name in factors if call.is_live(arguments.get(name))]
        for position, name in enumerate(live if len(live) > 1 else ()):
            arguments[name] = share_of(arguments[name], position, len(live), call.product)
        arguments.update({name: call.held(arguments.get(name)) for name in held})
        for name in terms:
            arguments[name] = call.follow(arguments.get(name))
        positional = [arguments.pop(name) for name in names if name in arguments]
        return call.function(*positional, *call.args[len(names) :], **arguments)

    return rule


def share_of(factor: Tensor, position: int, count: int, product: Product) -> Tensor:
    """``factor`` with its share of the derivative of a product of ``count`` live factors."""
    if product == "half":
        return graft(factor, factor / count)
    return factor if position == {"first": 0, "second": count - 1}[product] else factor.detach()


def einsum(call: Call) -> Any:
    """A product of all its operands."""
    equation, *operands = call.args
    operands = list(operands[0]) if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands
    live = [i for i, x in enumerate(operands) if call.is_live(x)]
    for position, i in enumerate(live if len(live) > 1 else ()):
        operands[i] = share_of(operands[i], position, len(live), call.product)
    return call.function(equation, *operands)


def quotient(call: Call) -> Any:
    """A live divisor is held fixed."""
    dividend, divisor = call.args
    return call.function(dividend, call.held(divisor), **call.kwargs)


def secant(function: Callable[[Tensor], Tensor], x: Tensor, at_zero: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Value and gain (g(x) − g(0)) / x of an element-wise function; at 0, the gain is the limit from below.

    Below |x| = 1e-20 every g with a one-sided derivative is its tangent to far more digits than are kept, so the gain
    is read there.
    """
    x = x.detach()
    wide = x if x.dtype == torch.float64 else x.float()
    away = torch.where(wide.abs() < TINY, torch.where(wide > 0, TINY, -TINY), wide)
    rise = function(away) if at_zero is None else function(away) - at_zero
    return function(x), (rise / away).to(x.dtype)


TINY = 1e-20
ACTIVATION_MODULE = "activation module"


def activation(call: Call) -> Any:
    """X · (g(x)/x) with the gain held fixed, for g(0) = 0."""
    x, *rest = call.args
    value, gain = secant(lambda t: call.function(t, *rest, **call.kwargs), x)
    return graft(value, x * gain)


def clamp(call: Call) -> Any:
    """The secant from (0, g(0)) to (x, g(x)); g(0) is a constant, and zero unless the bounds exclude it."""
    x, *rest = call.args
    rest, kwargs = map_tensors(rest, Tensor.detach), map_tensors(dict(call.kwargs), Tensor.detach)

    def g(t: Tensor) -> Tensor:
        result: Tensor = call.function(t, *rest, **kwargs)
        return result

    at_zero = g(torch.zeros_like(x))
    value, gain = secant(g, x, at_zero)
    straight = x * gain
    if at_zero.any():
        straight = straight + call.direction.constant(at_zero, at_zero)
    return graft(value, straight)


def power(call: Call) -> Any:
    """x^n is x · x^(n−1) with the second factor held fixed; roots, inverse and exponential are gates."""
    base, exponent = call.args[:2] if len(call.args) > 1 else (call.args[0], call.kwargs["exponent"])
    if isinstance(exponent, Tensor) or not call.is_live(base) or exponent < 1:
        return gate(call)
    return activation(call)


def layer_norm(call: Call) -> Tensor:
    """(x − mean(x)) γ/σ + β with σ held fixed."""
    x, shape, weight, bias, eps = _fill(call, ("input", "normalized_shape", "weight", "bias", "eps"), eps=1e-5)
    dims = tuple(range(-len(shape), 0))
    return _standardised(call, x, dims, weight, bias, eps)


def rms_norm(call: Call) -> Tensor:
    """X γ/σ with σ, the root mean square, held fixed."""
    x, shape, weight, eps = _fill(call, ("input", "normalized_shape", "weight", "eps"))
    wide = _wide(x)
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    scale = (wide.detach().square().mean(tuple(range(-len(shape), 0)), keepdim=True) + eps).rsqrt()
    straight = wide * (scale if weight is None else scale * weight)
    return graft(gate(call), straight.to(x.dtype))


def group_norm(call: Call) -> Tensor:
    """(x − mean(x)) γ/σ + β within each group of channels, with σ held fixed."""
    x, groups, weight, bias, eps = _fill(call, ("input", "num_groups", "weight", "bias", "eps"), eps=1e-5)
    channels = (1, -1) + (1,) * (x.ndim - 2)
    grouped = _wide(x).reshape(x.shape[0], groups, -1)
    variance = grouped.detach().var(-1, unbiased=False, keepdim=True)
    straight = ((grouped - grouped.mean(-1, keepdim=True)) * (variance + eps).rsqrt()).reshape(x.shape)
    straight = straight if weight is None else straight * weight.reshape(channels)
    straight = straight if bias is None else straight + call.follow(bias).reshape(channels)
    return graft(gate(call), straight.to(x.dtype))


def batch_norm(call: Call) -> Tensor:
    """In evaluation an affine map of x, its statistics being buffers."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    x, mean, variance, weight, bias, training, _, eps = _fill(call, names, eps=1e-5)
    if training or mean is None:
        raise NoRule("batch statistics mix the rows of a batch; put the model into evaluation mode with model.eval()")
    channels = (1, -1) + (1,) * (x.ndim - 2)
    scale = (variance + eps).rsqrt() * (1 if weight is None else weight)
    straight = (x - call.follow(mean).reshape(channels)) * scale.reshape(channels)
    straight = straight if bias is None else straight + call.follow(bias).reshape(channels)
    return graft(gate(call), straight.to(x.dtype))


def variance_and_mean(call: Call) -> tuple[Tensor, Tensor]:
    """``var_mean`` and ``std_mean``: the first is a gate, the second is linear."""
    x, *rest = call.args
    kwargs = {name: v for name, v in call.kwargs.items() if name in ("dim", "keepdim")}
    spread, _ = gate(call)
    if rest and "dim" not in kwargs and not isinstance(rest[0], bool):
        kwargs["dim"] = rest[0]
    return spread, torch.mean(x, **kwargs)


def normalise(call: Call) -> Tensor:
    """``F.normalize``: x over its norm, the norm held fixed."""
    x, p, dim, eps = _fill(call, ("input", "p", "dim", "eps"), p=2.0, dim=1, eps=1e-12)
    norm = x.detach().norm(p, dim, keepdim=True).clamp_min(eps)
    return graft(gate(call), x / norm)


def gated_linear_unit(call: Call) -> Tensor:
    """``F.glu``: the first half times the sigmoid of the second, which is a gate."""
    x, dim = _fill(call, ("input", "dim"), dim=-1)
    a, b = x.chunk(2, dim)
    return graft(gate(call), a * b.detach().sigmoid())


def attention(call: Call) -> Any:
    """Fused attention: linear in the values; queries and keys carry nothing."""
    names = ("query", "key", "value")
    arguments = call.bind(*names)
    query, key, value = arguments.pop("query").detach(), arguments.pop("key").detach(), arguments.pop("value")
    arguments = map_tensors(arguments, Tensor.detach)
    with sdpa_kernel(SDPBackend.MATH):
        return call.function(query, key, call.follow(value), *map_tensors(call.args[3:], Tensor.detach), **arguments)


def multi_head_attention(call: Call) -> tuple[Tensor, Tensor | None]:
    """``torch.nn.MultiheadAttention``: Σ_j α_ij v_j through the output projection, with α held fixed."""
    names = ("query", "key", "value", "width", "heads", "in_weight", "in_bias", "bias_k", "bias_v", "zero", "dropout")
    (*_, value, width, heads, in_weight, in_bias, bias_k, _, zero, _, out_weight, out_bias) = _fill(
        call, (*names, "out_weight", "out_bias")
    )
    if bias_k is not None or zero or call.kwargs.get("use_separate_proj_weight") or value.ndim != 3:
        raise NoRule("only packed projections of batched inputs, without an extra key, have a rule")
    held = call.map(Tensor.detach)
    output, weights = held.run()
    alpha = held.function(*held.args, **{**held.kwargs, "need_weights": True, "average_attn_weights": False})[1]
    value_bias = None if in_bias is None else call.follow(in_bias[2 * width :])
    projected = F.linear(value, in_weight[2 * width :], value_bias).unflatten(-1, (heads, -1))
    mixed = torch.einsum("bhij,jbhd->ibhd", alpha, projected).flatten(-2)
    return graft(output, F.linear(mixed, out_weight, call.follow(out_bias))), weights


def write(call: Call) -> Any:
    """``x[...] = y``, ``x.copy_(y)``, ``x.fill_(0)``: in place; what x held and keeps is a constant unless live."""
    base, *rest = call.args
    if call.follow(base) is not base and base.any():
        base.add_(call.direction.constant(torch.zeros_like(base), base))
    *where, y = rest or (0,)
    if isinstance(y, int | float) and y != 0:
        y = call.direction.constant(full := torch.full((), y, dtype=base.dtype, device=base.device), full)
    call.function(base, *where, *((call.follow(y),) if rest else ()))
    return base


def sampled(call: Call) -> Any:
    """``F.grid_sample``: linear in what is sampled; where it is sampled is held fixed."""
    x, grid, *rest = call.args
    return call.function(x, grid.detach(), *rest, **call.kwargs)


def dropout(call: Call) -> Any:
    """The identity, in evaluation."""
    arguments = call.bind("input", "p", "training")
    if arguments.get("p", 0.5) and arguments.get("training", True):
        raise NoRule("dropout is random; put the model into evaluation mode with model.eval()")
    return call.run()


def _is_float(x: Tensor) -> bool:
    return x.is_floating_point() or x.is_complex()


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _fill(call: Call, names: tuple[str, ...], **defaults: Any) -> list[Any]:
    arguments = {**defaults, **call.bind(*names)}
    return [arguments.get(name) for name in names]


def _standardised(
    call: Call, x: Tensor, dims: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    wide = _wide(x)
    scale = (wide.detach().var(dims, unbiased=False, keepdim=True) + eps).rsqrt()
    straight = (wide - wide.mean(dims, keepdim=True)) * (scale if weight is None else scale * weight)
    straight = straight if bias is None else straight + call.follow(bias)
    return graft(gate(call), straight.to(x.dtype))


def _names(names: str) -> list[str]:
    return names.split()


RULES: Mapping[str, Rule] = {
    # what a tensor is, not what it holds
    **dict.fromkeys(
        _names(
            "shape dtype device layout ndim is_cuda is_cpu is_meta is_mps is_sparse is_quantized is_nested is_leaf is_xpu "
            "is_mkldnn requires_grad grad_fn grad names itemsize nbytes size dim numel nelement stride storage_offset "
            "element_size get_device data_ptr is_contiguous is_floating_point is_complex is_signed is_inference "
            "is_same_size result_type __len__ __hash__ __repr__ __format__ "
            "zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty new_tensor"
        ),
        constant,
    ),
    # yes, no, which, how many
    **dict.fromkeys(
        _names(
            "eq ne lt le gt ge equal isclose allclose isnan isinf isfinite isneginf isposinf isin argmax argmin argsort "
            "nonzero count_nonzero logical_and logical_or logical_not logical_xor any all bool int long short item tolist "
            "__bool__ __int__ __float__ __index__ __contains__ bucketize searchsorted bincount histc one_hot"
        ),
        constant,
    ),
    # the same numbers at other places
    **dict.fromkeys(
        _names(
            "view reshape expand permute transpose swapaxes swapdims movedim moveaxis t T mT "
            "squeeze unsqueeze flatten unflatten ravel contiguous clone alias narrow select diagonal chunk split "
            "split_with_sizes tensor_split hsplit vsplit unbind unfold as_strided __getitem__ index_select gather "
            "take_along_dim masked_select roll flip fliplr flipud rot90 repeat repeat_interleave tile broadcast_to "
            "broadcast_tensors tril triu diag diag_embed type float half bfloat16 double cpu cuda real imag conj "
            "resolve_conj resolve_neg view_as_real view_as_complex complex positive pixel_shuffle pixel_unshuffle "
            "channel_shuffle fold im2col col2im embedding atleast_1d atleast_2d atleast_3d __iter__ __reversed__ "
        ),
        linear,
    ),
    **dict.fromkeys(_names("view_as reshape_as expand_as type_as to"), like),
    # put together
    **dict.fromkeys(
        _names(
            "cat concat concatenate stack hstack vstack dstack column_stack pad_sequence masked_scatter index_add index_copy "
            "index_put scatter scatter_add slice_scatter select_scatter diagonal_scatter block_diag"
        ),
        linear,
    ),
    # sums
    **dict.fromkeys(
        _names(
            "neg sum mean nanmean nansum cumsum diff trace avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
            "adaptive_avg_pool2d adaptive_avg_pool3d interpolate upsample fft_fft fft_fft2 fft_fftn fft_ifft fft_ifft2 "
            "fft_ifftn fft_rfft fft_rfft2 fft_rfftn fft_irfft fft_irfft2 fft_irfftn"
        ),
        linear,
    ),
    **dict.fromkeys(_names("add sub subtract rsub __rsub__ where masked_fill index_fill pad constant_pad_nd"), affine),
    **dict.fromkeys(_names("__setitem__ copy_ fill_ zero_"), write),
    # products
    **dict.fromkeys(
        _names("mul multiply matmul bmm mm mv dot inner outer tensordot __rmul__ __rmatmul__"),
        product_of("input", "other", factors=("input", "other")),
    ),
    **dict.fromkeys(
        _names("linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
        product_of("input", "weight", "bias", factors=("input", "weight"), terms=("bias",)),
    ),
    **dict.fromkeys(
        _names("addmm addbmm baddbmm addmv addcmul"),
        product_of("input", "first", "second", factors=("first", "second"), terms=("input",)),
    ),
    "einsum": einsum,
    **dict.fromkeys(_names("div divide true_divide"), quotient),
    # activations: the secant through zero
    **dict.fromkeys(
        _names(
            "gelu relu relu6 silu mish elu selu celu leaky_relu hardswish hardtanh tanh tanhshrink softsign softshrink "
            "hardshrink square abs"
        ),
        activation,
    ),
    ACTIVATION_MODULE: clamp,
    **dict.fromkeys(_names("clamp clip clamp_min clamp_max"), clamp),
    **dict.fromkeys(_names("pow __pow__ float_power"), power),
    # norms: the spread held fixed
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "batch_norm": batch_norm,
    "normalize": normalise,
    **dict.fromkeys(_names("var_mean std_mean"), variance_and_mean),
    # attention
    "scaled_dot_product_attention": attention,
    "multi_head_attention_forward": multi_head_attention,
    # gates: attention weights, routers, spreads, stabilisers of a softmax
    **dict.fromkeys(
        _names(
            "softmax log_softmax softmin sigmoid hardsigmoid logsigmoid log_sigmoid exp expm1 exp2 log log2 log10 log1p erf erfc "
            "softplus logsumexp sqrt rsqrt reciprocal __rdiv__ __rpow__ norm vector_norm linalg_norm linalg_vector_norm var "
            "std sin cos"
        ),
        gate,
    ),
    # the same, but only as factors: what they select is made of the sources, so it must not join the bias share
    **dict.fromkeys(_names("max min amax amin topk sort sign sgn floor ceil round trunc frac detach data"), selection),
    "linalg_solve_triangular": product_of("A", "B", factors=("B",), held=("A",)),
    "glu": gated_linear_unit,
    "grid_sample": sampled,
    **dict.fromkeys(_names("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout"), dropout),
}
"""Every operation that a live tensor may meet."""
