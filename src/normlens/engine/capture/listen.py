"""The two ways to listen to a model's attention, through transformers' interface or by observing eager attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.as_set import allowance, described, gap, is_foreign, running
from normlens.engine.capture.attention import (
    AttentionCall,
    asks_for_eager,
    attention_implementation,
    capturing,
    has_interface,
)
from normlens.engine.capture.softmax import observing
from normlens.engine.tolerance import tolerance
from normlens.errors import ConservationError, NoAttentionCaptured, OutputMismatch, UnsupportedArchitecture
from normlens.loading.quantized import quantization_explained

Result = TypeVar("Result")


class Listener(Protocol):
    """Who is told of attention calls as a model runs."""

    def hear(self, call: AttentionCall) -> None:
        """Take an attention call."""

    def miss(self, module: nn.Module) -> None:
        """Take note of an attention module whose softmax led to no product that was recognized."""


Listening = Callable[[PreTrainedModel, Listener, int | None], AbstractContextManager[None]]
"""Takes a model, who listens, and a chunk size."""


@contextmanager
def through_interface(model: PreTrainedModel, listener: Listener, chunk_size: int | None) -> Iterator[None]:
    """Listen through transformers' attention interface."""
    with capturing(model, listener.hear, chunk_size):
        yield


@contextmanager
def by_observation(model: PreTrainedModel, listener: Listener, chunk_size: int | None) -> Iterator[None]:
    """Listen by observing the model's own eager attention."""
    if chunk_size is not None:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} computes attention inside its own modules, all targets at once; it can't be run in "
            "chunks. Leave chunk_size out."
        )
    with attention_implementation(model, "eager"), observing(model, listener.hear, listener.miss):
        yield


@contextmanager
def by_observation_as_set(model: PreTrainedModel, listener: Listener, chunk_size: int | None) -> Iterator[None]:
    """Listen by observing the functions of the user's own that the model is set to, and eager attention elsewhere."""
    if chunk_size is not None:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} is set to {described(model, 'own')}, which takes all targets at once; it can't be run "
            "in chunks. Leave chunk_size out."
        )
    with running(model, "own"), observing(model, listener.hear):
        yield


def first_way_that_holds(model: PreTrainedModel, inspect: Callable[[Listening], Result]) -> tuple[Listening, Result]:
    """The first way to listen to a model in which it can be inspected, and what is found so.

    Parameters
    ----------
    model
        The model.
    inspect
        Looks at the model in a way, or refuses it.

    Raises
    ------
    UnsupportedArchitecture
        With the first reason, if the model can't be inspected; and why not as it is set, where that is another model.
    ConservationError
        Likewise.
    """
    through = has_interface(model) and not asks_for_eager(model)
    refusals: list[UnsupportedArchitecture | ConservationError] = []
    for way in [through_interface, by_observation] if through else [by_observation]:
        try:
            with quantization_explained(model):
                return way, inspect(way)
        except (UnsupportedArchitecture, ConservationError) as refusal:
            refusals.append(refusal)
    first = next((refusal for refusal in refusals if not isinstance(refusal, NoAttentionCaptured)), refusals[0])
    if isinstance(refusals[0], OutputMismatch) and is_foreign(model):
        try:
            return by_observation_as_set, inspect(by_observation_as_set)
        except (UnsupportedArchitecture, ConservationError) as refusal:
            raise type(refusal)(f"{refusals[0]} As it is set it can't be followed: {refusal}") from refusal
    raise first


def require_same_output(untouched: Any, watched: Any, model: PreTrainedModel) -> None:
    """Refuse a model that gives something else when it is listened to.

    Raises
    ------
    OutputMismatch
        With how far off its first output is, and what the model is set to.
    """
    one, other = _first_tensor(untouched), _first_tensor(watched)
    off = gap(other, one)
    if bool(one.isfinite().all()) and off <= allowance(model):
        return
    if chosen := described(model):
        raise OutputMismatch(
            f"{type(model).__name__} is set to {chosen}; listened to in eager attention it gives another output, "
            f"off by {off:.1e} of its length (inf: it isn't finite at all). If that is what you ask about, call "
            "model.set_attn_implementation('eager')."
        )
    raise OutputMismatch(
        f"{type(model).__name__} gives another output when its attention is listened to: off by {off:.1e} of its "
        "length (inf: it isn't finite at all). Its code may ask which attention implementation runs, its weights may "
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
        off = float((first - second).norm() / first.norm().clamp_min(torch.finfo(first.dtype).tiny))
        if off <= tolerance(model.dtype, "other operations"):
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
