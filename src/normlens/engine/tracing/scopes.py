"""Scopes: how far into a layer contributions are followed; the one table of their names, titles and variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

AttentionScope = Literal["attention", "residual", "layernorm"]
"""Within the attention block: its output, the sum with the residual stream, the norm of that sum."""

BlockScope = Literal["feedforward", "feedforward_residual", "block"]
"""After the attention block: the output of the feed-forward, its sum with the residual stream, the whole block's output."""

Scope = Literal[AttentionScope, BlockScope]

ATTENTION_SCOPES: tuple[AttentionScope, ...] = get_args(AttentionScope)
BLOCK_SCOPES: tuple[BlockScope, ...] = get_args(BlockScope)
SCOPES: tuple[Scope, ...] = (*ATTENTION_SCOPES, *BLOCK_SCOPES)
"""All scopes, in the order in which contributions reach them."""


@dataclass(frozen=True)
class ScopeText:
    """Texts about a scope.

    Attributes
    ----------
    title
        What its norm measures, as the title of a figure.
    formula
        The norm of target i and source j; ``{own}`` stands for the target's own vector where that is added.
    label
        A short name.
    """

    title: str
    formula: str
    label: str


TEXTS: dict[str, ScopeText] = {
    "attention": ScopeText("what attention moves", "‖Σₕ α f(x)‖", "attention"),
    "residual": ScopeText("what attention and residual bring", "‖Σₕ α f(x){own}‖", "residual"),
    "layernorm": ScopeText("what the LayerNorm leaves of them", "‖LN(Σₕ α f(x){own})‖", "LayerNorm"),
    "feedforward": ScopeText("what the feed-forward passes on", "norm through the feed-forward", "feed-forward"),
    "feedforward_residual": ScopeText(
        "what feed-forward and residual bring",
        "norm through the feed-forward, with its residual",
        "feed-forward + residual",
    ),
    "block": ScopeText("what leaves the block", "norm through the whole block", "block"),
}


def norm_variable(scope: str) -> str:
    """The variable of an analysis that holds the norm at a scope, ``(layer, target, source)``."""
    return "norm" if scope == "attention" else f"norm_{scope}"


def own_variable(scope: str) -> str:
    """The variable that holds the norm of the target's own vector in cross-attention, ``(layer, target)``.

    Attention alone doesn't add that vector, so the scope "attention" has no such variable.
    """
    return f"own_{scope}"


def share_variable(scope: str) -> str:
    """The variable that holds contribution weights of the sum over heads at a scope, ``(layer, target, source)``."""
    return f"contribution_weight_{scope}"


def own_share_variable(scope: str) -> str:
    """The variable that holds the contribution weight of the target's own vector in cross-attention, ``(layer, target)``."""
    return f"own_{share_variable(scope)}"


NORM_VARIABLES = tuple(map(norm_variable, SCOPES))
OWN_VARIABLES = tuple(own_variable(scope) for scope in SCOPES if scope != "attention")
SHARE_VARIABLES = tuple(map(share_variable, SCOPES))
OWN_SHARE_VARIABLES = tuple(own_share_variable(scope) for scope in SCOPES if scope != "attention")
