"""Configs of a switched model's own: a config object is often shared, and switching it would switch other models too."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from transformers import PretrainedConfig

from normlens.engine.locks import share_lock
from normlens.loading.configs import (
    ATTENTION,
    configs_of,
    implementation_of,
    replace_implementation,
    restore_implementation,
)


class OwnConfigs:
    """Copies of a model's configs, in their places until they are given back; other models keep the originals.

    Parameters
    ----------
    model
        The model.
    """

    def __init__(self, model: nn.Module) -> None:
        originals = configs_of(model)
        memo: dict[int, Any] = {}
        self._pairs = [(config, copy.deepcopy(config, memo)) for config in originals]
        self._at_first = [copy.deepcopy(vars(copied)) for _, copied in self._pairs]
        self._places: list[tuple[nn.Module, str, PretrainedConfig]] = []
        copies = {id(config): copied for config, copied in self._pairs}
        for module in model.modules():
            for name, config in list(vars(module).items()):
                if id(config) in copies:
                    self._places.append((module, name, config))
                    setattr(module, name, copies[id(config)])
        for config, copied in self._pairs:
            share_lock(copied, config)
            vars(copied)[ATTENTION] = implementation_of(config)  # of a model that is in use, what it was set to before

    def switch(self, implementation: str) -> None:
        """Let the copies name another attention implementation."""
        for _, copied in self._pairs:
            replace_implementation(copied, implementation)

    def give_back(self) -> None:
        """Put the originals back, with what was changed in the copies meanwhile."""
        copies = {id(config): copied for config, copied in self._pairs}
        for module, name, config in self._places:
            if vars(module).get(name) is copies[id(config)]:
                setattr(module, name, config)
        for (config, copied), at_first in zip(self._pairs, self._at_first, strict=True):
            restore_implementation(copied)
            for name, value in vars(copied).items():
                same = name in at_first and at_first[name] == value
                if name != ATTENTION and not same and not isinstance(value, PretrainedConfig):
                    vars(config)[name] = value
