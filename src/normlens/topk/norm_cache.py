"""Norms of cached sources, reused from one decoding step to the next where they are certain to be unchanged."""

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
class _Computed:
    """Norms, and the value vectors and factors from which they were computed; the value vectors belong to the cache."""

    value: ReferenceType[Tensor]
    version: int
    factors: Tensor
    log_norms: Float[Tensor, "batch head source"]

    def are_of(self, value: Any) -> bool:
        """Whether this is the same tensor from which they were computed, unmodified since."""
        kept = self.value()
        return kept is not None and kept is value and kept._version == self.version


class CachedNorms(threading.local):
    """log‖f(x)‖ of the value vectors that one attention module reads, remembered for one step.

    A decoding step appends a few sources to the cache. The norms of the others are reused if the cache grows by
    concatenation and, before the step, held the same tensor from which they were computed, unmodified. A cache that was
    cropped, or reordered by a beam search, holds another tensor; static caches are written in place, and sliding ones drop
    sources: there all norms are recomputed. Each thread has its own memory.
    """

    def __init__(self) -> None:
        self._last: _Computed | None = None
        self._caches: list[ReferenceType[Cache]] = []
        self._layer_index = 0
        self._unchanged: ReferenceType[DynamicLayer] | None = None

    def before_call(self, layer_index: int | None, arguments: Iterable[Any]) -> None:
        """Note, before the module runs and its cache grows, whether the cache holds the value vectors of the last norms.

        Parameters
        ----------
        layer_index
            Index of the module in the cache; None if it has none.
        arguments
            All arguments of the module's call; a cache is among them if there is one.
        """
        self._caches, self._unchanged = [], None
        if layer_index is None or torch.compiler.is_compiling():
            return
        self._layer_index = layer_index
        self._caches = [ref(cache) for argument in arguments for cache in _caches_in(argument)]
        if self._last is not None:
            self._unchanged = next((ref(layer) for layer in self._layers() if self._last.are_of(layer.values)), None)

    def log_norms(
        self, value: Float[Tensor, "batch kv_head source head_dim"], factors: Float[Tensor, "head rank head_dim"]
    ) -> Float[Tensor, "batch head source"]:
        """log‖f(x)‖ of every source and head, from value vectors (cached ones included).

        Parameters
        ----------
        value
            Value vectors of the current call.
        factors
            Factors of the current output projection, from `projection_factors`.
        """
        holder = next((layer for layer in self._layers() if layer.values is value), None)
        grown = holder is not None and self._unchanged is not None and self._unchanged() is holder
        last = self._last if self._last is not None and self._last.factors is factors else None
        self._last, self._caches, self._unchanged = None, [], None
        with torch.no_grad():
            if last is not None and last.are_of(value):
                norms = last.log_norms
            elif last is not None and grown:
                new = value[:, :, last.log_norms.shape[-1] :]
                norms = torch.cat([last.log_norms, log_vector_norms(new, factors)], dim=-1)
            else:
                norms = log_vector_norms(value, factors)
        if holder is not None and not value.is_inference():
            self._last = _Computed(ref(value), value._version, factors, norms)
        return norms

    def _layers(self) -> Iterator[DynamicLayer]:
        """The module's layers in its caches that grow by concatenation; subclasses may not."""
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
