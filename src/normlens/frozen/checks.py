"""The checks of a frozen model, none sufficient alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from normlens.frozen.pullback import split
from normlens.frozen.pushforward import DEFAULT_CHUNK, Push
from normlens.frozen.rules import Product
from normlens.frozen.running import Site
from normlens.frozen.tolerance import Scalar, plain_value, tolerance


@dataclass(frozen=True)
class Check:
    """How well the frozen model accounts for a scalar; all errors are relative to Σ|shares| + |bias share|.

    Attributes
    ----------
    value_error
        Frozen against unfrozen value.
    conservation_error
        Shares and derivatives with respect to biases, added up, against the value.
    direction_gap
        The largest difference between a share that was pulled back and the same share pushed forward.
    source_share
        Σ|shares| / (Σ|shares| + |bias share|): zero if nothing reaches the sources.
    tolerance
        The errors that rounding explains in this model.
    """

    value_error: float
    conservation_error: float
    direction_gap: float
    source_share: float
    tolerance: float

    def failures(self) -> list[str]:
        """The names of the checks that fail."""
        errors = {
            "value": self.value_error,
            "conservation": self.conservation_error,
            "directions": self.direction_gap,
        }
        failed = [name for name, error in errors.items() if not error <= self.tolerance]
        return failed + ([] if self.source_share > self.tolerance else ["sources"])


def check(
    model: PreTrainedModel,
    inputs: Mapping[str, Any],
    scalar: Scalar,
    *,
    chunk_size: int = DEFAULT_CHUNK,
    product: Product = "half",
    sources: str | Site | None = None,
) -> Check:
    """Account for a scalar in both directions and compare; parameters are those of :func:`normlens.frozen.pull_back`.

    Raises
    ------
    UnknownOperation
        If the model does something to a live tensor that is not on the closed list.
    """
    back = split(model, inputs, scalar, product=product, sources=sources)
    push = Push(model, inputs, scalar, chunk_size=chunk_size, product=product, sources=sources)
    forward = torch.cat([chunk.vectors for chunk in push], dim=1).double()
    scale = back.scale
    return Check(
        value_error=float(((back.value - plain_value(model, inputs, scalar)).abs() / scale).max()),
        conservation_error=back.conservation_error,
        direction_gap=float(((back.shares - forward).abs().amax(1) / scale).max()),
        source_share=float((back.shares.abs().sum(1) / scale).min()),
        tolerance=tolerance(model),
    )
