"""Maps computed from contribution vectors, block by block while the model runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from normlens.analysis.visit import BlockVectors
from normlens.attribution.maps.layer_maps import Maps
from normlens.attribution.subject import Subject
from normlens.engine.contributions.vector_norms import conservation_error
from normlens.engine.tolerance import tolerance
from normlens.engine.tracing.scopes import AttentionScope
from normlens.errors import ConservationError, UnsupportedArchitecture

Measure = Callable[[Tensor, Tensor, Tensor, slice], tuple[Tensor, Tensor]]
"""Takes contributions ``(batch, target, source, d)``, own vectors and the block's output ``(batch, target, d)`` of a slice
of targets, and the slice; returns numbers of sources ``(batch, target, source)`` and own vectors ``(batch, target)``."""


def last_scope(subject: Subject) -> AttentionScope:
    """The last scope of all attention blocks: after the residual sum, and after its norm if one follows.

    Raises
    ------
    UnsupportedArchitecture
        If some block's contributions can't be followed to the residual stream.
    """
    example = subject.examples[0]
    if all("layernorm" in block.scopes for _, _, block in subject.inspector.blocks(example)):
        return "layernorm"
    subject.inspector.require_scope(example, "residual")
    return "residual"


def slices(vectors: BlockVectors, chunk_size: int) -> Iterator[slice]:
    """The block's targets, ``chunk_size`` at a time."""
    targets = vectors.block.call.output.shape[1]
    for start in range(0, targets, chunk_size):
        yield slice(start, min(start + chunk_size, targets))


class Collected:
    """The maps of a batch, collected layer by layer while the model runs; each text gets those of its own positions.

    Parameters
    ----------
    subject
        The batch, padded on the right.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._maps: dict[str, dict[int, tuple[str, Tensor, Tensor | None]]] = {}
        self._errors: dict[int, list[float]] = {text: [] for text in range(len(subject))}

    def measure(self, vectors: BlockVectors, chunk_size: int, measure: Measure) -> None:
        """Add a block's map, computed from its contribution vectors ``chunk_size`` targets at a time, if these add up.

        Raises
        ------
        ConservationError
            If they don't.
        """
        measured, errors = [], []
        for targets in slices(vectors, chunk_size):
            contributions, own, output = vectors.vectors(targets), vectors.own(targets), vectors.output(targets)
            assert own is not None
            total = contributions.sum(2) + vectors.bias(targets)
            errors.append(conservation_error(total + own if vectors.block.cross else total, output))
            measured.append(measure(contributions, own, output, targets))
        maps, owns = (torch.cat(x, dim=1) for x in zip(*measured, strict=True))
        path = vectors.block.path
        self.add(vectors.group, vectors.layer, path, maps, owns if vectors.block.cross else None)
        self._require_conserved(vectors, torch.cat(errors, dim=1))

    def add(
        self,
        group: str,
        layer: int,
        path: str,
        maps: Float[Tensor, "batch target source"],
        own: Float[Tensor, "batch target"] | None = None,
    ) -> None:
        """Add one block's map, and in cross-attention what its targets keep of their own vector.

        Raises
        ------
        UnsupportedArchitecture
            If the block attends within windows of a text.
        """
        if len(maps) != len(self._subject):
            raise UnsupportedArchitecture(
                f"{path} attends within {len(maps)} windows of {len(self._subject)} input(s); maps are rolled out over "
                "whole sequences only."
            )
        self._maps.setdefault(group, {})[layer] = path, maps.cpu().double(), None if own is None else own.cpu().double()

    def _require_conserved(self, vectors: BlockVectors, errors: Float[Tensor, "batch target"]) -> None:
        dtype = vectors.block.call.value.dtype
        limit = tolerance(dtype, "other operations")
        side, _ = _sides(vectors.group, self._subject.is_encoder_decoder)
        for text, largest_errors in self._errors.items():
            largest = float(errors[text, : self._length(text, side)].max())
            if not largest <= limit:
                raise ConservationError(
                    f"{vectors.block.path}: at scope {vectors.scope!r} the contributions miss the module's output by "
                    f"{largest:.1e} of its norm; at most {limit:.0e} is accepted for a {dtype} model. The numbers are "
                    "withheld; please report the model type."
                )
            largest_errors.append(largest)

    def of_text(self, text: int) -> Maps:
        """The maps of one text, without its padding."""
        groups, paths, owns = {}, {}, None
        for group, layers in self._maps.items():
            blocks = [layers[layer] for layer in sorted(layers)]
            targets, sources = (self._length(text, side) for side in _sides(group, self._subject.is_encoder_decoder))
            groups[group] = np.stack([maps[text, :targets, :sources].numpy() for _, maps, _ in blocks])
            paths[group] = [path for path, _, _ in blocks]
            if group == "cross":
                owns = np.stack([own[text, :targets].numpy() for _, _, own in blocks if own is not None])
        return Maps(groups, paths, owns, max(self._errors[text], default=math.nan))

    def _length(self, text: int, side: str) -> int | None:
        example = self._subject.examples[text]
        tokens = example.target if side == "target" else example.source
        return None if tokens is None else len(tokens)


def _sides(group: str, is_encoder_decoder: bool) -> tuple[str, str]:
    """The sides that the targets and the sources of a group's blocks belong to."""
    if not is_encoder_decoder or group.startswith("encoder"):
        return "source", "source"
    return "target", "target" if group.startswith("decoder") else "source"
