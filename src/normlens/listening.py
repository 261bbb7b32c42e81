"""The two ways to listen to a model's attention, through transformers' interface or by observing eager attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from normlens.capture import attention_implementation, capturing
from normlens.errors import UnsupportedArchitecture
from normlens.observing import observing
from normlens.tolerance import tolerance
from normlens.tracing import Tracer

Listening = Callable[[PreTrainedModel, Tracer, int | None], AbstractContextManager[None]]
"""Takes a model, the tracer that listens, and a chunk size."""


@contextmanager
def through_interface(model: PreTrainedModel, tracer: Tracer, chunk_size: int | None) -> Iterator[None]:
    """Listen through transformers' attention interface."""
    with capturing(model, tracer.hear, chunk_size):
        yield


@contextmanager
def by_observation(model: PreTrainedModel, tracer: Tracer, chunk_size: int | None) -> Iterator[None]:
    """Listen by observing the model's own eager attention."""
    if chunk_size is not None:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} computes attention inside its own modules, all targets at once; it can't be run in "
            "chunks. Leave chunk_size out."
        )
    with attention_implementation(model, "eager"), observing(model, tracer.hear, tracer.miss):
        yield


def require_same_output(untouched: Any, watched: Any, model: PreTrainedModel) -> None:
    """Refuse a model that gives something else when it is listened to.

    Raises
    ------
    UnsupportedArchitecture
        With how far off its first output is.
    """
    one, other = _first_tensor(untouched), _first_tensor(watched)
    gap = float((one - other).norm() / one.norm().clamp_min(torch.finfo(one.dtype).tiny))
    if not gap <= tolerance(model.dtype):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} gives another output when its attention is listened to: off by {gap:.1e} of its "
            "length (nan: it isn't finite at all). Its code may ask which attention implementation runs, its weights may "
            "be broken, or it may draw random numbers."
        )


def require_no_chance(one: Any, other: Any, model: PreTrainedModel) -> None:
    """Refuse a model that gives something else with other random numbers.

    Parameters
    ----------
    one, other
        What it gave, with different seeds.
    model
        The model, in evaluation mode.

    Raises
    ------
    UnsupportedArchitecture
        Since nobody could tell which of its runs was analysed.
    """
    first, second = _first_tensor(one), _first_tensor(other)
    if first.shape == second.shape and torch.isfinite(first).all():
        gap = float((first - second).norm() / first.norm().clamp_min(torch.finfo(first.dtype).tiny))
        if gap <= tolerance(model.dtype, "other operations"):
            return
    elif first.shape == second.shape:
        return  # what isn't finite is refused by the comparison that follows, with a better reason
    raise UnsupportedArchitecture(
        f"{type(model).__name__} draws random numbers that change its output (a random mask or a random text), so that its "
        "numbers are of one draw. Give it what it draws, or switch that off in its config (mask_ratio, say)."
    )


def _first_tensor(output: Any) -> Tensor:
    values = output.to_tuple() if hasattr(output, "to_tuple") else output
    while not isinstance(values, Tensor):
        values = values[0]
    return values if values.dtype == torch.float64 else values.float()
