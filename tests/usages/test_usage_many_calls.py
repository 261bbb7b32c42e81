"""Usages: the same question asked again and again leaves nothing behind."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

import normlens

IDS = [3, 14, 15, 9, 26]


@torch.jit.script
def scripted(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


class Hidden(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return scripted(x)


@pytest.fixture(scope="module")
def lens() -> normlens.Lens:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=40, **sizes))
    for layer in model.model.layers:
        layer.mlp.act_fn = Hidden()
    return normlens.load((model.eval(), None))


def caches() -> dict[str, int]:
    """How many entries each cache of a function holds, and how long each table of a module is."""
    entries = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "normlens":
            for key, value in vars(module).items():
                if isinstance(value, functools._lru_cache_wrapper):
                    entries[f"{name}.{key}"] = value.cache_info().currsize
                elif isinstance(value, dict | list | set | WeakKeyDictionary | WeakSet | WeakValueDictionary):
                    entries[f"{name}.{key}"] = len(value)
    return entries


@pytest.mark.parametrize(
    "call",
    [
        lambda lens: lens.attribute(IDS, target=7),
        lambda lens: lens.attribute(IDS, target=lambda output: output.logits[:, -1, 7]),
        lambda lens: lens.attribute(IDS, method="alti"),
        lambda lens: lens.attribute(IDS, method="value_zeroing"),
        lambda lens: lens.analyze(IDS, through="block"),
        lambda lens: list(lens.stream([IDS, IDS[:3]], progress=False)),
    ],
    ids=["target", "function", "alti", "value zeroing", "block", "stream"],
)
def test_a_call_leaves_nothing_behind(lens: normlens.Lens, call: Callable[[normlens.Lens], Any]) -> None:
    for _ in range(3):
        call(lens)
    gc.collect()
    before, objects = caches(), len(gc.get_objects())
    for _ in range(5):
        call(lens)
    gc.collect()
    assert {
        name: (before[name], size) for name, size in caches().items() if name in before and size > before[name]
    } == {}
    assert len(gc.get_objects()) - objects < 5  # less than one a call
