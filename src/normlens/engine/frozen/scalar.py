"""A scalar of the model's output: its value in the unfrozen model, and the checks of its shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from normlens.engine.capture.eager_check import compared_state
from normlens.engine.frozen.settings import plain_settings
from normlens.engine.precision import double, full_precision
from normlens.engine.tolerance import tolerance
from normlens.errors import ConservationError

Scalar = Callable[[Any], Float[Tensor, " batch"]]

_VALUES_CHECKED: WeakKeyDictionary[PreTrainedModel, object] = (
    WeakKeyDictionary()
)  # the model's state when it was checked


def require(model: PreTrainedModel, what: str, error: float) -> None:
    """Raise if ``error`` exceeds ten times the tolerance, or isn't a number.

    Raises
    ------
    ConservationError
        Naming the model, what was compared, and the gap.
    """
    allowed = tolerance(model.dtype, "other operations")
    if not error <= allowed:
        raise ConservationError(
            f"{type(model).__name__}: {what} differ by {error:.1e}, relative to their size; at most {allowed:.0e} is "
            f"accepted for a {model.dtype} model. The numbers are withheld. Check that the model is in evaluation mode and "
            "has no random or custom operations, or load it in float32."
        )


def require_sources(model: PreTrainedModel, shares: Tensor) -> None:
    """Raise if shares aren't finite, or all of a text's are zero: then no operations lead from its sources to the scalar.

    Parameters
    ----------
    model
        The model.
    shares
        The shares of every text, or their norms, ``(batch, ...)``.

    Raises
    ------
    ConservationError
        Because they aren't numbers, or everything would be attributed to biases.
    """
    if not bool(shares.isfinite().all()):
        raise ConservationError(
            f"{type(model).__name__}: {int((~shares.isfinite()).sum())} of {shares.numel()} shares are not finite. The "
            "model's own output may not be finite either: its weights or its config may be broken, or its dtype too narrow."
        )
    if not bool(shares.flatten(1).any(1).all()):
        raise ConservationError(
            f"{type(model).__name__}: every source has a share of exactly zero, so everything would be attributed to "
            "biases. No source reaches the output that is explained, or its weights are all zero. Choose another output."
        )


@full_precision()
def plain_value(model: PreTrainedModel, inputs: Mapping[str, Any], scalar: Scalar) -> Float[Tensor, " batch"]:
    """The scalar of the unfrozen model."""
    with torch.no_grad(), plain_settings(model):
        return double(scalar(model(**inputs)))


def check_value_once(
    model: PreTrainedModel,
    inputs: Mapping[str, Any],
    scalar: Scalar,
    value: Float[Tensor, " batch"],
    scale: Float[Tensor, " batch"],
) -> None:
    """On first use of ``model``, and after a change, compare ``value`` with the unfrozen model's, relative to ``scale``."""
    state = compared_state(model)
    if state is None or _VALUES_CHECKED.get(model) is not state:
        gap = (value - plain_value(model, inputs, scalar)).abs() / scale
        require(model, "the values of the frozen and of the unfrozen model", float(gap.max()))
        _VALUES_CHECKED[model] = state
