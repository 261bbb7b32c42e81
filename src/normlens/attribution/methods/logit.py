"""Direct logit attribution: what each block of a pre-norm model writes straight to a logit (Elhage 2021, Ferrando 2023).

The residual stream at the last layer is a sum: the embedding, and what every attention and feed-forward block added. With
the final norm's σ held fixed, a logit is linear in that sum, so each term has its share; an attention block's share splits
further over the sources. Effects of a term through later layers are not followed; DecompX does that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from normlens.analysis.visit import BlockVectors
from normlens.attribution.arrays import Attribution, joined_labels
from normlens.attribution.maps.layer_paths import last_layer
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.attribution.targets.resolve import resolve
from normlens.attribution.targets.scalars import BatchTarget
from normlens.engine.frozen.call import Product
from normlens.engine.frozen.directions import Backward
from normlens.engine.frozen.run import frozen_run
from normlens.engine.frozen.scalar import require
from normlens.engine.frozen.sites import Site
from normlens.engine.precision import double
from normlens.errors import UnsupportedArchitecture
from normlens.inputs.tokens import Tokens

_NAMES = {"cross": "cross-attention"}


@dataclass
class _Stream:
    """The residual stream, read along a direction while the model runs."""

    direction: Float[Tensor, "batch target d"]
    end: Float[Tensor, "batch target"]
    ends_at: str
    reached: Float[Tensor, "batch target"] | None = None
    layer: int = -1
    components: list[tuple[str, int]] = field(default_factory=list)
    written: list[Float[Tensor, "batch target source"]] = field(default_factory=list)
    bias: Tensor | float = 0.0

    def block(self, block: BlockVectors) -> None:
        """Record an attention block: what the stream gained since the previous one, and what the block adds."""
        if block.group == "encoder" and self.ends_at != "encoder":
            return
        targets = slice(0, self.direction.shape[1])
        own = block.own(targets)
        assert own is not None
        if own.shape != self.direction.shape:
            raise UnsupportedArchitecture(
                f"{block.anatomy.path}: its residual stream has shape {tuple(own.shape)}, but the last layer returns "
                f"{tuple(self.direction.shape)}. Nothing writes from one to the other directly; use method='decompx'."
            )
        self.add_own((self.direction * own).sum(-1), block.layer)
        self.components.append((f"{_NAMES.get(block.group, 'attention')} {block.layer}", block.layer))
        self.written.append(block.along(self.direction))
        self.bias = self.bias + (self.direction * block.bias(targets)).sum(-1)
        self.reached = (self.direction * block.output(targets)).sum(-1)
        self.layer = block.layer

    def add_own(self, here: Float[Tensor, "batch target"], next_layer: int | None) -> None:
        """Record what the stream gained since it was last read: the embedding first, then feed-forward blocks."""
        if self.reached is not None and next_layer == self.layer:
            self.bias = self.bias + here - self.reached  # between self- and cross-attention: nothing except rounding
            return
        gained = here if self.reached is None else here - self.reached
        name = "embedding" if self.reached is None else f"feedforward {self.layer}"
        self.components.append((name, self.layer))
        self.written.append(torch.diag_embed(gained))


def run(subject: Subject, request: Request) -> list[Attribution]:
    """Signed shares, ``(component, source)``; a feed-forward block's and the embedding's are at the target itself."""
    target = resolve(subject, request)
    subject = target.subject
    site, group = _last_layer(subject)
    value, direction, end = _gradient(target, site, request.product)
    stream = _Stream(direction, (direction * end).sum(-1), group)
    subject.visit("residual", stream.block)
    stream.add_own(stream.end, None)
    return [_result(target, stream, value, text) for text in range(len(subject))]


def _last_layer(subject: Subject) -> tuple[Site, str]:
    """The output of the last layer, which the head reads, and the kind of attention in that layer.

    Raises
    ------
    UnsupportedArchitecture
        If the residual stream isn't a plain sum there: post-norm models.
    """
    blocks = list(subject.inspector.blocks(subject.examples[0]))
    wanted = {"decoder", "cross"} if subject.is_encoder_decoder else {name for name, _, _ in blocks}
    read = [(group, block) for group, _, block in blocks if group in wanted]
    for _, block in read:
        if block.family in ("post-norm", "bare"):
            after = "its output passes more norms before the head" if block.family == "post-norm" else block.obstacle
            raise UnsupportedArchitecture(
                f"{block.path} is of the {block.family} family: {after}, so it doesn't write to the logit directly. "
                "Use method='decompx', which follows contributions through the whole model."
            )
    group, _ = read[-1]
    return last_layer(subject.model, subject.inspector.inspection(subject.examples[0]).layout, group), group


def _gradient(target: BatchTarget, site: Site, product: Product) -> tuple[Tensor, Tensor, Tensor]:
    """The target's value, its frozen gradient at a site, and the hidden states there."""
    subject, direction = target.subject, Backward(len(target.subject))
    run = frozen_run(subject.model, direction, batch=len(subject), product=product, sources=site)
    with torch.enable_grad(), run as frozen:
        value = frozen.read(subject.inputs, target.linear)
    (gradient,) = torch.autograd.grad(value, direction.leaves, torch.ones_like(value))
    wide = torch.promote_types(gradient.dtype, torch.float32)
    return double(value.detach()), gradient.to(wide), direction.groups[0].value.to(wide)


def _result(target: BatchTarget, stream: _Stream, value: Tensor, text: int) -> Attribution:
    subject, example = target.subject, target.subject.examples[text]
    read = subject.read(text) or example.label(stream.direction.shape[1])
    sides: list[tuple[str, Tokens]] = [("source", read)]
    if example.target is not None and example.source is not None:
        sides = [("source", example.source), ("target", read)]
    columns = [
        _columns(name, double(x[text]).sum(0), sides)
        for (name, _), x in zip(stream.components, stream.written, strict=True)
    ]
    shares = torch.stack(columns)
    assert isinstance(stream.bias, Tensor)
    bias = float(double(stream.bias[text]).sum() + value[text] - double(stream.end[text]).sum())
    gap = abs(float(shares.sum() + bias - value[text]))
    scale = float(shares.abs().sum()) + abs(bias)
    remainder, error = float(target.remainder[text]), gap / scale if scale else 0.0
    require(subject.model, "the sum of all shares and biases, and the target,", error)
    attrs: dict[str, Any] = {
        "target": target.names[text],
        "value": float(value[text]) + remainder,
        "bias_share": bias,
        "conservation_error": error,
        "rule": "direct path: final norm with its σ held fixed, then the head; biases of attention belong to no source",
        "linear_form": "exact" if target.is_linear_for(text) else "local, at the output",
        "remainder": remainder,
    }
    coords = {
        "component": [name for name, _ in stream.components],
        "component_layer": ("component", np.array([layer for _, layer in stream.components])),
        **joined_labels(sides),
    }
    return Attribution(shares.cpu().numpy(), dims=("component", "source"), coords=coords, attrs=attrs, name="share")


def _columns(name: str, written: Tensor, sides: list[tuple[str, Tokens]]) -> Tensor:
    """The contributions of one component, over the sources of both texts."""
    reads = "source" if name.startswith("cross") or len(sides) == 1 else "target"
    columns = [written[: len(t)] if side == reads else written.new_zeros(len(t)) for side, t in sides]
    return torch.cat(columns)


METHOD = Method(
    name="logit",
    meaning="What the embedding, each attention block (by source) and each feed-forward block write straight to a logit.",
    source="Elhage et al. 2021; Ferrando et al. 2023",
    scopes=(),
    targets="required",
    signed=True,
    exact=True,
    run=run,
)
