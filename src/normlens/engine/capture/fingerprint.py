"""When a model is another one than before: what it is made of and told, but for its numbers."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from normlens.engine.capture.hooks import is_ours
from normlens.engine.capture.interface import attention_functions
from normlens.loading.configs import configs_of

_VALUES = (bool, int, float, str, type(None))
_CONTAINERS = (list, tuple, dict, set)
_SWITCHED = ("training", "use_cache")  # by us, while a model runs
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def state_of(model: PreTrainedModel) -> object:
    """What decides what a model gives, except for its weights.

    Parts, dtype, other people's hooks and forwards, the functions that attention goes to, and every plain setting that the
    code of parts and configs reads.
    """
    parts = [(id(part), _functions(part), _settings(part)) for part in model.modules()]
    configs = configs_of(model)
    return parts, model.dtype, [_settings(config) for config in configs], attention_functions(model, configs)


def made_of(module: nn.Module) -> object:
    """What decides what a single module does: its class, all its settings, private ones too, and its own forward.

    An adapter that is put on, switched or merged shows here.
    """
    own = {name: x for name, x in vars(module).items() if name not in _OF_EVERY_MODULE}
    settings = {name: repr(x) for name, x in own.items() if isinstance(x, (*_VALUES, *_CONTAINERS))}
    return type(module), settings, vars(module).get("forward")


def _functions(part: nn.Module) -> list[object]:
    """Functions of others that run with a part, or in its place."""
    forwards = type(part).forward, vars(part).get("forward")
    hooks = (*part._forward_hooks.values(), *part._forward_pre_hooks.values(), *forwards)
    return [hook for hook in hooks if not is_ours(hook)]


def _settings(x: object) -> dict[str, object]:
    plain = {name: value for name, value in vars(x).items() if isinstance(value, _VALUES)}
    return {name: value for name, value in plain.items() if name not in _SWITCHED and not name.startswith("_")}
