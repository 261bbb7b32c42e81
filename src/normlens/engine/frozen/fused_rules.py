"""Rules for whole layers that torch computes in one call: norms, attention, gated units."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from normlens.engine.frozen.call import Call, NoRule, held
from normlens.engine.frozen.directions import graft
from normlens.engine.frozen.rules import gate
from normlens.engine.precision import at_least_float32


def layer_norm(call: Call) -> Tensor:
    """(x − mean(x)) γ/σ + β with σ held fixed."""
    x, shape, weight, bias, eps = call.named("input", "normalized_shape", "weight", "bias", "eps", eps=1e-5)
    _require_constant(call, weight, bias)
    dims = tuple(range(-len(shape), 0))
    wide = at_least_float32(x)
    gain, shift = (weight, bias) if wide is x else (None, None)
    value, _, scale = torch.native_layer_norm(wide.detach(), shape, gain, shift, eps)
    straight = (wide - wide.mean(dims, keepdim=True)) * (scale if weight is None else scale * weight)
    straight = call.added(straight, bias)
    return graft(value if wide is x else gate(call), straight.to(x.dtype))


def rms_norm(call: Call) -> Tensor:
    """xγ/σ with σ, the root mean square, held fixed."""
    x, shape, weight, eps = call.named("input", "normalized_shape", "weight", "eps")
    _require_constant(call, weight)
    wide = at_least_float32(x)
    power = wide.detach().square().mean(tuple(range(-len(shape), 0)), keepdim=True)
    scale = (power + (torch.finfo(x.dtype).eps if eps is None else eps)).rsqrt()
    return graft(gate(call), (wide * (scale if weight is None else scale * weight)).to(x.dtype))


def group_norm(call: Call) -> Tensor:
    """(x − mean(x)) γ/σ + β within each group of channels, with σ held fixed."""
    x, groups, weight, bias, eps = call.named("input", "num_groups", "weight", "bias", "eps", eps=1e-5)
    _require_constant(call, weight, bias)
    grouped = at_least_float32(x).reshape(x.shape[0], groups, -1)
    scale = (grouped.detach().var(-1, unbiased=False, keepdim=True) + eps).rsqrt()
    straight = ((grouped - grouped.mean(-1, keepdim=True)) * scale).reshape(x.shape)
    straight = straight if weight is None else straight * _per_channel(weight, x)
    straight = straight if bias is None else call.added(straight, bias, _per_channel(bias, x))
    return graft(gate(call), straight.to(x.dtype))


def batch_norm(call: Call) -> Tensor:
    """An affine map of x in evaluation mode, where the statistics are buffers."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    x, mean, variance, weight, bias, training, _, eps = call.named(*names, eps=1e-5)
    _require_constant(call, weight, bias)
    if training or mean is None:
        raise NoRule("batch statistics mix the rows of a batch; call model.eval() first")
    scale = (variance + eps).rsqrt() * (1 if weight is None else weight)
    straight = call.added(x, mean, -_per_channel(mean, x)) * _per_channel(scale, x)
    straight = straight if bias is None else call.added(straight, bias, _per_channel(bias, x))
    return graft(gate(call), straight.to(x.dtype))


def normalize(call: Call) -> Tensor:
    """``F.normalize``: x divided by its norm, which is held fixed."""
    x, p, dim, eps = call.named("input", "p", "dim", "eps", p=2.0, dim=1, eps=1e-12)
    norm = x.detach().norm(p, dim, keepdim=True).clamp_min(eps)
    return graft(gate(call), x / norm)


def spread_and_mean(call: Call) -> tuple[Tensor, Tensor]:
    """``var_mean`` and ``std_mean``: the first is a gate, the second is linear."""
    x, dim, keepdim = call.named("input", "dim", "keepdim", keepdim=False)
    if isinstance(dim, bool):
        raise NoRule("the dimension must be the second argument")
    spread, mean = gate(call)
    return spread, graft(mean, x.mean() if dim is None else x.mean(dim, keepdim))


def gated_linear_unit(call: Call) -> Tensor:
    """``F.glu``: the first half times the sigmoid of the second, which is a gate."""
    x, dim = call.named("input", "dim", dim=-1)
    first, second = x.chunk(2, dim)
    return graft(gate(call), first * second.detach().sigmoid())


def attention(call: Call) -> Tensor:
    """Fused attention: linear in the values; queries and keys are held fixed."""
    arguments = call.bind("query", "key", "value")
    value = call.follow(arguments.pop("value"))
    query, key = held(arguments.pop("query")), held(arguments.pop("key"))
    with sdpa_kernel(SDPBackend.MATH):
        mixed: Tensor = call.function(query, key, value, *held(call.args[3:]), **held(arguments))
    return graft(gate(call), mixed)


MULTI_HEAD_ARGUMENTS = (
    *("query", "key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight", "in_proj_bias", "bias_k", "bias_v"),
    *("add_zero_attn", "dropout_p", "out_proj_weight", "out_proj_bias", "training", "key_padding_mask", "need_weights"),
    "attn_mask",
)


def multi_head_attention(call: Call) -> tuple[Tensor, Tensor | None]:
    """``torch.nn.MultiheadAttention``: Σ_j α_ij v_j through the output projection, with α held fixed."""
    arguments = call.bind(*MULTI_HEAD_ARGUMENTS)
    if arguments["bias_k"] is not None or arguments["add_zero_attn"] or arguments["value"].ndim != 3:
        raise NoRule("only batched inputs without an extra key have a rule")
    output, weights = call.function(**held(arguments))
    alpha = call.function(**{**held(arguments), "need_weights": True, "average_attn_weights": False})[1]
    width, heads, bias = arguments["embed_dim_to_check"], arguments["num_heads"], arguments["in_proj_bias"]
    separate = arguments.get("use_separate_proj_weight", False)
    value_weight = arguments["v_proj_weight"] if separate else arguments["in_proj_weight"][2 * width :]
    value = F.linear(arguments["value"].transpose(0, 1), value_weight)
    value = value if bias is None else call.added(value, bias, bias[2 * width :])
    mixed = torch.einsum("bhij,bjhd->bihd", alpha, value.unflatten(-1, (heads, -1))).flatten(-2)
    straight = call.added(F.linear(mixed, arguments["out_proj_weight"]), arguments["out_proj_bias"])
    return graft(output, straight.transpose(0, 1)), weights


def sampled(call: Call) -> Tensor:
    """``F.grid_sample``: linear in the sampled tensor; the sampling positions are held fixed."""
    x, grid, *rest = call.args
    result: Tensor = call.function(call.follow(x), held(grid), *rest, **call.kwargs)
    return result


def _require_constant(call: Call, *parameters: Tensor | None) -> None:
    if any(call.is_live(x) for x in parameters):
        raise NoRule("its weight and bias must not depend on the sources")


def _per_channel(parameter: Tensor, x: Tensor) -> Tensor:
    return parameter.reshape(1, -1, *(1,) * (x.ndim - 2))
