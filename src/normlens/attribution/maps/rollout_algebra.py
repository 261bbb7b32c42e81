"""The algebra of rollouts: maps of single layers, multiplied into maps of whole models.

A layer's map says what each target takes from each source, rows summing to one. What layer l takes from the input is
then A_l A_{l-1} … A_1 (Abnar & Zuidema 2020). In an encoder–decoder the decoder's rows divide between the
source text, read through cross-attention, and the target's own prefix (Ferrando et al. 2022b).
Everything here works on plain arrays in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[Any]


def rows_to_one(maps: Float[Array, "*layer target source"]) -> Float[Array, "*layer target source"]:
    """Divide every row by its sum; a row of zeros assigns everything to its own position.

    Parameters
    ----------
    maps
        Non-negative. If there are more sources than targets, a target's own position is the source of the same number.
    """
    maps = np.asarray(maps, dtype=np.float64)
    sums = maps.sum(-1, keepdims=True)
    return np.where(sums > 0, maps / np.where(sums > 0, sums, 1), np.eye(*maps.shape[-2:]))


def with_residual(
    maps: Float[Array, "*layer target source"], residual: float = 0.5
) -> Float[Array, "*layer target source"]:
    """(1 − r) A + r I: what attention passes on, beside the residual stream's fixed share r.

    Rows of A that sum to less than one (attention sinks) are normalized together with their residual, as in the code of
    Abnar & Zuidema.
    """
    maps = np.asarray(maps, dtype=np.float64)
    return rows_to_one((1 - residual) * maps + residual * np.eye(maps.shape[-1]))


def with_own(
    cross: Float[Array, "*layer target source"], own: Float[Array, "*layer target"]
) -> tuple[Float[Array, "*layer target source"], Float[Array, "*layer target"]]:
    """Cross-attention and what its targets keep of their own vector, divided by their sum; zeros keep everything."""
    joined = np.concatenate([np.asarray(own)[..., None], cross], axis=-1).astype(np.float64)
    sums = joined.sum(-1, keepdims=True)
    joined = np.where(sums > 0, joined / np.where(sums > 0, sums, 1), np.arange(joined.shape[-1]) == 0)
    return joined[..., 1:], joined[..., 0]


def rolled_out(maps: Float[Array, "layer token token"]) -> Float[Array, "layer token token"]:
    """A_l A_{l-1} … A_1 for every layer l, the first layer at index 0."""
    rolled = np.array(maps, dtype=np.float64)
    for layer in range(1, len(rolled)):
        rolled[layer] = rolled[layer] @ rolled[layer - 1]
    return rolled


def joint_maps(
    decoder: Float[Array, "layer target target2"],
    cross: Float[Array, "layer target source"],
    own: Float[Array, "layer target"],
) -> Float[Array, "layer target source_and_target"]:
    """A decoder layer's two attention blocks as one map: cross-attention, and what it keeps of self-attention.

    Self-attention comes first: what cross-attention keeps of a target's own vector is the output of self-attention.
    """
    return np.concatenate([cross, np.asarray(own, dtype=np.float64)[..., None] * decoder], axis=-1)


def rolled_out_pair(
    encoder: Float[Array, "encoder_layer source source"], joint: Float[Array, "layer target source_and_target"]
) -> Float[Array, "layer target source_and_target"]:
    """Roll an encoder–decoder out: what the decoder's layers take from the source text and from the target prefix.

    Parameters
    ----------
    encoder
        Maps of the encoder's layers, rows summing to one.
    joint
        Maps of the decoder's layers as :func:`joint_maps` gives them, rows summing to one.

    Returns
    -------
    Array
        Source tokens first, then the decoder's input tokens; rows sum to one.
    """
    sources, targets = encoder.shape[-1], joint.shape[1]
    from_encoder = rolled_out(encoder)[-1]
    rolled = np.empty(joint.shape)
    before = np.eye(targets, sources + targets, k=sources)  # the decoder's input tokens are their own
    for layer, (cross, kept) in enumerate((x[:, :sources], x[:, sources:]) for x in np.asarray(joint, np.float64)):
        before = kept @ before
        before[:, :sources] += cross @ from_encoder
        rolled[layer] = before
    return rolled
