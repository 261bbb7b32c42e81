"""Attention blocks by hand, in which everything that a trace may find is there, and their contributions as vectors."""

from __future__ import annotations

import torch

from normlens.engine.capture.interface import AttentionCall
from normlens.engine.tracing.block import AppliedNorm, Block, Projection, ResidualSum
from normlens.engine.tracing.norms import NormForm

SCOPES = ("attention", "residual", "layernorm")


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def block_by_hand(cross: bool = False, gated: bool = False, head_norm: bool = False, sources: int = 5) -> Block:
    """A block of two heads in which everything that a trace may find is there, with real outputs."""
    batch, heads, targets, head_dim, d = 2, 2, 5, 3, 4
    weights = normal(batch, heads, targets, sources, seed=0).softmax(-1)
    value = normal(batch, heads, sources, head_dim, seed=1)
    output = (weights @ value).transpose(1, 2)
    call = AttentionCall(
        torch.nn.Identity(), value, output, weights, lambda a, b: weights[:, :, a:b], output, lambda y: y.flatten(2)
    )
    x = output.flatten(2)
    gate = normal(batch, targets, heads * head_dim, seed=2) if gated else None
    x = x if gate is None else x * gate
    before = applied(normal(6, seed=3), normal(6, seed=4), x) if head_norm else None
    x = x if before is None else before.after
    weight, bias = normal(heads * head_dim, d, seed=5), normal(d, seed=6)
    projection = Projection(weight, bias, x @ weight + bias, weight)
    inner = applied(normal(d, seed=7), normal(d, seed=8), projection.output)
    own = normal(batch, targets, d, seed=9)
    residual = ResidualSum((inner, torch.tensor(0.4, dtype=torch.float64)), own, None, inner.after * 0.4 + own)
    outer = applied(normal(d, seed=10), normal(d, seed=11), residual.output)
    return Block("layers.0.attention", 0, call, cross, projection, gate, before, residual, outer)


def residual_of(block: Block) -> ResidualSum:
    assert block.residual is not None
    return block.residual


def outer_norm_of(block: Block) -> AppliedNorm:
    assert block.outer_norm is not None
    return block.outer_norm


def applied(gain: torch.Tensor, shift: torch.Tensor, before: torch.Tensor) -> AppliedNorm:
    form = NormForm(gain, shift, centered=True)
    scale = (before.var(-1, correction=0, keepdim=True) + 1e-5).rsqrt()
    return AppliedNorm("norm", form, scale, before, form.apply(before, scale))


def contributions(block: Block, scope: str) -> torch.Tensor:
    """Contributions of one block as vectors, ``(batch, target, source, d)``, the own vector on the diagonal."""
    call = block.call
    assert call.weights is not None
    x = (call.weights[..., None] * call.value[:, :, None]).permute(0, 2, 3, 1, 4).flatten(3)
    if block.gate is not None:
        x = x * block.gate[:, :, None]
    if block.head_norm is not None:
        x = block.head_norm.form.linear(x) * block.head_norm.scale[:, :, None]
    x = x @ block.projection.weight
    if scope == "attention":
        return x
    for step in residual_of(block).steps:
        x = step.form.linear(x) * step.scale[:, :, None] if isinstance(step, AppliedNorm) else x * step
    own = torch.zeros_like(x)
    if not block.cross:
        own.diagonal(dim1=1, dim2=2).copy_(residual_of(block).own.transpose(1, 2))
    x = x + own
    if scope == "layernorm":
        outer = outer_norm_of(block)
        x = outer.form.linear(x) * outer.scale[:, :, None]
    return x


KINDS = {
    "plain": block_by_hand,
    "gated": lambda: block_by_hand(gated=True),
    "normed heads": lambda: block_by_hand(head_norm=True),
    "cross": lambda: block_by_hand(cross=True, sources=7),
}
