"""Top-k attention as one differentiable function: targets in chunks, forwards and backwards.

Kept for the backward pass are Q, K, V, one logarithm of a denominator per target, and per kept source its score and its
index (int32). Everything of size targets × sources lives no longer than its chunk. Each chunk remembers the state of
the random numbers that its dropout was drawn with, and the backward pass draws the same ones again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from normlens.engine.precision import at_least_float32, without_autocast
from normlens.topk.scores import ScoreRule, grouped_product, grouped_transposed_product
from normlens.topk.selection import chosen_sources
from normlens.topk.vector_choice import joint_sources, log_displacements


@dataclass(frozen=True, eq=False)
class Plan:
    """What to compute.

    Attributes
    ----------
    rule
        How scores come about.
    k, criterion, renormalize
        How many sources a target keeps (None: all), what ranks them, and whether their weights sum to one again.
    chunk_size
        Targets at a time.
    dropout
        Probability with which a weight becomes zero.
    log_norms
        log‖f(x)‖, ``(batch, head, source)``, for the norm.
    vectors
        From `normlens.topk.vector_choice.source_vectors`, for the displacement and the joint choice.
    """

    rule: ScoreRule
    k: int | None
    criterion: str
    renormalize: bool
    chunk_size: int
    dropout: float
    log_norms: Tensor | None
    vectors: Tensor | None = None

    def chunks(self, targets: int, sources: int) -> Iterator[tuple[slice, slice]]:
        """Targets of each chunk (the last may be smaller), and the sources that they may see."""
        for start in range(0, targets, self.chunk_size):
            chunk = slice(start, min(start + self.chunk_size, targets))
            yield chunk, self.rule.span(chunk, sources)

    def choose(
        self, scores: Tensor, targets: slice, span: slice, sinks: Tensor | None, generator: torch.Generator | None
    ) -> Tensor | None:
        """Indices within the span of what is kept, ``(batch, head, rows, k)``; None if that is everything."""
        if self.k is None or self.k >= scores.shape[-1]:
            return None
        log_norms = None if self.log_norms is None else self.log_norms[..., span]
        if self.vectors is not None:
            vectors, log_sums = self.vectors[:, :, span], _log_sums(scores, sinks).unsqueeze(-1)
            weights = (scores - log_sums).exp_().to(vectors.dtype)
            if self.criterion == "joint":
                none = log_sums.new_zeros(()).expand_as(log_sums)
                sink_weights = none if sinks is None else (sinks.to(log_sums.dtype)[:, None, None] - log_sums).exp_()
                return joint_sources(weights, vectors, self.k, sink_weights, self.renormalize)
            log_norms = log_displacements(weights, vectors).to(scores.dtype)
        positions = torch.arange(targets.start, targets.stop, device=scores.device) + self.rule.offset - span.start
        return chosen_sources(scores, self.k, self.criterion, log_norms, positions, generator)

    def generator(self, device: torch.device) -> torch.Generator | None:
        """Random numbers of this call, seeded by torch's own so that ``torch.manual_seed`` decides them."""
        if not self.dropout and self.criterion != "random":
            return None
        return torch.Generator(device).manual_seed(int(torch.randint(2**62, ())))


@dataclass(frozen=True, eq=False)
class _Chunk:
    """What a chunk leaves behind for the backward pass."""

    scores: Float[Tensor, "batch head rows k"] | None
    indices: Int[Tensor, "batch head rows k"] | None
    state: Tensor | None


class TopKAttention(torch.autograd.Function):
    """Attention over the sources that each target keeps; see `normlens.topk.topk_attention`."""

    @staticmethod
    @without_autocast()
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, sinks: Tensor | None, plan: Plan
    ) -> Tensor:
        """Output vectors, ``(batch, head, target, value_dim)``."""
        q, k, v = (at_least_float32(x) for x in (query, key, value))
        targets, sources = query.shape[2], key.shape[2]
        output = query.new_empty(*query.shape[:3], value.shape[-1])
        log_sums = q.new_empty(query.shape[:3])
        generator = plan.generator(query.device)
        chunks = []
        for rows, span in plan.chunks(targets, sources):
            scores = plan.rule.scores(q[:, :, rows], k[:, :, span], bias, rows, span)
            indices = plan.choose(scores, rows, span, sinks, generator)
            kept = scores if indices is None else scores.gather(-1, indices)
            log_sums[:, :, rows] = _log_sums(kept if plan.renormalize else scores, sinks)
            state = None if generator is None else generator.get_state()
            chunks.append(_Chunk(None, None, state) if indices is None else _Chunk(kept, indices.int(), state))
            denominators = log_sums[:, :, rows, None]
            weights = (kept.sub_(denominators) if indices is None else kept - denominators).exp_()
            weights.mul_(_surviving(weights, plan.dropout, generator))
            output[:, :, rows] = _mixed(weights, indices, v[:, :, span]).to(output.dtype)
        ctx.plan, ctx.states = plan, [chunk.state for chunk in chunks]
        kept_tensors = [x for chunk in chunks for x in (chunk.scores, chunk.indices)]
        ctx.save_for_backward(query, key, value, bias, sinks, log_sums, *kept_tensors)
        return output

    @staticmethod
    @once_differentiable
    @without_autocast()
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key, value, bias and sinks."""
        query, key, value, bias, sinks, log_sums, *left = ctx.saved_tensors
        chunks = [_Chunk(*x) for x in zip(left[::2], left[1::2], ctx.states, strict=True)]
        gradients = _Gradients(ctx.plan, query, key, value, bias, sinks, log_sums)
        for (rows, span), chunk in zip(ctx.plan.chunks(*gradients.lengths), chunks, strict=True):
            gradients.add(chunk, at_least_float32(gradient[:, :, rows]), rows, span)
        return (*gradients.cast(), None)


class _Gradients:
    """Gradients of everything that is differentiable, gathered chunk by chunk."""

    def __init__(
        self,
        plan: Plan,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        sinks: Tensor | None,
        log_sums: Tensor,
    ) -> None:
        self._plan, self._log_sums, self._bias, self._sinks = plan, log_sums, bias, sinks
        self._inputs = (query, key, value, bias, sinks)
        self._q, self._k, self._v = (at_least_float32(x) for x in (query, key, value))
        self._dq, self._dk, self._dv = (torch.zeros_like(x) for x in (self._q, self._k, self._v))
        wanted = bias is not None and bias.requires_grad
        self._dbias = torch.zeros_like(bias, dtype=self._q.dtype) if wanted and bias is not None else None
        self._dsinks = None if sinks is None else torch.zeros_like(sinks, dtype=self._q.dtype)
        self.lengths = (query.shape[2], key.shape[2])

    def add(self, chunk: _Chunk, gradient: Tensor, rows: slice, span: slice) -> None:
        """Take the gradient of a chunk's output back to all inputs.

        With weights P, their gradient dP and D = Σ_j P_j dP_j: dS_j = P_j (dP_j − D) for what was kept. Where the full
        denominator stands, every other source's score has −P_j D, since it is in the denominator.
        """
        plan, value, log_sums = self._plan, self._v[:, :, span], self._log_sums[:, :, rows, None]
        everything = None
        if chunk.indices is None or not plan.renormalize:
            everything = plan.rule.scores(self._q[:, :, rows], self._k[:, :, span], self._bias, rows, span)
        indices = None if chunk.indices is None else chunk.indices.long()
        kept = everything if chunk.scores is None else chunk.scores
        assert kept is not None
        weights = (kept - log_sums).exp_()
        surviving = _surviving(weights, plan.dropout, _resumed(chunk.state, gradient.device))
        back = _carried_back(gradient, indices, value).mul_(surviving)
        mean = (weights * back).sum(-1, keepdim=True)
        self._add_value(weights * surviving, indices, gradient, span)
        if self._sinks is not None and self._dsinks is not None:
            sink_weight = (self._sinks.to(log_sums.dtype)[:, None, None] - log_sums).exp_()
            self._dsinks -= (sink_weight * mean).sum((0, 2, 3))
        if indices is None or plan.renormalize:
            self._add_scores(weights * (back - mean), kept, indices, rows, span)
        else:
            assert everything is not None
            slopes = (everything - log_sums).exp_().mul_(-mean).scatter_add_(-1, indices, weights * back)
            self._add_scores(slopes, everything, None, rows, span)

    def _add_value(self, weights: Tensor, indices: Tensor | None, gradient: Tensor, span: slice) -> None:
        dense = _spread(weights, indices, span.stop - span.start)
        self._dv[:, :, span] += grouped_transposed_product(dense, gradient, self._v.shape[1])

    def _add_scores(self, slopes: Tensor, scores: Tensor, indices: Tensor | None, rows: slice, span: slice) -> None:
        """From the gradient of scores to those of bias, queries and keys."""
        rule, width = self._plan.rule, span.stop - span.start
        if self._dbias is not None:
            self._add_bias(_spread(slopes, indices, width), rows, span)
        if rule.softcap is not None:
            whole = slopes.new_empty(()).expand(*slopes.shape[:-1], width)
            added = rule.added(self._bias, rows, span, whole)
            added = added if added is None or indices is None else added.gather(-1, indices)
            slopes = slopes * rule.softcap_slope(scores, added)
        dense = _spread(slopes, indices, width)
        self._dq[:, :, rows] = grouped_product(dense, self._k[:, :, span]).mul_(rule.scale)
        update = grouped_transposed_product(dense, self._q[:, :, rows], self._k.shape[1])
        self._dk[:, :, span] += update.mul_(rule.scale)

    def _add_bias(self, slopes: Tensor, rows: slice, span: slice) -> None:
        assert self._dbias is not None
        shared = [axis for axis in range(4) if self._dbias.shape[axis] == 1]
        place = self._dbias if self._dbias.shape[-2] == 1 else self._dbias[..., rows, :]
        place = place if place.shape[-1] == 1 else place[..., span]
        place += slopes.sum(shared, keepdim=True) if shared else slopes

    def cast(self) -> tuple[Tensor | None, ...]:
        """All gradients in the dtypes of the inputs."""
        gradients = (self._dq, self._dk, self._dv, self._dbias, self._dsinks)
        pairs = zip(gradients, self._inputs, strict=True)
        return tuple(None if x is None or like is None else x.to(like.dtype) for x, like in pairs)


def _log_sums(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """The logarithm of Σ exp(score) with the sink's score among them; 0 where a row sees nothing."""
    sums = scores.logsumexp(-1)
    if sinks is not None:
        sums = torch.logaddexp(sums, sinks.to(sums.dtype)[:, None])
    return sums.masked_fill_(sums == -torch.inf, 0)


def _surviving(weights: Tensor, dropout: float, generator: torch.Generator | None) -> Tensor:
    """1/(1 − p) where dropout lets a weight live, else 0; one number without dropout."""
    if not dropout:
        return weights.new_ones(())
    return torch.empty_like(weights).bernoulli_(1 - dropout, generator=generator).div_(1 - dropout)


def _resumed(state: Tensor | None, device: torch.device) -> torch.Generator | None:
    if state is None:
        return None
    generator = torch.Generator(device)
    generator.set_state(state)
    return generator


def _gathers(indices: Tensor, value: Tensor) -> bool:
    """Whether k rows of values take less memory than a row of weights for all sources."""
    return indices.shape[-1] * value.shape[-1] <= value.shape[-2]


def _rows_of(value: Tensor, indices: Tensor) -> Float[Tensor, "batch head rows k value_dim"]:
    """The value vectors of the kept sources."""
    batch, heads = indices.shape[:2]
    texts = torch.arange(batch, device=value.device)[:, None, None, None]
    shared = torch.arange(heads, device=value.device)[:, None, None] // (heads // value.shape[1])
    return value[texts, shared, indices]


def _spread(kept: Tensor, indices: Tensor | None, width: int) -> Tensor:
    """Numbers of kept sources at their places among all sources, zero elsewhere."""
    return kept if indices is None else kept.new_zeros(*kept.shape[:-1], width).scatter_(-1, indices, kept)


def _mixed(weights: Tensor, indices: Tensor | None, value: Tensor) -> Tensor:
    """Σ_j P_ij v_j over the kept sources."""
    if indices is None or not _gathers(indices, value):
        return grouped_product(_spread(weights, indices, value.shape[2]), value)
    return (weights.unsqueeze(-2) @ _rows_of(value, indices)).squeeze(-2)


def _carried_back(gradient: Tensor, indices: Tensor | None, value: Tensor) -> Tensor:
    """The gradient of every kept weight, ⟨dO_i, v_j⟩."""
    if indices is None or not _gathers(indices, value):
        every = grouped_product(gradient, value.transpose(-1, -2))
        return every if indices is None else every.gather(-1, indices)
    return (_rows_of(value, indices) @ gradient.unsqueeze(-1)).squeeze(-1)
