"""Trust nothing: random pairs of target and source, measured again with explicit vectors.

Sums over sources can't see every mistake (σ of the wrong row cancels out of none of them, two heads exchanged cancel
out of all). So on first use of a model, the norms of random pairs are compared with the explicit vectors
Σ_h α_ij^h v_j^h W_O^h, followed step by step after attention.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.engine.contributions.choice import MEASURES
from normlens.engine.contributions.measure import Measures, measure
from normlens.engine.precision import working_precision
from normlens.engine.tolerance import tolerance
from normlens.engine.tracing.block import AppliedNorm, Block
from normlens.engine.tracing.scopes import AttentionScope
from normlens.errors import ConservationError

_HEADS = 2  # heads of one target each whose measures are verified


def verify_pairs(block: Block, scopes: tuple[AttentionScope, ...], dtype: torch.dtype, pairs: int = 8) -> float:
    """Compare measures with those of explicit vectors: norms of random pairs, and random rows of single heads.

    Parameters
    ----------
    block
        A block.
    scopes
        Scopes to verify.
    dtype
        The model's dtype, which sets the tolerance.
    pairs
        Number of pairs per scope; drawn with a fixed seed.

    Returns
    -------
    float
        The largest difference, relative to the row's largest contribution.

    Raises
    ------
    ConservationError
        If it is more than ten times the tolerance.
    """
    (measures,) = measure(block, scopes, chosen=frozenset(MEASURES))
    batch, targets, sources = measures.norm["attention"].shape
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([torch.randint(n, (pairs,), generator=generator) for n in (batch, targets, sources)], 1)
    if not block.cross:
        draws[0, 2] = draws[0, 1]  # one on the diagonal, where the own vector sits
    worst = 0.0
    for scope in scopes:
        for b, i, j in draws.tolist():
            exact = explicit_vector(block, scope, b, i, j).norm()
            largest = measures.norm[scope][b, i].max().clamp_min(torch.finfo(exact.dtype).tiny)
            worst = max(worst, float((measures.norm[scope][b, i, j] - exact).abs() / largest))
    heads = torch.randint(measures.weight.shape[1], (_HEADS,), generator=generator).tolist()
    for (b, i, _), head in zip(draws[-_HEADS:].tolist(), heads, strict=True):
        worst = max(worst, _head_error(block, measures, b, i, head))
    allowed = tolerance(dtype, "other operations")
    if not worst <= allowed:
        raise ConservationError(
            f"{block.path}: measures differ from those of explicit vectors by {worst:.1e} of the row's largest "
            f"contribution; at most {allowed:.0e} is accepted for a {dtype} model. The numbers are withheld."
        )
    return worst


def _head_error(block: Block, measures: Measures, batch: int, target: int, head: int) -> float:
    """How far the measures of one head and target are from those of explicit vectors.

    Relative to Σ_j ‖α f(x_j)‖, since rounding is amplified where a head's vectors cancel.
    """
    assert measures.heads is not None
    assert measures.output_norm is not None
    weights = measures.weight[batch, head, target]
    value = working_precision(block.call.value)[batch]
    mixed = value.new_zeros(value.shape[1], measures.weight.shape[1], value.shape[2])
    mixed[:, head] = value[head * len(value) // measures.weight.shape[1]]
    vectors = _projected(block, mixed.flatten(1), batch, target)
    weighted = weights[:, None] * vectors
    output, size = weighted.sum(0), weighted.norm(dim=-1).sum().clamp_min(torch.finfo(weights.dtype).tiny)
    displacement = weights.abs() * (vectors - output).norm(dim=-1)
    products = measures.heads.contribution_weight[batch, head, target].nan_to_num() * output.square().sum()
    error = (measures.heads.displacement[batch, head, target] - displacement).abs().amax() / size
    off = (products - weighted @ output).abs().amax() / (size * output.norm()).clamp_min(torch.finfo(size.dtype).tiny)
    length = (measures.output_norm[batch, head, target] - output.norm()).abs() / size
    return max(float(error), float(length), float(off) if products.any() else 0.0)


def _projected(block: Block, mixed: Float[Tensor, "... inner"], batch: int, target: int) -> Float[Tensor, "... d"]:
    """Vectors as they leave attention, carried through gate, norm and projection to scope ``attention``."""
    if block.gate is not None:
        mixed = mixed * block.gate[batch, target]
    if block.head_norm is not None:
        mixed = _linear_part(block.head_norm, mixed, batch, target)
    return mixed @ block.projection.weight


def explicit_vector(block: Block, scope: AttentionScope, batch: int, target: int, source: int) -> Tensor:
    """The contribution c_ij itself, ``(d,)``, head by head and step by step."""
    block = block.up_to(scope)
    value = working_precision(block.call.value)[batch, :, source]
    weights = working_precision(block.call.rows(target, target + 1))[batch, :, 0, source]
    value = value.repeat_interleave(len(weights) // len(value), dim=0)
    vector = _projected(block, (weights[:, None] * value).flatten(), batch, target)
    if block.residual is None:
        return vector
    for step in block.residual.steps:
        vector = _linear_part(step, vector, batch, target) if isinstance(step, AppliedNorm) else vector * step
    if target == source and not block.cross:
        vector = vector + block.residual.own[batch, target]
    if block.outer_norm is not None:
        vector = _linear_part(block.outer_norm, vector, batch, target)
    return vector


def _linear_part(norm: AppliedNorm, vector: Tensor, batch: int, target: int) -> Tensor:
    """A norm's linear part at one target, with σ from the row that it normalized (not from a formula with ε)."""
    before, after = norm.before[batch, target], norm.after[batch, target] - norm.form.shift
    centered = norm.form.centered
    direction = (before - before.mean() if centered else before) * norm.form.gain
    scale = (after @ direction) / (direction @ direction)
    return (vector - vector.mean(-1, keepdim=True) if centered else vector) * norm.form.gain * scale
