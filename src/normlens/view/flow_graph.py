"""Where a token's vector comes from: the flow from the last layer back to the text, as a graph of its larger edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from normlens.errors import InvalidInput
from normlens.figures.explorer_page.binary_message import Message, exact

if TYPE_CHECKING:
    from normlens.view.exploration import Exploration

MEASURES = ("norm", "weight")
SCOPES = ("layernorm", "residual")
"""Where a layer's shares are read, the first that all layers have: both hold the target's own vector."""
MOST_EDGES = 900
MOST_TOKENS = 1024
_RAISE = 1.25

Shares = Callable[[int], Float[np.ndarray, "target source"]]


@dataclass(frozen=True)
class Graph:
    """The edges that carry at least a share of the flow, from the last layer back to the text.

    Attributes
    ----------
    edges
        Index of the layer, target, source, and the share that flows: ``(edge, 4)``, the last layer first.
    threshold
        The least share that an edge carries.
    reached
        What reaches each token of the text along these edges, ``(source,)``.
    whole
        What reaches each along all edges, ``(source,)``: a rollout.
    """

    edges: Float[np.ndarray, "edge 4"]
    threshold: float
    reached: Float[np.ndarray, " source"]
    whole: Float[np.ndarray, " source"]


def pruned(shares: Shares, layers: int, size: int, root: int, threshold: float, most: int = MOST_EDGES) -> Graph:
    """The graph of a token.

    An edge is kept if it carries at least the threshold of what reaches its target along kept edges. If these are too many,
    the threshold is raised until they are not.

    Parameters
    ----------
    shares
        A layer's shares, whose rows add up to at most one.
    layers, size, root
        Numbers of layers and tokens, and the token in the last layer.
    threshold
        The least share of an edge, above zero.
    most
        The largest number of edges.
    """
    start: np.ndarray = np.zeros(size)
    start[root] = 1.0
    whole: np.ndarray = start
    for layer in reversed(range(layers)):
        whole = whole @ shares(layer)
    while True:
        found: list[np.ndarray] = []
        reached: np.ndarray = start
        for layer in reversed(range(layers)):
            carried = reached[:, None] * shares(layer)
            targets, sources = np.nonzero(carried >= threshold)
            kept = carried[targets, sources]
            found.append(np.column_stack([np.full(len(kept), layer), targets, sources, kept]))
            reached = np.asarray(np.bincount(sources, weights=kept, minlength=size), dtype=np.float64)
        if sum(map(len, found)) <= most:
            return Graph(np.concatenate(found), threshold, reached, whole)
        threshold *= _RAISE


def flow(exploration: Exploration, group: str, target: int, by: str, threshold: float) -> Message:
    """The flow of one token.

    Parameters
    ----------
    exploration
        The run.
    group
        A kind of self-attention in which nothing else brings vectors: not a decoder that also reads an encoder.
    target
        The token.
    by
        "norm": shares of norms, with the token's own vector; "weight": half the mean weight, half the token itself.
    threshold
        The least share of an edge, between 0 and 1.

    Raises
    ------
    InvalidInput
        If there is no such group, token or measure, or the threshold isn't a share.
    """
    if by not in MEASURES:
        raise InvalidInput(f"There is no flow by {by!r}; expected one of {', '.join(MEASURES)}.")
    if not 0 < threshold < 1:
        raise InvalidInput(f"The threshold {threshold:g} isn't a share between 0 and 1, such as 0.01.")
    facts = exploration.group_facts(group)
    if facts["crossed"] or (group == "decoder" and exploration.example.target is not None):
        raise InvalidInput(f"In {group!r}, vectors come from two texts. The flow is drawn for the encoder.")
    layers, size = facts["layers"], len(facts["targets"])
    if size > MOST_TOKENS:
        raise InvalidInput(f"The flow is drawn for at most {MOST_TOKENS:,} tokens; this text has {size:,}. Shorten it.")
    if not 0 <= target < size:
        raise InvalidInput(f"There is no token {target}; this text has {size}, counted from 0. Choose one of these.")
    names = {scope["name"] for scope in facts["scopes"]}
    scope = next((one for one in SCOPES if one in names), None)
    if scope is None:
        raise InvalidInput("This model's layers have no residual stream to follow. Look at its maps.")

    followed = scope if by == "norm" else None

    def shares(index: int) -> Float[np.ndarray, "target source"]:
        return exploration.layer_shares(group, layers[index], followed)

    graph = pruned(shares, len(layers), size, target, threshold)
    told = {
        "run": exploration.name,
        "group": group,
        "target": target,
        "by": by,
        "scope": followed or "",
        "layers": layers,
        "threshold": graph.threshold,
        "hidden": max(0.0, float(graph.whole.sum() - graph.reached.sum())),
        "lost": max(0.0, 1.0 - float(graph.whole.sum())),
    }
    return Message(told, {"edges": exact(graph.edges), "reached": exact(graph.reached), "whole": exact(graph.whole)})
