"""Checks of a frozen model, none of them sufficient alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from normlens.engine.frozen.call import Product
from normlens.engine.frozen.directions import Forward, tangent
from normlens.engine.frozen.pullback import split
from normlens.engine.frozen.run import frozen_run
from normlens.engine.frozen.scalar import Scalar, plain_value
from normlens.engine.frozen.sites import Site
from normlens.engine.locks import dual_level
from normlens.engine.precision import double, full_precision
from normlens.engine.tolerance import tolerance


@dataclass(frozen=True)
class Check:
    """How well the frozen model accounts for a scalar; all errors are relative to Σ|shares| + |bias share|.

    Attributes
    ----------
    value_error
        Frozen against unfrozen value.
    conservation_error
        The sum of shares and bias derivatives against the value; the largest of any row.
    direction_gap
        Σ_j r_j share_j for random r_j: from the pulled-back shares, against the same sum pushed forward.
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


@full_precision()
def check(
    model: PreTrainedModel,
    inputs: Mapping[str, Any],
    scalar: Scalar,
    *,
    product: Product = "half",
    sources: str | Site | None = None,
) -> Check:
    """Split a scalar in both directions and compare; parameters are those of :func:`normlens.engine.frozen.pull_back`.

    Raises
    ------
    UnknownOperation
        If the model applies an operation to a live tensor that is not on the closed list.
    InvalidInput
        As :func:`normlens.engine.frozen.pull_back`.
    """
    back = split(model, inputs, scalar, product=product, sources=sources)
    mixture = torch.rand(back.shares.shape[1], generator=torch.Generator().manual_seed(0)).to(model.device) * 2 - 1
    factors = mixture.split([count for _, count in back.groups])
    direction = Forward(lambda group, x: x * factors[group].to(x.dtype)[:, None])
    with (
        torch.no_grad(),
        frozen_run(model, direction, batch=len(back.shares), product=product, sources=sources) as run,
        dual_level(),
    ):
        forward = tangent(run.read(inputs, scalar))
    gap = back.shares @ double(mixture) - (0 if forward is None else double(forward))
    scale = back.scale
    return Check(
        value_error=float(((back.value - plain_value(model, inputs, scalar)).abs() / scale).max()),
        conservation_error=back.largest_conservation_error,
        direction_gap=float((gap.abs() / scale).max()),
        source_share=float((back.shares.abs().sum(1) / scale).min()),
        tolerance=tolerance(model.dtype),
    )
