"""The model as it is set: with the attention and the experts that its user chose, which may be functions of the user's own.

What is analysed runs with eager attention and eager experts, since only there everything can be seen. Whether that is the
same model is tried when a model is used for the first time, and again when it has changed. Where it is another one, the
model's own functions are kept, and followed as far as they can be.
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

from normlens.engine.capture.fingerprint import state_of
from normlens.engine.locks import exclusive
from normlens.engine.precision import full_precision
from normlens.engine.tolerance import tolerance
from normlens.errors import ConservationError, NormLensError, UnsupportedArchitecture
from normlens.loading.configs import (
    ATTENTION,
    CACHE,
    EXPERTS,
    NAMED_OUTPUT,
    configs_of,
    implementation_of,
    settings_of_this_thread,
)
from normlens.memory import is_out_of_memory

Kept = Literal["nothing", "own", "all"]
"""What of a model's settings stays: nothing (all is eager), functions that aren't transformers' own, or everything."""

_SETTERS = {ATTENTION: "attn", EXPERTS: "experts"}
_WORDS = {ATTENTION: "attention", EXPERTS: "experts"}
_ATTENTION_FUNCTIONS = AttentionInterface()
_EAGER = (None, "eager")

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Settled:
    """What was found of a model.

    Attributes
    ----------
    state
        The model's, as :func:`state_of` tells it; None for a part of the model that was tried.
    kept
        What has to stay as it is set, for the output to be the model's.
    off
        How far the output is off with eager attention and eager experts, relative to its length.
    """

    state: object
    kept: Kept
    off: float


_SETTLED: WeakKeyDictionary[nn.Module, _Settled] = WeakKeyDictionary()


@contextmanager
def running(model: PreTrainedModel, keep: Kept) -> Iterator[None]:
    """Let this thread run a model with eager attention and experts, except for what is kept; no cache, named outputs."""
    with exclusive(model):
        changes: list[tuple[Any, str, Any]] = []
        for config in configs_of(model):
            for setting, name in _implementations(config):
                changes.append((config, setting, name if _stays(setting, name, keep) else "eager"))
            plain = {CACHE: False, NAMED_OUTPUT: True}
            changes += [(config, name, value) for name, value in plain.items() if hasattr(config, name)]
        with settings_of_this_thread(changes):
            yield


def run_as_set(model: PreTrainedModel, run: Callable[[], Result]) -> Result:
    """What ``run`` gives with the model as it is set; with eager attention where a kernel can't run here.

    Raises
    ------
    UnsupportedArchitecture
        If a function of the user's own can't run.
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
            f"its eager code runs. {_advice(model, 'all')}"
        ) from failure
    return result


@full_precision()
def settle(model: PreTrainedModel, run: Callable[[], Any]) -> None:
    """On first use of a model, and when it has changed, find out which of its settings have to stay as they are.

    Parameters
    ----------
    model
        The model.
    run
        Runs it, and gives tensors to be compared. What it raises as the model is set is left to whoever runs it next.
    """
    with exclusive(model), torch.no_grad():
        state, known = state_of(model), _SETTLED.get(model)
        if known is not None and known.state == state:
            return
        found: tuple[Kept, float] = ("nothing", 0.0)
        if not is_eager(model):
            try:
                theirs = run_as_set(model, run)
            except UnsupportedArchitecture:
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                _SETTLED.pop(model, None)
                return
            found = _kept(model, run, theirs)
        for part in (x for x in model.modules() if isinstance(x, PreTrainedModel)):
            _SETTLED[part] = _Settled(state if part is model else None, *found)


def kept(model: nn.Module) -> Kept:
    """What of the settings of a model, or of a part of one, stays as it is."""
    return _SETTLED[model].kept if model in _SETTLED else "nothing"


def settled_state(model: nn.Module) -> object:
    """The state that a model was in when it was tried; the same object as long as it is."""
    return _SETTLED[model].state if model in _SETTLED else None


@contextmanager
def kept_named(model: PreTrainedModel) -> Iterator[None]:
    """Say in errors of ours that a model's own functions were kept, and why."""
    try:
        yield
    except (UnsupportedArchitecture, ConservationError) as error:
        if kept(model) == "nothing" or " is set to " in str(error):
            raise
        raise type(error)(
            f"{error} The model is set to {described(model, kept(model))}, and was followed so: its eager code gives "
            f"another output, off by {_SETTLED[model].off:.1e} of its length. {_advice(model, kept(model))}"
        ) from error


def require_eager_attention(model: PreTrainedModel, purpose: str) -> None:
    """Refuse a model whose own attention function is another one than its eager attention.

    Parameters
    ----------
    model
        A model that was tried.
    purpose
        What can be done in eager attention only, as a clause.

    Raises
    ------
    UnsupportedArchitecture
        Naming the function, and how far off the output is.
    """
    if any(setting == ATTENTION for setting, _ in _staying(model, kept(model))):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} is set to {described(model, kept(model))}, which gives another output than its eager "
            f"attention (off by {_SETTLED[model].off:.1e} of its length); {purpose}. {_advice(model, kept(model))}"
        )


def is_eager(model: nn.Module) -> bool:
    """Whether a model is set to eager attention and eager experts throughout."""
    return all(name in _EAGER for config in configs_of(model) for _, name in _implementations(config))


def allowance(model: PreTrainedModel) -> float:
    """How far two outputs of a model may be apart by rounding: further where other kernels than the eager code run."""
    other_kernels = not is_eager(model) and not is_foreign(model)
    return tolerance(model.dtype, "other operations" if other_kernels else "same operations")


def gap(one: Any, other: Any) -> float:
    """How far two outputs are apart, relative to the length of the second: the largest of all their tensors.

    In half precision the median over positions: where experts are chosen, rounding changes single choices.
    """
    pairs = list(zip(_tensors(one), _tensors(other), strict=True))
    return max((_gap(x, y) for x, y in pairs), default=0.0)


def real_positions(output: Any, mask: Any) -> list[Tensor]:
    """The tensors of an output without padding, where what is given there is nobody's concern."""
    found = _tensors(output)
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        return found
    return [x[mask.bool()] if x.shape[:2] == mask.shape and x.device == mask.device else x for x in found]


def described(model: nn.Module, keep: Kept = "all") -> str:
    """What a model is set to, for messages: ``attention 'mine'``; empty if all is eager."""
    staying = _staying(model, keep)
    return " and ".join(dict.fromkeys(f"{_WORDS[setting]} {name!r}" for setting, name in staying))


def _kept(model: PreTrainedModel, run: Callable[[], Any], theirs: Any) -> tuple[Kept, float]:
    """As little as has to stay for the output to be the model's, and how far it is off if nothing stays."""
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
        f"{distance:.1e} of its length), so nobody could tell which of them was explained. Switch off what draws random "
        "numbers in it."
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
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return [x for part in parts for x in _tensors(part)]


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
    return f"If its eager code is what you ask about, call {calls}."
