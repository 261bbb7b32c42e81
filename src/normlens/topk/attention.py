"""Top-k attention on queries, keys and values: each target mixes only its k best sources."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.topk.autograd import Plan, TopKAttention
from normlens.topk.scores import ScoreRule
from normlens.topk.selection import checked_numbers, criterion_of
from normlens.topk.vector_choice import source_vectors

CHUNK_SIZE = 128
"""The default number of targets processed at a time."""


def topk_attention(
    query: Float[Tensor, "batch head target head_dim"],
    key: Float[Tensor, "batch kv_head source head_dim"],
    value: Float[Tensor, "batch kv_head source value_dim"],
    mask: Tensor | None = None,
    *,
    k: int | None,
    measure: str = "weight",
    keep: str = "largest",
    log_norms: Float[Tensor, "batch head source"] | None = None,
    factors: Float[Tensor, "head rank head_dim"] | None = None,
    renormalize: bool = True,
    chunk_size: int = CHUNK_SIZE,
    causal: bool = False,
    window: int | None = None,
    offset: int | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    bias: Tensor | None = None,
    sinks: Float[Tensor, " head"] | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "batch head target value_dim"]:
    """Attention in which every target keeps k sources, exactly differentiable and computed in chunks of targets.

    With k ≥ the number of sources, or ``k=None``, this is ordinary attention to rounding, still in chunks. Memory beyond
    inputs and output: batch × head × ``chunk_size`` × source numbers while a chunk runs (a few times that in the backward
    pass), and batch × head × target × k scores and int32 indices from the forward to the backward pass. The number of
    operations is that of ordinary attention: it saves memory, not time.

    Parameters
    ----------
    query, key, value
        Consecutive groups of ``head / kv_head`` query heads share a key and value head, which is not copied. Half
        precision is computed in float32.
    mask
        True where a source is visible; or numbers added to the scores, where half of the dtype's lowest number or less
        masks a source. Broadcastable to ``(batch, head, target, source)``; no gradient.
    k
        Number of sources that each target keeps; None: all.
    measure
        ``"weight"`` ranks sources by α, ``"norm"`` by α‖f(x)‖, ``"displacement"`` by α‖f(x) − o‖, with the head's
        output o = Σα·f(x). ``"joint"`` chooses k sources together: first the largest weight, then, one by one, the
        source that brings their mixture nearest to o; its memory holds source × source numbers per head. The choice
        itself has no gradient.
    keep
        ``"largest"``: those of the largest measure; ``"random"`` and ``"recent"`` (nearest to the target) are baselines.
    log_norms
        log‖f(x)‖, needed for ``measure="norm"``; see `log_vector_norms`.
    factors
        Factors of the output projection, needed for ``measure="displacement"`` and ``"joint"``; see
        `projection_factors`.
    renormalize
        True: the kept weights sum to one. False: they keep the denominator of all sources, and sum to less.
    chunk_size
        Number of targets processed at a time.
    causal, window
        Target i, at position p = i + ``offset``, sees the sources j ≤ p; with a window only those with p − j < window.
    offset
        Position of the first target among the sources. Default: source − target, which aligns the last target
        with the last source, as with a key-value cache.
    scale
        Factor of the dot products; default 1/√head_dim.
    softcap
        c in c·tanh(score/c), before masks and biases.
    bias
        Added to the scores, broadcastable like ``mask``; has a gradient.
    sinks
        One score per head that enters every denominator and has no vector (the attention sinks of gpt-oss).
    dropout
        Probability of dropping a kept weight; reproducible through ``torch.manual_seed``.

    Returns
    -------
    Tensor
        ``(batch, head, target, value_dim)``, in the dtype of the query. A target that sees fewer than k sources mixes
        those it sees; one that sees none is zero, and so is its gradient.

    Raises
    ------
    InvalidInput
        If k isn't a positive integer, or shapes don't match.

    References
    ----------
    Gupta et al. 2021, "Memory-efficient Transformers via Top-k Attention", section 2.
    """
    k, criterion = checked_numbers(k, chunk_size), criterion_of(measure, keep)
    _check_shapes(query, key, value)
    shape = (*query.shape[:3], key.shape[2])
    if criterion == "norm" and k is not None:
        _check_norms(log_norms, (*shape[:2], shape[3]))
    vectors = None
    if criterion in ("displacement", "joint") and k is not None:
        vectors = source_vectors(value, _checked_factors(criterion, factors, query.shape[1], value.shape[-1]))
    _check_options(shape, window, dropout, softcap, sinks)
    _check_numbers(scale=scale, offset=offset, window=window)
    rule = ScoreRule(
        scale=query.shape[-1] ** -0.5 if scale is None else float(scale),
        softcap=softcap,
        causal=causal,
        window=window,
        offset=shape[3] - shape[2] if offset is None else offset,
        mask=_four_axes("mask", mask, shape),
    )
    bias = _four_axes("bias", bias, shape)
    if bias is not None and not bias.is_floating_point():
        raise InvalidInput(f"bias has dtype {bias.dtype}; expected floating point. A Boolean mask goes into mask=.")
    plan = Plan(
        rule, k, criterion, renormalize, chunk_size, dropout, log_norms if criterion == "norm" else None, vectors
    )
    output: Tensor = TopKAttention.apply(query, key, value, bias, sinks, plan)  # type: ignore[no-untyped-call]
    return output


def _check_shapes(query: Tensor, key: Tensor, value: Tensor) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if not query.ndim == key.ndim == value.ndim == 4:
        raise InvalidInput(f"{shapes}: expected four axes each, (batch, head, position, dimension).")
    fits = query.shape[0] == key.shape[0] == value.shape[0] and key.shape[1:3] == value.shape[1:3]
    if not fits or query.shape[-1] != key.shape[-1] or query.shape[1] % key.shape[1]:
        raise InvalidInput(
            f"{shapes}: expected one batch size, as many values as keys, queries as wide as keys, and a number of query "
            "heads that is a multiple of the key heads."
        )
    if not key.shape[2]:
        raise InvalidInput(f"{shapes}: there are no sources to attend to.")


def _check_norms(log_norms: Tensor | None, shape: tuple[int, ...]) -> None:
    if log_norms is None or log_norms.shape != shape:
        seen = "None" if log_norms is None else str(tuple(log_norms.shape))
        raise InvalidInput(f"measure='norm' needs log_norms of shape {shape}, (batch, head, source); got {seen}.")


def _checked_factors(measure: str, factors: Tensor | None, heads: int, head_dim: int) -> Tensor:
    if factors is None or factors.ndim != 3 or (factors.shape[0], factors.shape[2]) != (heads, head_dim):
        seen = "None" if factors is None else str(tuple(factors.shape))
        raise InvalidInput(
            f"measure={measure!r} needs factors of shape ({heads}, rank, {head_dim}), (head, rank, head_dim); got {seen}."
        )
    return factors


def _check_options(
    shape: tuple[int, ...], window: int | None, dropout: float, softcap: float | None, sinks: Tensor | None
) -> None:
    if window is not None and window < 1:
        raise InvalidInput(f"window must be a positive number of sources or None, got {window}.")
    if not 0 <= dropout < 1:
        raise InvalidInput(f"dropout must be a probability from 0 to below 1, got {dropout}.")
    if softcap is not None and not softcap > 0:
        raise InvalidInput(f"softcap must be a positive number or None, got {softcap}.")
    if sinks is not None and sinks.shape != shape[1:2]:
        raise InvalidInput(f"sinks have shape {tuple(sinks.shape)}; expected one per head, {shape[1:2]}.")


def _check_numbers(**numbers: object) -> None:
    """Refuse a scale that isn't a number, and an offset or a window that isn't an integer."""
    for name, value in numbers.items():
        kinds, kind = ((int, float), "a number") if name == "scale" else ((int,), "an integer")
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            raise InvalidInput(f"{name} must be {kind} or None, got {value!r}.")


def _four_axes(name: str, x: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
    """A mask or bias with all four axes, not expanded.

    Raises
    ------
    InvalidInput
        If it isn't a tensor, doesn't broadcast to (batch, head, target, source), or is neither Boolean nor floating point.
    """
    if x is None:
        return None
    if not isinstance(x, Tensor):
        raise InvalidInput(f"{name} must be a tensor, got {type(x).__name__}.")
    full = x[(None,) * max(0, 4 - x.ndim)]
    if full.ndim != 4 or any(size not in (1, whole) for size, whole in zip(full.shape, shape, strict=True)):
        raise InvalidInput(
            f"{name} has shape {tuple(x.shape)}; expected something that broadcasts to (batch, head, target, source) = "
            f"{shape}. A padding mask (batch, source) is passed as mask[:, None, None, :]."
        )
    if x.dtype != torch.bool and not x.is_floating_point():
        raise InvalidInput(
            f"{name} has dtype {x.dtype}; expected Boolean (True: visible) or floating point (added to the scores)."
        )
    return full
