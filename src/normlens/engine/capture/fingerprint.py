"""A fingerprint of a model's structure and settings (not its weights), which tells when to inspect it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn
from transformers import PreTrainedModel

from normlens.engine.capture.hooks import is_ours
from normlens.engine.capture.interface import attention_functions
from normlens.errors import UnsupportedArchitecture
from normlens.loading.configs import configs_of

_VALUES = (bool, int, float, str, type(None))
_CONTAINERS = (list, tuple, dict, set)
_SWITCHED = ("training", "use_cache")  # by us, while a model runs
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_READ: ContextVar[dict[nn.Module, object] | None] = ContextVar(
    "the model states that were read in this context", default=None
)


@contextmanager
def unchanged() -> Iterator[None]:
    """Read the state of each model only once in this context and thread, because models don't change during a computation.

    A nested context reads it again.
    """
    token = _READ.set({})
    try:
        yield
    finally:
        _READ.reset(token)


def state_of(model: PreTrainedModel) -> object:
    """Everything that determines a model's output, except for its weights.

    Its modules, its dtype, foreign hooks and forwards, its attention functions, and every plain setting of modules and
    configs. Inside :func:`unchanged` it is read once.

    Raises
    ------
    UnsupportedArchitecture
        If a module is compiled with torch.jit.
    """
    read = _READ.get()
    if read is None:
        return _state_of(model)
    if model not in read:
        read[model] = _state_of(model)
    return read[model]


def state_read(model: nn.Module) -> object:
    """The state of a model if it was already read in this context of :func:`unchanged`; otherwise None."""
    return (_READ.get() or {}).get(model)


def _state_of(model: PreTrainedModel) -> object:
    paths = list(model.named_modules())
    scripted = next((path for path, module in paths if isinstance(module, torch.jit.ScriptModule)), None)
    if scripted is not None:
        raise UnsupportedArchitecture(
            f"Module {scripted!r} was compiled with torch.jit, which hides its operations. Put the uncompiled module in its "
            "place."
        )
    modules = [(id(module), _functions(module), _settings(module)) for _, module in paths]
    configs = configs_of(model)
    return modules, model.dtype, [_settings(config) for config in configs], attention_functions(model, configs)


def structure_of(module: nn.Module) -> object:
    """Everything that determines a single module's output, except for its weights.

    Its class, all its settings, including private ones, and its own forward. It changes when an adapter is added, switched
    or merged.
    """
    own = {name: x for name, x in vars(module).items() if name not in _OF_EVERY_MODULE}
    settings = {name: repr(x) for name, x in own.items() if isinstance(x, (*_VALUES, *_CONTAINERS))}
    return type(module), settings, vars(module).get("forward")


def _functions(module: nn.Module) -> list[object]:
    """Functions other than ours that run with a module or replace its forward."""
    forwards = type(module).forward, vars(module).get("forward")
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values(), *forwards)
    return [hook for hook in hooks if not is_ours(hook)]


def _settings(x: object) -> dict[str, object]:
    plain = {name: value for name, value in vars(x).items() if isinstance(value, _VALUES)}
    return {name: value for name, value in plain.items() if name not in _SWITCHED and not name.startswith("_")}
