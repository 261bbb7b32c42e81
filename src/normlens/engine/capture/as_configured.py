"""Running a model as configured: with the attention and expert implementations that its user chose, or with eager ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from torch import nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.utils.generic import is_flash_attention_requested

from normlens.engine.locks import exclusive
from normlens.errors import NormLensError, UnsupportedArchitecture
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

Kept = Literal["nothing", "custom", "all"]
"""The configured implementations that are kept: none (all eager), functions that aren't transformers' own, or all."""

_SETTERS = {ATTENTION: "attn", EXPERTS: "experts"}
_WORDS = {ATTENTION: "attention", EXPERTS: "experts"}
_ATTENTION_FUNCTIONS = AttentionInterface()
_EAGER = (None, "eager")

Result = TypeVar("Result")


@contextmanager
def running(model: PreTrainedModel, keep: Kept) -> Iterator[None]:
    """Run a model in this thread with eager attention and experts, except for ``keep``: named outputs, no cache."""
    with exclusive(model):
        changes: list[tuple[Any, str, Any]] = []
        for config in configs_of(model):
            for setting, name in _implementations(config):
                changes.append((config, setting, name if _is_kept(setting, name, keep) else "eager"))
            plain = {CACHE: False, NAMED_OUTPUT: True, ATTENTION_OUTPUT: False}
            changes += [(config, name, value) for name, value in plain.items() if hasattr(config, name)]
        with settings_of_this_thread(changes):
            yield


def run_as_configured(model: PreTrainedModel, run: Callable[[], Result]) -> Result:
    """The result of ``run`` with the model as configured, or with eager attention if a kernel can't run here.

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
    if has_custom_functions(model):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} is set to {described(model)}, which fails ({type(failure).__name__}: {failure}); "
            f"its eager code runs without error. {eager_advice(model, 'all')}"
        ) from failure
    return result


def is_eager(model: nn.Module) -> bool:
    """Whether a model is set to eager attention and eager experts throughout."""
    return all(name in _EAGER for config in configs_of(model) for _, name in _implementations(config))


def has_custom_functions(model: nn.Module) -> bool:
    """Whether a model is set to a function that isn't transformers' own."""
    return bool(_kept_settings(model, "custom"))


def keeps_attention(model: nn.Module, keep: Kept) -> bool:
    """Whether ``keep`` keeps an attention function of a model."""
    return any(setting == ATTENTION for setting, _ in _kept_settings(model, keep))


def described(model: nn.Module, keep: Kept = "all") -> str:
    """The implementations that a model is set to, for messages: ``attention 'mine'``; empty if all is eager."""
    kept = _kept_settings(model, keep)
    return " and ".join(dict.fromkeys(f"{_WORDS[setting]} {name!r}" for setting, name in kept))


def eager_advice(model: nn.Module, keep: Kept) -> str:
    """The calls that set the kept implementations to eager, as a sentence for messages."""
    setters = dict.fromkeys(_SETTERS[setting] for setting, _ in _kept_settings(model, keep))
    calls = " and ".join(f"model.set_{setter}_implementation('eager')" for setter in setters)
    return f"To analyze its eager code, call {calls}."


def _implementations(config: Any) -> list[tuple[str, str | None]]:
    experts = [(EXPERTS, vars(config)[EXPERTS])] if EXPERTS in vars(config) else []
    return [(ATTENTION, implementation_of(config)), *experts]


def _kept_settings(model: nn.Module, keep: Kept) -> list[tuple[str, str | None]]:
    """The settings that are kept, each with the name of its implementation; eager ones are omitted."""
    chosen = [x for config in configs_of(model) for x in _implementations(config)]
    return [(setting, name) for setting, name in chosen if name not in _EAGER and _is_kept(setting, name, keep)]


def _is_kept(setting: str, name: str | None, keep: Kept) -> bool:
    return keep == "all" or (keep == "custom" and _is_custom(setting, name))


def _is_custom(setting: str, name: str | None) -> bool:
    functions: Mapping[str, Any] = _ATTENTION_FUNCTIONS if setting == ATTENTION else ALL_EXPERTS_FUNCTIONS
    if name in _EAGER:
        return False
    if name not in functions:
        return not is_flash_attention_requested(requested_attention_implementation=name)
    function = functions[name]
    return not str(getattr(getattr(function, "func", function), "__module__", "")).startswith("transformers.")
