"""A switched model's own copies of its configs: a config object is often shared, and other models must not be switched."""

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
    """Copies that replace a model's configs until `give_back`; other models keep the originals.

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
        self._replaced: list[tuple[nn.Module, str, PretrainedConfig]] = []
        copies = {id(config): copied for config, copied in self._pairs}
        for config, copied in self._pairs:
            share_lock(copied, config)  # before a module has the copy: other threads look their lock up at any time
        for module in model.modules():
            for name, config in list(vars(module).items()):
                if id(config) in copies:
                    self._replaced.append((module, name, config))
                    setattr(module, name, copies[id(config)])
        for config, copied in self._pairs:
            vars(copied)[ATTENTION] = implementation_of(config)  # the setting before any use of our attention

    def switch(self, implementation: str) -> None:
        """Set the attention implementation in the copies."""
        for _, copied in self._pairs:
            replace_implementation(copied, implementation)

    def give_back(self) -> None:
        """Restore the originals, with every change made to the copies meanwhile."""
        copies = {id(config): copied for config, copied in self._pairs}
        for module, name, config in self._replaced:
            if vars(module).get(name) is copies[id(config)]:
                setattr(module, name, config)
        for (config, copied), at_first in zip(self._pairs, self._at_first, strict=True):
            restore_implementation(copied)
            for name, value in vars(copied).items():
                same = name in at_first and at_first[name] == value
                if name != ATTENTION and not same and not isinstance(value, PretrainedConfig):
                    vars(config)[name] = value
