"""Norms of cached sources, used again from one decoding step to the next where they are certain to be the same."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import ReferenceType, ref

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer, EncoderDecoderCache

from normlens.topk.selection import log_vector_norms


@dataclass(frozen=True, eq=False)
class _Known:
    """Norms, and what they were computed from; the value vectors themselves belong to the cache."""

    value: ReferenceType[Tensor]
    version: int
    factors: Tensor
    log_norms: Float[Tensor, "batch head source"]

    def are_of(self, value: Any) -> bool:
        """Whether this is the very tensor that they were computed from, and nobody wrote to it since."""
        kept = self.value()
        return kept is not None and kept is value and kept._version == self.version


class CachedNorms(threading.local):
    """log‖f(x)‖ of the value vectors that one attention module reads, with a memory of one step.

    A decoding step puts a few new sources behind those in the cache. The norms of the old ones are used again if the cache
    grows by concatenation, and what it held before the step is the very tensor that they were computed from, unchanged.
    A cache that was cropped, or reordered by a beam search, holds another tensor; static ones are written in place, and
    sliding ones drop sources: there all norms are computed anew. Each thread has a memory of its own.
    """

    def __init__(self) -> None:
        self._known: _Known | None = None
        self._caches: list[ReferenceType[Cache]] = []
        self._layer_index = 0
        self._unchanged: ReferenceType[DynamicLayer] | None = None

    def before_call(self, layer_index: int | None, arguments: Iterable[Any]) -> None:
        """Note, before the module runs and its cache grows, whether that cache holds what the norms are known of.

        Parameters
        ----------
        layer_index
            Of the module in the cache; None if it has none.
        arguments
            All of the module's call; the cache is among them if there is one.
        """
        self._caches, self._unchanged = [], None
        if layer_index is None or torch.compiler.is_compiling():
            return
        self._layer_index = layer_index
        self._caches = [ref(cache) for argument in arguments for cache in _caches_in(argument)]
        if self._known is not None:
            self._unchanged = next((ref(layer) for layer in self._layers() if self._known.are_of(layer.values)), None)

    def log_norms(
        self, value: Float[Tensor, "batch kv_head source head_dim"], factors: Float[Tensor, "head rank head_dim"]
    ) -> Float[Tensor, "batch head source"]:
        """log‖f(x)‖ of every source and head, from value vectors (cached ones too).

        Parameters
        ----------
        value
            What the module reads now.
        factors
            Of its output projection as it is now, from `projection_factors`.
        """
        holder = next((layer for layer in self._layers() if layer.values is value), None)
        grown = holder is not None and self._unchanged is not None and self._unchanged() is holder
        known = self._known if self._known is not None and self._known.factors is factors else None
        self._known, self._caches, self._unchanged = None, [], None
        with torch.no_grad():
            if known is not None and known.are_of(value):
                found = known.log_norms
            elif known is not None and grown:
                new = value[:, :, known.log_norms.shape[-1] :]
                found = torch.cat([known.log_norms, log_vector_norms(new, factors)], dim=-1)
            else:
                found = log_vector_norms(value, factors)
        if holder is not None and not value.is_inference():
            self._known = _Known(ref(value), value._version, factors, found)
        return found

    def _layers(self) -> Iterator[DynamicLayer]:
        """The module's layers in its caches that grow by concatenation: no subclasses, which do otherwise."""
        for reference in self._caches:
            cache = reference()
            if cache is not None and self._layer_index < len(cache.layers):
                layer = cache.layers[self._layer_index]
                if type(layer) is DynamicLayer:
                    yield layer


def _caches_in(argument: Any) -> list[Cache]:
    if isinstance(argument, EncoderDecoderCache):
        return [argument.self_attention_cache, argument.cross_attention_cache]
    return [argument] if isinstance(argument, Cache) else []
