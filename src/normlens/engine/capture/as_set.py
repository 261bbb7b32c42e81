"""The model as it is set: with the attention and expert implementations that its user chose, possibly custom functions.

An analysis runs eager attention and eager experts, because only there every step is visible. The first time a model is
used, and again after it has changed, the eager output is compared with that of the model as it is set. If they differ, the
model's own functions are kept, and followed as far as possible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.utils.generic import is_flash_attention_requested

from normlens.engine.capture.fingerprint import state_of, state_read
from normlens.engine.locks import exclusive
from normlens.engine.precision import full_precision
from normlens.engine.tolerance import tolerance
from normlens.errors import ConservationError, NormLensError, UnsupportedArchitecture
from normlens.loading.configs import (
    ATTENTION,
    ATTENTION_OUTPUT,
    CACHE,
    EXPERTS,
    NAMED_OUTPUT,
    configs_of,
    implementation_of,
    settings_of_this_thread,
)
from normlens.memory import is_out_of_memory

Kept = Literal["nothing", "own", "all"]
"""Which of a model's settings are kept: none (all eager), functions that aren't transformers' own, or all."""

_SETTERS = {ATTENTION: "attn", EXPERTS: "experts"}
_WORDS = {ATTENTION: "attention", EXPERTS: "experts"}
_ATTENTION_FUNCTIONS = AttentionInterface()
_EAGER = (None, "eager")

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Comparison:
    """How a model as it is set compares with its eager code.

    Attributes
    ----------
    state
        The model's :func:`state_of`; None for a submodel of the compared model.
    kept
        Which settings have to be kept so that the output is the model's.
    off
        The error of the output with eager attention and eager experts, relative to its norm.
    """

    state: object
    kept: Kept
    off: float


_COMPARISONS: WeakKeyDictionary[nn.Module, _Comparison] = WeakKeyDictionary()


@contextmanager
def running(model: PreTrainedModel, keep: Kept) -> Iterator[None]:
    """Run a model in this thread with eager attention and experts, except for ``keep``: named outputs, no cache."""
    with exclusive(model):
        changes: list[tuple[Any, str, Any]] = []
        for config in configs_of(model):
            for setting, name in _implementations(config):
                changes.append((config, setting, name if _stays(setting, name, keep) else "eager"))
            plain = {CACHE: False, NAMED_OUTPUT: True, ATTENTION_OUTPUT: False}
            changes += [(config, name, value) for name, value in plain.items() if hasattr(config, name)]
        with settings_of_this_thread(changes):
            yield


def run_as_set(model: PreTrainedModel, run: Callable[[], Result]) -> Result:
    """The result of ``run`` with the model as it is set, or with eager attention if a kernel can't run here.

    Raises
    ------
    UnsupportedArchitecture
        If a custom function fails.
    """
    try:
        with running(model, "all"):
            return run()
    except Exception as error:
        if isinstance(error, NormLensError) or is_out_of_memory(error) or is_eager(model):
            raise
        failure = error
    try:
        with running(model, "nothing"):
            result = run()
    except Exception:
        raise failure from None
    if is_foreign(model):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} is set to {described(model)}, which fails ({type(failure).__name__}: {failure}); "
            f"its eager code runs without error. {_advice(model, 'all')}"
        ) from failure
    return result


def settle(model: PreTrainedModel, run: Callable[[], Any]) -> None:
    """On first use of a model, and after it has changed, determine which of its settings have to be kept.

    Parameters
    ----------
    model
        The model.
    run
        Runs it, and returns tensors to compare. An error of the model as it is set is left to the next run.
    """
    state, earlier = state_read(model), _COMPARISONS.get(model)
    if state is None or earlier is None or earlier.state != state:
        _settle(model, run)


@full_precision()
def _settle(model: PreTrainedModel, run: Callable[[], Any]) -> None:
    with exclusive(model), torch.no_grad():
        state, earlier = state_of(model), _COMPARISONS.get(model)
        if earlier is not None and earlier.state == state:
            return
        outcome: tuple[Kept, float] = ("nothing", 0.0)
        if not is_eager(model):
            try:
                theirs = run_as_set(model, run)
            except Exception as error:
                if isinstance(error, UnsupportedArchitecture) or is_out_of_memory(error):
                    raise
                _COMPARISONS.pop(model, None)
                return
            outcome = _kept(model, run, theirs)
        for submodel in (x for x in model.modules() if isinstance(x, PreTrainedModel)):
            _COMPARISONS[submodel] = _Comparison(state if submodel is model else None, *outcome)


def kept(model: nn.Module) -> Kept:
    """Which settings of a model, or of a submodel, are kept."""
    return _COMPARISONS[model].kept if model in _COMPARISONS else "nothing"


def settled_state(model: nn.Module) -> object:
    """The state that a model had when it was compared; the same object until it changes."""
    return _COMPARISONS[model].state if model in _COMPARISONS else None


@contextmanager
def kept_named(model: PreTrainedModel) -> Iterator[None]:
    """Add to errors that a model's own functions were kept, and why."""
    try:
        yield
    except (UnsupportedArchitecture, ConservationError) as error:
        if kept(model) == "nothing" or " is set to " in str(error):
            raise
        raise type(error)(
            f"{error} The model is set to {described(model, kept(model))}, and was followed as it is set: its eager "
            f"code gives a different output, off by {_COMPARISONS[model].off:.1e} of its norm. {_advice(model, kept(model))}"
        ) from error


def require_eager_attention(model: PreTrainedModel, purpose: str) -> None:
    """Refuse a model whose attention function computes something else than its eager attention.

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
    if any(setting == ATTENTION for setting, _ in _staying(model, kept(model))):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} is set to {described(model, kept(model))}, which gives a different output than its "
            f"eager attention (off by {_COMPARISONS[model].off:.1e} of its norm); {purpose}. {_advice(model, kept(model))}"
        )


def is_eager(model: nn.Module) -> bool:
    """Whether a model is set to eager attention and eager experts throughout."""
    return all(name in _EAGER for config in configs_of(model) for _, name in _implementations(config))


def allowance(model: PreTrainedModel) -> float:
    """The tolerance between two outputs of a model: larger where kernels other than the eager code run."""
    other_kernels = not is_eager(model) and not is_foreign(model)
    return tolerance(model.dtype, "other operations" if other_kernels else "same operations")


def gap(one: Any, other: Any) -> float:
    """The difference of two outputs relative to the norm of the second: the largest over all their tensors.

    In half precision it is the median over positions: where experts are chosen, rounding changes single choices.
    """
    pairs = list(zip(_tensors(one), _tensors(other), strict=True))
    return max((_gap(x, y) for x, y in pairs), default=0.0)


def real_positions(output: Any, mask: Any) -> list[Tensor]:
    """The tensors of an output without padded positions, whose values don't matter."""
    tensors = _tensors(output)
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        return tensors
    return [x[mask.bool()] if x.shape[:2] == mask.shape and x.device == mask.device else x for x in tensors]


def described(model: nn.Module, keep: Kept = "all") -> str:
    """The implementations that a model is set to, for messages: ``attention 'mine'``; empty if all is eager."""
    staying = _staying(model, keep)
    return " and ".join(dict.fromkeys(f"{_WORDS[setting]} {name!r}" for setting, name in staying))


def _kept(model: PreTrainedModel, run: Callable[[], Any], theirs: Any) -> tuple[Kept, float]:
    """The fewest settings to keep so that the output is the model's, and its error if none is kept."""
    off = None
    levels: tuple[Kept, ...] = get_args(Kept)
    for keep in levels:
        with running(model, keep):
            distance = gap(run(), theirs)
        off = distance if off is None else off
        if distance <= allowance(model):
            return keep, off
    raise UnsupportedArchitecture(
        f"{type(model).__name__}, set to {described(model)}, gives another output each time that it runs (off by "
        f"{distance:.1e} of its norm), so no result could be tied to one of its runs. Switch off what draws random numbers "
        "in it."
    )


def _gap(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape or not torch.equal(one.isfinite(), other.isfinite()):
        return float("inf")
    half = other.dtype in (torch.float16, torch.bfloat16)
    x, y = (t.nan_to_num(posinf=0, neginf=0).to(torch.promote_types(t.dtype, torch.float32)) for t in (one, other))
    if not x.numel():
        return 0.0
    rows = -1 if half and x.ndim > 1 else tuple(range(x.ndim))
    tiny = torch.finfo(y.dtype).tiny
    difference = torch.linalg.vector_norm(x - y, dim=rows) / torch.linalg.vector_norm(y, dim=rows).clamp_min(tiny)
    return float(difference.median())


def _tensors(output: Any) -> list[Tensor]:
    """All floating tensors in an output."""
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    children = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return [x for child in children for x in _tensors(child)]


def _implementations(config: Any) -> list[tuple[str, str | None]]:
    experts = [(EXPERTS, vars(config)[EXPERTS])] if EXPERTS in vars(config) else []
    return [(ATTENTION, implementation_of(config)), *experts]


def is_foreign(model: nn.Module) -> bool:
    """Whether a model is set to a function that isn't transformers' own."""
    return bool(_staying(model, "own"))


def _staying(model: nn.Module, keep: Kept) -> list[tuple[str, str | None]]:
    """The settings that are kept, with what they name."""
    chosen = [x for config in configs_of(model) for x in _implementations(config)]
    return [(setting, name) for setting, name in chosen if name not in _EAGER and _stays(setting, name, keep)]


def _stays(setting: str, name: str | None, keep: Kept) -> bool:
    return keep == "all" or (keep == "own" and _is_function_of_others(setting, name))


def _is_function_of_others(setting: str, name: str | None) -> bool:
    functions: Mapping[str, Any] = _ATTENTION_FUNCTIONS if setting == ATTENTION else ALL_EXPERTS_FUNCTIONS
    if name in _EAGER:
        return False
    if name not in functions:
        return not is_flash_attention_requested(requested_attention_implementation=name)
    function = functions[name]
    return not str(getattr(getattr(function, "func", function), "__module__", "")).startswith("transformers.")


def _advice(model: nn.Module, keep: Kept) -> str:
    setters = dict.fromkeys(_SETTERS[setting] for setting, _ in _staying(model, keep))
    calls = " and ".join(f"model.set_{setter}_implementation('eager')" for setter in setters)
    return f"To analyze its eager code, call {calls}."
