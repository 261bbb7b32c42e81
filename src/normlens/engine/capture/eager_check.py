"""The comparison of a model's eager code with the model as configured.

An analysis runs eager attention and eager experts, because only there every step is visible. The first time a model is
used, and again after it has changed, the eager output is compared with the output of the model as configured. If they
differ, the model's custom functions are kept, and followed as far as possible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel

from normlens.engine.capture.as_configured import (
    Kept,
    described,
    eager_advice,
    has_custom_functions,
    is_eager,
    keeps_attention,
    run_as_configured,
    running,
)
from normlens.engine.capture.fingerprint import state_of, state_read
from normlens.engine.capture.output_gap import gap
from normlens.engine.locks import exclusive
from normlens.engine.precision import full_precision
from normlens.engine.tolerance import tolerance
from normlens.errors import ConservationError, UnsupportedArchitecture
from normlens.memory import is_out_of_memory


@dataclass(frozen=True)
class _Comparison:
    """How a model as configured compares with its eager code.

    Attributes
    ----------
    state
        The model's :func:`state_of`; None for a submodel of the compared model.
    kept
        Which settings must be kept so that the output is the model's.
    error
        The error of the output with eager attention and eager experts, relative to its norm.
    """

    state: object
    kept: Kept
    error: float


_COMPARISONS: WeakKeyDictionary[nn.Module, _Comparison] = WeakKeyDictionary()


def compare_with_eager(model: PreTrainedModel, run: Callable[[], Any]) -> None:
    """On first use of a model, and after it has changed, determine which of its settings must be kept.

    Parameters
    ----------
    model
        The model.
    run
        Runs it, and returns tensors to compare. An error of the model as configured is not reported here: the next run
        raises it again.
    """
    state, earlier = state_read(model), _COMPARISONS.get(model)
    if state is None or earlier is None or earlier.state != state:
        _compare_with_eager(model, run)


@full_precision()
def _compare_with_eager(model: PreTrainedModel, run: Callable[[], Any]) -> None:
    with exclusive(model), torch.no_grad():
        state, earlier = state_of(model), _COMPARISONS.get(model)
        if earlier is not None and earlier.state == state:
            return
        outcome: tuple[Kept, float] = ("nothing", 0.0)
        if not is_eager(model):
            try:
                configured = run_as_configured(model, run)
            except Exception as error:
                if isinstance(error, UnsupportedArchitecture) or is_out_of_memory(error):
                    raise
                _COMPARISONS.pop(model, None)
                return
            outcome = _fewest_kept(model, run, configured)
        for submodel in (x for x in model.modules() if isinstance(x, PreTrainedModel)):
            _COMPARISONS[submodel] = _Comparison(state if submodel is model else None, *outcome)


def kept_settings(model: nn.Module) -> Kept:
    """Which settings of a model, or of a submodel, are kept."""
    return _COMPARISONS[model].kept if model in _COMPARISONS else "nothing"


def compared_state(model: nn.Module) -> object:
    """The state that a model had when it was compared; the same object until it changes."""
    return _COMPARISONS[model].state if model in _COMPARISONS else None


@contextmanager
def kept_functions_explained(model: PreTrainedModel) -> Iterator[None]:
    """Add to errors that a model's custom functions were kept, and why."""
    try:
        yield
    except (UnsupportedArchitecture, ConservationError) as error:
        keep = kept_settings(model)
        if keep == "nothing" or " is set to " in str(error):
            raise
        raise type(error)(
            f"{error} The model is set to {described(model, keep)}, which was kept: with its eager code it gives a "
            f"different output, off by {_COMPARISONS[model].error:.1e} of its norm. {eager_advice(model, keep)}"
        ) from error


def require_eager_attention(model: PreTrainedModel, purpose: str) -> None:
    """Refuse a model whose attention function gives a different output than its eager attention.

    Parameters
    ----------
    model
        A model that was compared.
    purpose
        What needs eager attention, as a clause.

    Raises
    ------
    UnsupportedArchitecture
        Naming the function and the error of the output.
    """
    keep = kept_settings(model)
    if keeps_attention(model, keep):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} is set to {described(model, keep)}, which gives a different output than its eager "
            f"attention (off by {_COMPARISONS[model].error:.1e} of its norm); {purpose}. {eager_advice(model, keep)}"
        )


def output_tolerance(model: PreTrainedModel) -> float:
    """The tolerance between two outputs of a model: larger where kernels other than the eager code run."""
    other_kernels = not is_eager(model) and not has_custom_functions(model)
    return tolerance(model.dtype, "other operations" if other_kernels else "same operations")


def _fewest_kept(model: PreTrainedModel, run: Callable[[], Any], configured: Any) -> tuple[Kept, float]:
    """The fewest settings to keep so that the output is the model's, and its error if none is kept."""
    error = None
    levels: tuple[Kept, ...] = get_args(Kept)
    for keep in levels:
        with running(model, keep):
            distance = gap(run(), configured)
        error = distance if error is None else error
        if distance <= output_tolerance(model):
            return keep, error
    raise UnsupportedArchitecture(
        f"{type(model).__name__}, set to {described(model)}, gives a different output each time it runs (off by "
        f"{distance:.1e} of its norm), so a result would hold for one run only. Switch off whatever draws random numbers "
        "in it."
    )
