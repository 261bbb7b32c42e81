"""Which keys stay: the largest scores of each head, or of all heads of a layer or the model together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from normlens.errors import InvalidInput

Budget = Literal["head", "layer", "model"]
"""How keys are shared out: every head keeps equally many; the heads of a layer compete; all heads of the model compete."""

BUDGETS: tuple[Budget, ...] = get_args(Budget)
"""The names of budgets."""

_SAFEGUARD = 0.2  # the share of its even budget that a head keeps in any case, as in AdaKV's code

Kept = Bool[Tensor, "kv_head source"]


def checked_share(keep: Any) -> float:
    """The share of keys to keep, as a number.

    Raises
    ------
    InvalidInput
        If it isn't above 0 and at most 1.
    """
    if isinstance(keep, bool) or not isinstance(keep, (int, float)) or not 0 < keep <= 1:
        raise InvalidInput(f"keep is {keep!r}; expected a share above 0 and up to 1, such as 0.5 for half of the keys.")
    return float(keep)


def checked_budget(budget: str) -> None:
    """Refuse a budget of another name.

    Raises
    ------
    InvalidInput
        Naming all of them.
    """
    if budget not in BUDGETS:
        raise InvalidInput(f"budget is {budget!r}; expected one of {', '.join(BUDGETS)}.")


def keys_kept(keep: float, sources: int) -> int:
    """How many of a head's keys a share is, rounded down.

    Raises
    ------
    InvalidInput
        If it is none.
    """
    count = math.floor(keep * sources + 1e-9)
    if count < 1:
        raise InvalidInput(
            f"keep={keep:g} of {sources} keys leaves none. Keep more, or pass a longer text: at least 1 key must stay."
        )
    return count


def kept_pairs(scores: Sequence[Float[Tensor, "kv_head source"]], keep: float, budget: Budget = "head") -> list[Kept]:
    """The pairs that stay in each layer.

    Parameters
    ----------
    scores
        One tensor per layer; infinite for keys that stay in any case. Of equal scores, the later position stays.
    keep
        The share that stays, from 0 to 1.
    budget
        Whether each head keeps this share of its own keys, or a layer's heads, or the model's, of theirs together. Each
        head then keeps at least a fifth of an even share.

    References
    ----------
    Feng et al. 2024, *Ada-KV*, https://arxiv.org/abs/2407.11550.
    """
    checked_budget(budget)
    if budget == "head":
        return [_largest(x, keys_kept(keep, x.shape[1])) for x in scores]
    if budget == "layer":
        return [_shared_out([x], keep)[0] for x in scores]
    return _shared_out(scores, keep)


def _largest(scores: Float[Tensor, "kv_head source"], count: int) -> Kept:
    """The ``count`` largest of each row."""
    order = scores.flip(-1).argsort(dim=-1, descending=True, stable=True)[:, :count]
    kept = torch.zeros_like(scores, dtype=torch.bool)
    return kept.scatter_(-1, scores.shape[1] - 1 - order, True)


def _shared_out(scores: Sequence[Float[Tensor, "kv_head source"]], keep: float) -> list[Kept]:
    """The largest scores of several layers together, with the safeguard of each head."""
    counts = [keys_kept(keep, x.shape[1]) for x in scores]
    safe = [_largest(x, max(1, int(_SAFEGUARD * n))) for x, n in zip(scores, counts, strict=True)]
    raised = [x.masked_fill(kept, torch.inf) for x, kept in zip(scores, safe, strict=True)]
    flat = torch.cat([x.flatten() for x in raised])
    total = sum(len(x) * n for x, n in zip(scores, counts, strict=True))
    # among equal scores, those of the safeguard come first
    first = torch.cat([kept.flatten() for kept in safe])
    order = flat.argsort(descending=True, stable=True)
    order = torch.cat([order[first[order]], order[~first[order]]])[:total]
    chosen = torch.zeros_like(first).scatter_(0, order, True)
    return [x.view_as(s) for x, s in zip(chosen.split([s.numel() for s in scores]), scores, strict=True)]
