"""How a model's attention is captured: through transformers' interface, or by observing eager attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.as_configured import described, has_custom_functions, running
from normlens.engine.capture.eager_check import output_tolerance
from normlens.engine.capture.interface import (
    AttentionCall,
    asks_for_eager,
    attention_implementation,
    capturing,
    has_interface,
)
from normlens.engine.capture.output_gap import gap
from normlens.engine.capture.softmax import observing
from normlens.engine.capture.trees import first_tensor
from normlens.engine.precision import at_least_float32
from normlens.engine.tolerance import tolerance
from normlens.errors import ConservationError, ModelError, NoAttentionCaptured, OutputMismatch, UnsupportedArchitecture
from normlens.loading.quantized import quantization_explained

Result = TypeVar("Result")


class AttentionObserver(Protocol):
    """Receives attention calls as a model runs."""

    def capture(self, call: AttentionCall) -> None:
        """Receive an attention call."""

    def miss(self, module: nn.Module) -> None:
        """Note an attention module that computed a softmax, but no recognized product of it with value vectors."""


CaptureMethod = Callable[[PreTrainedModel, AttentionObserver, int | None], AbstractContextManager[None]]
"""Takes a model, the observer of its attention calls, and a chunk size; captures while its context lasts."""


@contextmanager
def through_interface(model: PreTrainedModel, observer: AttentionObserver, chunk_size: int | None) -> Iterator[None]:
    """Capture through transformers' attention interface."""
    with capturing(model, observer.capture, chunk_size):
        yield


@contextmanager
def by_observation(model: PreTrainedModel, observer: AttentionObserver, chunk_size: int | None) -> Iterator[None]:
    """Capture by observing the model's own eager attention."""
    if chunk_size is not None:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} computes attention inside its own modules, for all targets at once; it can't run "
            "in chunks. Omit chunk_size."
        )
    with attention_implementation(model, "eager"), observing(model, observer.capture, observer.miss):
        yield


@contextmanager
def by_observation_of_custom_functions(
    model: PreTrainedModel, observer: AttentionObserver, chunk_size: int | None
) -> Iterator[None]:
    """Capture by observing the user's own functions where the model is set to them, and eager attention elsewhere."""
    if chunk_size is not None:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} is set to {described(model, 'custom')}, which takes all targets at once; it can't run "
            "in chunks. Omit chunk_size."
        )
    with running(model, "custom"), observing(model, observer.capture):
        yield


def first_working_method(
    model: PreTrainedModel, inspect: Callable[[CaptureMethod], Result]
) -> tuple[CaptureMethod, Result]:
    """The first capture method with which a model can be inspected, and the result of that inspection.

    Parameters
    ----------
    model
        The model.
    inspect
        Inspects the model with a capture method, or refuses it.

    Raises
    ------
    UnsupportedArchitecture
        With the first reason, if no method works. If the eager attention gives a different output than the custom functions
        that the model is set to, also with the reason why those can't be followed.
    ConservationError
        Likewise.
    """
    through = has_interface(model) and not asks_for_eager(model)
    refusals: list[UnsupportedArchitecture | ConservationError] = []
    for method in [through_interface, by_observation] if through else [by_observation]:
        try:
            with quantization_explained(model):
                return method, inspect(method)
        except (UnsupportedArchitecture, ConservationError) as refusal:
            refusals.append(refusal)
    first = next((refusal for refusal in refusals if not isinstance(refusal, NoAttentionCaptured)), refusals[0])
    if isinstance(refusals[0], OutputMismatch) and has_custom_functions(model):
        try:
            return by_observation_of_custom_functions, inspect(by_observation_of_custom_functions)
        except (UnsupportedArchitecture, ConservationError) as refusal:
            raise type(refusal)(f"{refusals[0]} Its custom functions can't be followed either: {refusal}") from refusal
    raise first


def require_same_output(unobserved: Any, observed: Any, model: PreTrainedModel) -> None:
    """Refuse a model whose output changes when its attention is captured.

    Raises
    ------
    ModelError
        If the model's own output isn't finite.
    OutputMismatch
        With the relative difference of its first output, and the attention that the model is set to.
    """
    one, other = _first_output(unobserved), _first_output(observed)
    if not bool(one.isfinite().all()):
        raise ModelError(
            f"{type(model).__name__} itself gives {int((~one.isfinite()).sum())} values that are not finite (of "
            f"{one.numel()}). It ran unmodified, before anything was measured. Its weights or its config may be broken, or "
            f"{str(one.dtype).removeprefix('torch.')} may be too narrow for it."
        )
    off = gap(other, one)
    if off <= output_tolerance(model):
        return
    if chosen := described(model):
        raise OutputMismatch(
            f"{type(model).__name__} is set to {chosen}. With eager attention, which can be captured, it gives a different "
            f"output, off by {off:.1e} of its norm (inf: it isn't finite). To analyze the eager model, call "
            "model.set_attn_implementation('eager')."
        )
    raise OutputMismatch(
        f"{type(model).__name__} gives a different output when its attention is captured: off by {off:.1e} of its "
        "norm (inf: it isn't finite). Its code may depend on the name of the attention implementation, its weights may "
        "be broken, or it may draw random numbers."
    )


def require_deterministic(one: Any, other: Any, model: PreTrainedModel) -> None:
    """Refuse a model whose output depends on the random seed.

    Parameters
    ----------
    one, other
        Its outputs with two random seeds.
    model
        The model, in evaluation mode.

    Raises
    ------
    UnsupportedArchitecture
        Because a result would hold for one run only.
    """
    first, second = _first_output(one), _first_output(other)
    if first.shape == second.shape and torch.isfinite(first).all():
        off = float((first - second).norm() / first.norm().clamp_min(torch.finfo(first.dtype).tiny))
        if off <= tolerance(model.dtype, "other operations"):
            return
    elif first.shape == second.shape:
        return  # non-finite outputs are refused by the comparison that follows, with a better reason
    raise UnsupportedArchitecture(
        f"{type(model).__name__} draws random numbers that change its output (such as a random mask), so a result would "
        "hold for one draw only. Pass what it draws as an input, or switch it off in its config (for example mask_ratio)."
    )


def _first_output(output: Any) -> Tensor:
    tensor = first_tensor(output)
    if tensor is None:
        raise UnsupportedArchitecture(f"The model returned a {type(output).__name__} without a floating-point tensor.")
    return at_least_float32(tensor)
