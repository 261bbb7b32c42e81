"""The configs of a model, and temporary settings that only one thread sees.

A config is shared by every thread that runs its model, and often by several models. So an analysis never writes to it, but
overlays its own settings, which only the analyzing thread reads. A plain run in another thread uses the model's own
settings.
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
ATTENTION_OUTPUT = "output_attentions"


def configs_of(model: nn.Module) -> list[PretrainedConfig]:
    """Every config object of the model and its sub-models, each once."""
    configs: dict[int, PretrainedConfig] = {}
    waiting = [config for module in model.modules() if isinstance(config := _config_of(module), PretrainedConfig)]
    while waiting:
        config = waiting.pop()
        if id(config) not in configs:
            configs[id(config)] = config
            nested = (getattr(config, name, None) for name in config.sub_configs)
            waiting.extend(sub_config for sub_config in nested if isinstance(sub_config, PretrainedConfig))
    return list(configs.values())


def _config_of(module: nn.Module) -> Any:
    """A module's attribute ``config``; ``getattr`` alone is slow where there is none, as in most modules."""
    return getattr(module, "config", None) if "config" in vars(module) or hasattr(type(module), "config") else None


def implementation_of(config: PretrainedConfig) -> str | None:
    """The attention implementation that the user chose.

    Ignores this thread's own settings and an active top-k attention.
    """
    chosen: str | None = _REPLACED.get(id(config), vars(config).get(ATTENTION))
    return chosen


def replace_implementation(config: PretrainedConfig, name: str) -> None:
    """Switch the implementation for all threads, until :func:`restore_implementation`."""
    if id(config) not in _REPLACED:
        _REPLACED[id(config)] = vars(config).get(ATTENTION)
        weakref.finalize(config, _REPLACED.pop, id(config), None)
    vars(config)[ATTENTION] = name


def restore_implementation(config: PretrainedConfig) -> None:
    """Undo :func:`replace_implementation`."""
    if id(config) in _REPLACED:
        vars(config)[ATTENTION] = _REPLACED.pop(id(config))


_REPLACED: dict[int, str | None] = {}  # by the config's id


class _ThreadSettings(threading.local):
    """Settings that this thread reads instead of a config's own, by the config's id and the setting's name."""

    settings: Mapping[tuple[int, str], Any] = {}


_THREAD = _ThreadSettings()
_GUARD = threading.Lock()
_OPEN = 0  # number of open contexts with overlaid settings, in any thread
_OWN: Callable[[PretrainedConfig, str], Any] = PretrainedConfig.__getattribute__


@contextmanager
def settings_of_this_thread(changes: Iterable[tuple[PretrainedConfig, str, Any]]) -> Iterator[None]:
    """Overlay settings of configs for this thread while the context lasts; the configs themselves don't change.

    Parameters
    ----------
    changes
        Config, name (one of the five constants above) and value.
    """
    changes = list(changes)  # keeps the configs alive, and so their ids unique
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
    """The value of a setting for this thread: its own, or else the config's."""
    settings = _THREAD.settings
    return settings[id(config), name] if settings and (id(config), name) in settings else _OWN(config, name)
