"""DecompX with every bias distributed over the sources where it is added, step by step through a BERT, as published.

Fayyaz et al. 2023; of their code's rules the default, "absdot": source j of target i gets the share
|⟨b, c_ij⟩| / Σ_k |⟨b, c_ik⟩| of the bias b. Sources are the outputs of the embedding layer at each token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from normlens.engine.capture.interface import attention_implementation
from normlens.engine.frozen import push_through


@dataclass
class Followed:
    """Hidden states, and the contribution of each source to them so far.

    Attributes
    ----------
    model
        A BERT with a head for classes.
    x
        Hidden states, ``(1, target, d)``.
    vectors
        Contributions, ``(1, target, source, d)``; the rest of ``x`` belongs to no source.
    spread
        Whether biases are distributed over the sources.
    """

    model: PreTrainedModel
    x: Float[Tensor, "1 target d"]
    vectors: Float[Tensor, "1 target source d"]
    spread: bool

    def through(self, segment: Callable[[Tensor], Tensor], residual: Followed | None = None) -> Followed:
        """After a segment, with its bias distributed, and then added to ``residual``."""
        pushed = push_through(self.model, segment, self.x, self.vectors)
        vectors = pushed.vectors
        if self.spread:
            vectors = vectors + handed_out(pushed.output - vectors.sum(2), vectors)
        return self.with_(pushed.output, vectors).plus(residual)

    def mixed(self, weights: Float[Tensor, "1 head target source"]) -> Followed:
        """Values mixed by attention, each head in its own dimensions."""

        def mix(x: Tensor) -> Tensor:
            split = x.unflatten(-1, (weights.shape[1], -1))
            return torch.einsum("bhij,bj...hd->bi...hd", weights, split).flatten(-2)

        return self.with_(mix(self.x), mix(self.vectors))

    def plus(self, other: Followed | None) -> Followed:
        """A residual sum."""
        return self if other is None else self.with_(self.x + other.x, self.vectors + other.vectors)

    def first(self) -> Followed:
        """The input of the head: the first position."""
        return self.with_(self.x[:, :1], self.vectors[:, :1])

    def with_(self, x: Tensor, vectors: Tensor) -> Followed:
        """The same with other vectors."""
        return Followed(self.model, x, vectors, self.spread)


def handed_out(
    bias: Float[Tensor, "1 target d"], vectors: Float[Tensor, "1 target source d"]
) -> Float[Tensor, "1 target source d"]:
    """A bias split in proportion to |⟨bias, vector⟩| of each source."""
    products = torch.einsum("bid,bijd->bij", bias, vectors).abs()
    shares = products / products.sum(-1, keepdim=True).clamp_min(torch.finfo(products.dtype).tiny)
    return shares[..., None] * bias[:, :, None]


def logits_by_source(
    model: PreTrainedModel, ids: Int[Tensor, "1 token"], *, spread: bool
) -> Float[Tensor, "source class"]:
    """The contribution of each source to each logit.

    Parameters
    ----------
    model
        A BERT with a head for classes.
    ids
        One text.
    spread
        Whether biases are distributed; otherwise they belong to no source.
    """
    body: Any = model.base_model
    with torch.no_grad(), attention_implementation(model, "eager"):
        attentions = body(ids, output_attentions=True).attentions
        x = body.embeddings(ids)
        own = x[:, :, None] * torch.eye(x.shape[1], device=x.device)[None, ..., None]
        state = Followed(model, x, own, spread)
        for layer, weights in zip(body.encoder.layer, attentions, strict=True):
            state = _behind_layer(state, layer, weights)
        head = state.first().through(body.pooler.dense).through(body.pooler.activation)
        logits: Tensor = head.through(model.get_submodule("classifier")).vectors[0, 0]
    return logits


def _behind_layer(state: Followed, layer: Any, weights: Tensor) -> Followed:
    values = state.through(layer.attention.self.value)
    attended = values.mixed(weights).through(layer.attention.output.dense, residual=state)
    middle = attended.through(layer.attention.output.LayerNorm)
    inner = middle.through(layer.intermediate.dense).through(layer.intermediate.intermediate_act_fn)
    return inner.through(layer.output.dense, residual=middle).through(layer.output.LayerNorm)
