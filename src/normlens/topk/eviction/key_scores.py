"""Scores of keys: how much each cached key and value of a head is worth to the queries of a text.

Every score is a function of one attention block and the same options, and gives ``(kv_head, source)``, larger for what
should be kept; infinite for what always is. Query heads that share keys and values have one score together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool1d

from normlens.errors import InvalidInput, did_you_mean
from normlens.topk.eviction.greedy import elimination_costs
from normlens.topk.eviction.read_blocks import ReadBlock

WINDOW = 64
"""Queries at the end of a text that SnapKV reads, and keeps."""

_POOLED = 5  # neighbors whose weights SnapKV averages
_FIRST = 4  # tokens at the beginning that streaming keeps
_VATP_FIRST = 20  # tokens at the beginning that VATP keeps
_EPSILON = 1e-4  # CriticalKV's ε
_FIRST_STAGE = 0.5  # the share of the budget that CriticalKV spends on weights alone

KeyScores = Float[Tensor, "kv_head source"]


@dataclass(frozen=True)
class ScoreOptions:
    """What a score may depend on beside the block.

    Attributes
    ----------
    keep
        The share of keys that a head keeps on average.
    seed
        The seed of random scores.
    """

    keep: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class KeyScore:
    """A way to score keys.

    Attributes
    ----------
    name
        The name that `normlens.topk.eviction.evict` takes.
    about
        One line: the formula.
    source
        Where it was published; empty if it was not.
    compute
        The function.
    last
        Number of last queries that it reads; None for all.
    """

    name: str
    about: str
    source: str
    compute: Callable[[ReadBlock, ScoreOptions], KeyScores]
    last: int | None = None


def _weight(block: ReadBlock, options: ScoreOptions) -> KeyScores:
    """Σ_i α_ij."""
    return _of_group(block, _summed(rows.weights for rows in block.rows()))


def _norm(block: ReadBlock, options: ScoreOptions) -> KeyScores:
    """Σ_i α_ij ‖f(x_j)‖."""
    return _of_group(block, _summed(map(block.weighted_norms, block.rows())))


def _displacement(block: ReadBlock, options: ScoreOptions) -> KeyScores:
    """Σ_i α_ij ‖f(x_j) − o_i‖."""
    return _of_group(block, _summed(map(block.displacements, block.rows())))


def _snapkv(block: ReadBlock, options: ScoreOptions) -> KeyScores:
    """Σα over the last queries, averaged over neighbors; the last positions themselves are always kept."""
    if block.size < WINDOW:
        raise InvalidInput(
            f"snapkv reads the last {WINDOW} queries, but there are {block.size}. Pass a longer text, or use the score "
            "weight with fewer queries."
        )
    received = _of_group(block, _summed(rows.weights for rows in block.rows(WINDOW)))
    first = block.sources - WINDOW if block.anatomy.group != "cross" else block.sources
    received[:, :first] = avg_pool1d(received[:, None, :first], _POOLED, stride=1, padding=_POOLED // 2)[:, 0]
    received[:, first:] = torch.inf
    return received


def _streaming(block: ReadBlock, options: ScoreOptions) -> KeyScores:
    """The position: the first four are always kept, then the most recent."""
    position = torch.arange(block.sources, dtype=block.value.dtype, device=block.value.device)
    position[:_FIRST] = torch.inf
    return position.expand(block.kv_heads, -1).clone()


def _random(block: ReadBlock, options: ScoreOptions) -> KeyScores:
    """Uniform numbers, the same whenever a layer is scored again."""
    seeds = torch.tensor([options.seed, block.layer, block.block.occurrence, block.anatomy.group == "cross"])
    seed = int((seeds * torch.tensor([1_000_003, 8_191, 131, 1])).sum())
    drawn = torch.rand(block.kv_heads, block.sources, generator=torch.Generator().manual_seed(seed))
    return drawn.to(block.value)


def _vatp(block: ReadBlock, options: ScoreOptions) -> KeyScores:
    """Σα · ‖v‖₁; the first twenty are always kept."""
    scores = _weight(block, options) * block.value[:: block.shared].abs().sum(-1)
    scores[:, :_VATP_FIRST] = torch.inf
    return scores


def _criticalkv(block: ReadBlock, options: ScoreOptions) -> KeyScores:
    """Half of the budget by α, the rest by (α + ε) ‖W_O v‖₁, with α a mean over queries and the heads of a group."""
    block.require_no_gate("‖W_O v‖₁")
    alpha = _weight(block, options) / (block.size * block.shared)
    lengths = torch.stack([(v @ p).abs().sum(-1) for v, p in zip(block.value, block.projection, strict=True)])
    scores = (alpha + _EPSILON) * _of_group(block, lengths) / block.shared
    first_stage = int(options.keep * block.sources * _FIRST_STAGE)
    return scores.scatter_(-1, alpha.topk(first_stage, dim=-1).indices, torch.inf)


def _kvzip_plus(block: ReadBlock, options: ScoreOptions) -> KeyScores:
    """max_i α_ij ‖W_O v_j‖ / ‖h_i‖, over queries and the heads of a group."""
    largest = block.value.new_zeros(block.heads, block.sources)
    for rows in block.rows():
        relative = block.weighted_norms(rows) / block.stream_lengths(rows)[:, None]
        largest = torch.maximum(largest, relative.amax(1))
    return largest.view(block.kv_heads, block.shared, -1).amax(1)


def _joint(block: ReadBlock, options: ScoreOptions) -> KeyScores:
    """What the output loses when a key is dropped, in the order in which the set that is kept shrinks."""
    return torch.stack([elimination_costs(block, group) for group in range(block.kv_heads)])


def _summed(maps: Iterable[Float[Tensor, "head query source"]]) -> Float[Tensor, "head source"]:
    by_rows: Iterator[Tensor] = (x.sum(1) for x in maps)
    total = next(by_rows)
    for x in by_rows:
        total = total + x
    return total


def _of_group(block: ReadBlock, scores: Float[Tensor, "head source"]) -> KeyScores:
    """Sums over the query heads that share keys and values."""
    return scores.view(block.kv_heads, block.shared, -1).sum(1)


SCORES: dict[str, KeyScore] = {
    score.name: score
    for score in (
        KeyScore(
            "weight", "Σα, the weight received (H2O's heavy hitters)", "https://arxiv.org/abs/2306.14048", _weight
        ),
        KeyScore("snapkv", "Σα over the last 64 queries, pooled", "https://arxiv.org/abs/2404.14469", _snapkv, WINDOW),
        KeyScore(
            "streaming", "the first 4 tokens, then the most recent", "https://arxiv.org/abs/2309.17453", _streaming
        ),
        KeyScore("vatp", "Σα ‖v‖₁, the first 20 kept", "https://arxiv.org/abs/2406.12335", _vatp),
        KeyScore(
            "criticalkv",
            "half of the budget by α, the rest by (α + ε) ‖W_O v‖₁",
            "https://arxiv.org/abs/2502.03805",
            _criticalkv,
        ),
        KeyScore("kvzip+", "max α ‖W_O v‖ / ‖h‖", "https://arxiv.org/abs/2601.07891", _kvzip_plus),
        KeyScore("norm", "Σα ‖f(x)‖", "", _norm),
        KeyScore("displacement", "Σα ‖f(x) − o‖", "", _displacement),
        KeyScore("joint", "greedy: the set with the smallest Σ ‖o − o_S‖²", "", _joint),
        KeyScore("random", "random numbers", "", _random),
    )
}
"""Every score by its name."""


def score_named(name: str) -> KeyScore:
    """The score of a name.

    Raises
    ------
    InvalidInput
        If there is none.
    """
    if name not in SCORES:
        raise InvalidInput(
            f"There is no score {name!r}; expected one of {', '.join(SCORES)}.{did_you_mean(name, list(SCORES))}"
        )
    return SCORES[name]
