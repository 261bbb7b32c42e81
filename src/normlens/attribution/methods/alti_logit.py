"""ALTI-Logit: what each layer's attention adds to a logit, tracked back to the input tokens with ALTI.

Ferrando et al. 2023. In a pre-norm model every attention block adds to the residual stream, which the
final norm (σ held fixed) and the output embedding read. So layer l's contribution of position j to the logit at
position t is Δ_j^l = ⟨c_tj^l, u⟩, with u the derivative of the logit by the residual stream. ALTI says which
input tokens position j of layer l consists of: the share of input token s is Σ_l Σ_j Δ_j^l M_js^{l−1}, where M^{l−1} is the
rollout of ALTI's maps of the layers below. As in the paper, the contributions of feed-forward blocks, biases and the
position's own embedding have no source; they are reported as ``bias_share``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from normlens.analysis.visit import BlockVectors
from normlens.attribution.arrays import Attribution, shares
from normlens.attribution.maps.collect import Collected, last_scope, slices
from normlens.attribution.maps.layer_maps import LAYERS, Maps, chain, side_tokens
from normlens.attribution.maps.layer_paths import last_layer
from normlens.attribution.maps.rollout_algebra import Array, joint_maps, rolled_out, rolled_out_pair
from normlens.attribution.methods.alti import add_block, normalized
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.attribution.targets.resolve import resolve
from normlens.attribution.targets.scalars import BatchTarget
from normlens.engine.frozen.directions import Backward
from normlens.engine.frozen.run import frozen_run
from normlens.engine.precision import double
from normlens.errors import InvalidInput, UnsupportedArchitecture


def tracked_back(
    updates: Float[Array, "layer position"], maps: Float[Array, "layer token token2"]
) -> Float[Array, "layer token"]:
    """Σ_j Δ_j^l M_js^{l−1} for every layer l: updates of positions as updates of input tokens.

    Parameters
    ----------
    updates
        Δ, what each layer takes from each position.
    maps
        ALTI's map of every layer.
    """
    below = np.concatenate([np.eye(maps.shape[-1])[None], rolled_out(maps)[:-1]])
    tracked: Array = np.einsum("lj,ljs->ls", updates, below)
    return tracked


def tracked_back_pair(
    own: Float[Array, "layer target"],
    cross: Float[Array, "layer source"],
    encoder: Float[Array, "encoder_layer source source2"],
    joint: Float[Array, "layer target source_and_target"],
) -> Float[Array, "layer source_and_target"]:
    """The same in an encoder–decoder: updates through self-attention by ALTI+, through cross-attention by the encoder.

    Parameters
    ----------
    own, cross
        Δ of the decoder's positions and of the encoder's outputs.
    encoder, joint
        Maps as in :func:`normlens.attribution.maps.rollout_algebra.rolled_out_pair`.
    """
    sources, targets = cross.shape[1], own.shape[1]
    first = np.eye(targets, sources + targets, k=sources)
    below = np.concatenate([first[None], rolled_out_pair(encoder, joint)[:-1]])
    tracked: Array = np.einsum("lj,ljs->ls", own, below)
    tracked[:, :sources] += cross @ rolled_out(encoder)[-1]
    return tracked


@dataclass
class _Updates:
    """Δ of every block, ``(batch, source)``, by group and layer."""

    direction: Float[Tensor, "batch target d"]
    by_layer: dict[str, dict[int, Tensor]] = field(default_factory=dict)

    def add(self, vectors: BlockVectors, chunk_size: int) -> None:
        """Add a block: Σ_t ⟨c_tj, u_t⟩, without the residual stream's own vectors."""
        total: Tensor | None = None
        for targets in slices(vectors, chunk_size):
            u = self.direction[:, targets].to(vectors.block.call.value.device)
            if not bool(u.any()):
                continue
            updates = torch.einsum("btsd,btd->bs", vectors.vectors(targets).to(u), u)
            own = vectors.own(targets)
            if not vectors.block.cross and own is not None:
                updates[:, targets] -= (own.to(u) * u).sum(-1)
            total = updates if total is None else total + updates
        assert total is not None  # the target depends on some position
        self.by_layer.setdefault(vectors.group, {})[vectors.layer] = total.cpu().double()

    def of_text(self, text: int, group: str, length: int) -> Float[Array, "layer source"]:
        """One text's updates, without padding."""
        layers = self.by_layer[group]
        return np.stack([layers[layer][text, :length].numpy() for layer in sorted(layers)])


def run(subject: Subject, request: Request) -> list[Attribution]:
    """ALTI-Logit of every text; options ``rolled`` and ``layers``."""
    rolled, layers = request.options["rolled"], request.options["layers"]
    _require_additive(subject)
    target = resolve(subject, request)
    subject = target.subject
    value, direction = _direction(subject, target, request)
    collected, updates = Collected(subject), _Updates(direction)
    reading = "decoder" if subject.is_encoder_decoder else None

    def visit(vectors: BlockVectors) -> None:
        add_block(collected, vectors, request.chunk_size)
        if reading is None or vectors.group in (reading, "cross"):
            updates.add(vectors, request.chunk_size)

    subject.visit("residual", visit)
    rule = "attention's updates, tracked back by ALTI" if rolled else "attention's updates at their positions"
    results = []
    for text in range(len(subject)):
        each = _tracked(subject, normalized(collected.of_text(text)), updates, text, rolled)
        attrs = {
            "target": target.names[text],
            "value": float(value[text] + target.remainder[text]),
            "bias_share": float(value[text]) - float(each.sum()),
            "conservation_error": float("nan"),
            "rule": f"{rule}; bias_share holds feed-forward blocks, biases and the position's own embedding",
            "linear_form": "exact" if target.is_linear_for(text) else "local, at the output",
            "remainder": float(target.remainder[text]),
        }
        results.append(_labeled(subject, text, each, attrs, layers))
    return results


def check(request: Request) -> None:
    """Refuse invalid options."""
    rolled, layers = request.options["rolled"], request.options["layers"]
    if not isinstance(rolled, bool) or layers not in LAYERS[:2]:
        raise InvalidInput(f"rolled={rolled!r}, layers={layers!r}; expected True or False, and 'model' or 'each'.")


def _direction(
    subject: Subject, target: BatchTarget, request: Request
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch target d"]]:
    """The target's value, and its derivative by the last layer's output with the final norm's σ held fixed."""
    blocks = list(subject.inspector.blocks(subject.examples[0]))
    group = "decoder" if subject.is_encoder_decoder else blocks[-1][0]
    site = last_layer(subject.model, subject.inspector.inspection(subject.examples[0]).layout, group)
    batch, backward = len(subject), Backward(len(subject))
    with (
        torch.enable_grad(),
        frozen_run(subject.model, backward, batch=batch, product=request.product, sources=site) as run,
    ):
        value = run.read(subject.inputs, target.linear)
    if not value.requires_grad:
        raise InvalidInput(
            f"The target doesn't depend on {site.path}, the last layer. Choose a target that is read after it."
        )
    (direction,) = torch.autograd.grad(value, backward.leaves[-1:], torch.ones_like(value))
    return double(value.detach()), direction


def _tracked(subject: Subject, maps: Maps, updates: _Updates, text: int, rolled: bool) -> Float[Array, "layer source"]:
    group = chain(subject, maps, {"group": None, "layers": "model"})
    if group is not None:
        each = updates.of_text(text, group, maps.groups[group].shape[-1])
        return tracked_back(each, maps.groups[group]) if rolled else each
    assert maps.own is not None
    encoder, sources = maps.groups["encoder"], maps.groups["cross"].shape[-1]
    own = updates.of_text(text, "decoder", maps.groups["decoder"].shape[-1])
    cross = updates.of_text(text, "cross", sources)
    if not rolled:
        return np.concatenate([cross, own], axis=1)
    return tracked_back_pair(own, cross, encoder, joint_maps(maps.groups["decoder"], maps.groups["cross"], maps.own))


def _labeled(
    subject: Subject, text: int, each: Float[Array, "layer source"], attrs: Mapping[str, Any], layers: str
) -> Attribution:
    tokens = subject.examples[text]
    if tokens.target is None or tokens.source is None:
        sides = [("source", side_tokens(subject, text, "source", each.shape[1]))]
    else:
        sides = [("source", tokens.source), ("target", tokens.target)]
    total = shares(each.sum(0), sides, attrs)
    if layers == "model":
        return total
    group = "decoder" if subject.is_encoder_decoder else next(name for name, *_ in subject.inspector.blocks(tokens))
    coordinates = {"layer": subject.layer_numbers(group), **total.coords}
    return Attribution(each, dims=("layer", "source"), coords=coordinates, attrs=dict(attrs), name=total.name)


def _require_additive(subject: Subject) -> None:
    """Refuse models whose layers don't add to one residual stream."""
    blocks = subject.inspector.blocks(subject.examples[0])
    normed = next((block for _, _, block in blocks if "layernorm" in block.scopes), None)
    if normed is not None:
        raise UnsupportedArchitecture(
            f"{normed.path} ({normed.family} family) normalizes the residual stream itself, so layers don't add to a logit; "
            "ALTI-Logit is for pre-norm models. Use method='decompx' for the target (without a head: VectorNorm() or a "
            "function of the output), or method='alti' without a target."
        )
    last_scope(subject)


METHOD = Method(
    name="alti_logit",
    meaning="What each layer's attention adds to a logit, tracked back to the input tokens with ALTI.",
    source="Ferrando et al. 2023 (ALTI-Logit)",
    scopes=(),
    targets="required",
    signed=True,
    exact=False,
    run=run,
    options=MappingProxyType({"rolled": True, "layers": "model"}),
    check=check,
)
