"""The configs that a model reads, and settings in them that one thread sees alone.

A config is shared by every thread that runs its model, and often by several models. So an analysis never writes to it:
it lays its settings over the config, and only the thread that analyses reads them. A plain run in another thread goes
on with the model as it is set.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PretrainedConfig

ATTENTION = "_attn_implementation_internal"
EXPERTS = "_experts_implementation_internal"
CACHE = "use_cache"
NAMED_OUTPUT = "return_dict"


def configs_of(model: nn.Module) -> list[PretrainedConfig]:
    """Every config object that some part of the model reads, each once."""
    found: dict[int, PretrainedConfig] = {}
    waiting = [
        config for module in model.modules() if isinstance(config := getattr(module, "config", None), PretrainedConfig)
    ]
    while waiting:
        config = waiting.pop()
        if id(config) not in found:
            found[id(config)] = config
            parts = (getattr(config, name, None) for name in config.sub_configs)
            waiting.extend(part for part in parts if isinstance(part, PretrainedConfig))
    return list(found.values())


def implementation_of(config: PretrainedConfig) -> str | None:
    """The attention implementation that a model's user chose.

    No matter what this thread reads, or what top-k attention that is in use has put in its place.
    """
    chosen: str | None = _REPLACED.get(id(config), vars(config).get(ATTENTION))
    return chosen


def replace_implementation(config: PretrainedConfig, name: str) -> None:
    """Switch a config for all threads, until :func:`restore_implementation`; what it said stays known."""
    if id(config) not in _REPLACED:
        _REPLACED[id(config)] = vars(config).get(ATTENTION)
        weakref.finalize(config, _REPLACED.pop, id(config), None)
    vars(config)[ATTENTION] = name


def restore_implementation(config: PretrainedConfig) -> None:
    """Let a config say again what it said."""
    if id(config) in _REPLACED:
        vars(config)[ATTENTION] = _REPLACED.pop(id(config))


_REPLACED: dict[int, str | None] = {}  # by the config's id


class _ThreadSettings(threading.local):
    """What this thread reads instead of a config's own settings, by the config's id and the setting's name."""

    settings: Mapping[tuple[int, str], Any] = {}


_THREAD = _ThreadSettings()
_GUARD = threading.Lock()
_OPEN = 0  # contexts that lay settings over configs at the moment, in any thread
_OWN: Callable[[PretrainedConfig, str], Any] = PretrainedConfig.__getattribute__


@contextmanager
def settings_of_this_thread(changes: Iterable[tuple[PretrainedConfig, str, Any]]) -> Iterator[None]:
    """Let this thread read other settings in configs, as long as the context lasts; the configs stay as they are.

    Parameters
    ----------
    changes
        Config, name (:data:`ATTENTION`, :data:`EXPERTS`, :data:`CACHE` or :data:`NAMED_OUTPUT`) and value.
    """
    changes = list(changes)  # which keeps the configs, and so their ids
    before = _THREAD.settings
    _count(1)
    try:
        _THREAD.settings = {**before, **{(id(config), name): value for config, name, value in changes}}
        yield
    finally:
        _THREAD.settings = before
        _count(-1)


def _count(step: int) -> None:
    """Read configs through :func:`_thread_setting` while any thread has settings of its own."""
    global _OPEN
    with _GUARD:
        _OPEN += step
        PretrainedConfig.__getattribute__ = _thread_setting if _OPEN else _OWN


def _thread_setting(config: PretrainedConfig, name: str) -> Any:
    """What this thread reads in a config: its own setting if it has one."""
    settings = _THREAD.settings
    return settings[id(config), name] if settings and (id(config), name) in settings else _OWN(config, name)
