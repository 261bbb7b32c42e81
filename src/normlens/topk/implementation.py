"""Top-k attention as an attention implementation of transformers: the function, its masks, and what each module keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from normlens.engine.capture.interface import asks_for_eager
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.memory import memory_explained
from normlens.topk.attention import CHUNK_SIZE, topk_attention
from normlens.topk.comparison import require_same_attention
from normlens.topk.norm_cache import CachedNorms
from normlens.topk.projections import FactoredProjection

IMPLEMENTATION = "normlens_topk"
"""What `set_attn_implementation` knows it by, with `DEFAULT_K` sources by weight; `use` has all the choices."""

DEFAULT_K = 64
"""The number of sources per target that `IMPLEMENTATION` keeps."""

IN_USE, IN_USE_SPARING = "normlens_topk_in_use", "normlens_topk_in_use_sparing"
"""What `normlens.topk.use` switches to: with every mask, or with causal ones left out."""


@dataclass
class Settings:
    """How one attention module chooses its sources.

    Attributes
    ----------
    k, measure, keep, renormalize, chunk_size
        As for `normlens.topk.use`.
    projection
        The output projection; None before the first run.
    compared
        Whether a call has been compared with the module's eager function.
    cached_norms
        Norms of the sources in its cache.
    """

    k: int | None
    measure: str
    keep: str
    renormalize: bool
    chunk_size: int
    projection: FactoredProjection | None = None
    compared: bool = False
    cached_norms: CachedNorms = field(default_factory=CachedNorms)


class _Comparing(threading.local):
    """Whether this thread ignores every k, for a run that is compared with one without."""

    all_sources = False


_COMPARING = _Comparing()

SETTINGS: WeakKeyDictionary[nn.Module, Settings] = WeakKeyDictionary()
"""Of every attention module that has one of these implementations."""


@contextmanager
def all_sources() -> Iterator[None]:
    """Let this thread run models that are in use as if there were no k."""
    _COMPARING.all_sources = True
    try:
        yield
    finally:
        _COMPARING.all_sources = False


def _in_use(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **options: Any
) -> tuple[Tensor, None]:
    """Attention of a model that `use` was called on."""
    return _attention(_settings_of(module), False, module, query, key, value, attention_mask, **options), None


def _in_use_sparing(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **options: Any
) -> tuple[Tensor, None]:
    """The same where no mask means a causal one, if the module is causal."""
    return _attention(_settings_of(module), True, module, query, key, value, attention_mask, **options), None


def _settings_of(module: nn.Module) -> Settings:
    if module not in SETTINGS:
        raise InvalidInput(
            f"This {type(module).__name__} is a copy, was built from the config of a model with top-k attention, or came to "
            "its model after top-k attention did; call normlens.topk.use() on the model that runs, or undo() on the first."
        )
    return SETTINGS[module]


def _by_name(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **options: Any
) -> tuple[Tensor, None]:
    """Attention of a model that was switched by ``set_attn_implementation``."""
    if module not in SETTINGS and asks_for_eager(module):
        raise UnsupportedArchitecture(
            f"The model of this {type(module).__name__} builds its own masks only under the names of certain attention "
            "implementations; under another one it loses them silently. Switch it back: set_attn_implementation('eager')."
        )
    settings = SETTINGS.setdefault(module, Settings(DEFAULT_K, "weight", "largest", True, CHUNK_SIZE))
    return _attention(settings, False, module, query, key, value, attention_mask, **options), None


@torch.compiler.disable  # type: ignore[untyped-decorator]  # raised while code is compiled, an error is swallowed
def _refuse_compiled(name: str, measure: str) -> None:
    raise UnsupportedArchitecture(
        f"This {name} is compiled; measure={measure!r} looks at the output projection whenever the model runs, which "
        "compiled code can't do. Run the model as it is, or choose sources with measure='weight'."
    )


def _attention(*arguments: Any, **options: Any) -> Tensor:
    """Output vectors, or an error that says what to reduce if memory runs out; compiled code can't catch errors."""
    if torch.compiler.is_compiling():
        return _computed(*arguments, **options)
    with memory_explained():
        return _computed(*arguments, **options)


def _computed(
    settings: Settings,
    sparing: bool,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> Tensor:
    """Output vectors ``(batch, target, head, value_dim)``, under the contract of transformers' SDPA function."""
    if others.get("cache") is not None:
        raise UnsupportedArchitecture(
            "Continuous batching pages its cache, which top-k attention doesn't read; generate()."
        )
    targets = query.shape[2]
    causal = sparing and bool(module.is_causal if is_causal is None else is_causal)
    options: dict[str, Any] = {
        "scale": scaling,
        "softcap": softcap,
        "causal": causal and mask is None and targets > 1,
        "bias": position_bias,
        "sinks": s_aux,
        "chunk_size": settings.chunk_size,
    }
    if options["causal"]:
        options["offset"] = 0  # an empty static cache: what lies behind the targets is not written yet
    if not settings.compared:
        require_same_attention(module, query, key, value, mask, options, others)
        settings.compared = True
    k = None if _COMPARING.all_sources else settings.k
    if settings.measure != "weight" and k is not None:
        if torch.compiler.is_compiling():
            _refuse_compiled(type(module).__name__, settings.measure)
        factors = _projection(settings, module).factors()
        if settings.measure == "norm":
            options["log_norms"] = settings.cached_norms.log_norms(value, factors)
        else:
            options["factors"] = factors
    options |= {"measure": settings.measure, "keep": settings.keep, "renormalize": settings.renormalize}
    options["dropout"] = float(dropout) if module.training else 0.0
    output = topk_attention(query, key, value, mask, k=k, **options)
    return output.transpose(1, 2).contiguous()


def _projection(settings: Settings, module: nn.Module) -> FactoredProjection:
    if settings.projection is None:
        raise InvalidInput(
            f"The output projection of this {type(module).__name__} has not been observed: measure={settings.measure!r} "
            "looks for it when the model runs, or a whole submodel such as its encoder, but a module was run by itself. Run "
            "the model first."
        )
    return settings.projection


def note_cache(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Before an attention module runs, let its norms of cached sources see the cache: a forward pre-hook."""
    if module in SETTINGS:
        SETTINGS[module].cached_norms.before_call(getattr(module, "layer_idx", None), (*args, *kwargs.values()))


def _whole_masks(*arguments: Any, **options: Any) -> Tensor | None:
    """Boolean masks that are never left out where they are causal."""
    mask: Tensor | None = sdpa_mask(*arguments, **options | {"allow_is_causal_skip": False})
    return mask


for _name, _function, _masks in (
    (IMPLEMENTATION, _by_name, _whole_masks),
    (IN_USE, _in_use, _whole_masks),
    (IN_USE_SPARING, _in_use_sparing, sdpa_mask),
):
    AttentionInterface.register(_name, _function)
    AttentionMaskInterface.register(_name, _masks)
