"""Switch a model's attention to top-k attention, and back: one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.as_configured import described
from normlens.engine.capture.interface import asks_for_eager, eager_function, has_interface
from normlens.engine.locks import exclusive
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.lens import Lens
from normlens.topk.attention import CHUNK_SIZE
from normlens.topk.first_run import FirstRuns, is_text
from normlens.topk.implementation import DEFAULT_K, IN_USE, IN_USE_SPARING, SETTINGS, Settings, all_sources, note_cache
from normlens.topk.layer_selection import chosen_paths
from normlens.topk.norm_cache import CachedNorms
from normlens.topk.own_configs import OwnConfigs
from normlens.topk.projections import find_projections
from normlens.topk.selection import checked_numbers, criterion_of

_USES: WeakKeyDictionary[nn.Module, ReferenceType[TopKUse]] = WeakKeyDictionary()  # the model's hooks hold the use


def use(
    model: PreTrainedModel | Lens,
    k: int | None = DEFAULT_K,
    measure: str = "weight",
    *,
    keep: str = "largest",
    renormalize: bool = True,
    chunk_size: int = CHUNK_SIZE,
    layers: Iterable[int | str] | None = None,
) -> TopKUse:
    """Let every target of a model's attention keep k sources, from now on or while a ``with`` block lasts.

    At its first call, every attention module is compared with the model's own eager attention, on a few targets and with
    all sources. With any measure but the weight, a short run before the first one finds the output projections.
    Generation with a key-value cache works as usual.

    Parameters
    ----------
    model
        A model whose attention goes through transformers' attention interface, or a lens on one.
    k
        Number of sources per target and head; None: all, in chunks.
    measure
        What the sources are chosen by: ``"weight"``: α; ``"norm"``: α‖f(x)‖; ``"displacement"``: α‖f(x) − o‖, with the
        head's output o; ``"joint"``: k sources together, so that their mixture is near o (see
        :func:`normlens.topk.topk_attention`; for short texts).
    keep
        ``"largest"``: the sources of the largest measure; ``"random"`` and ``"recent"`` (nearest to the target) are
        baselines.
    renormalize
        Whether the kept weights sum to one again, or keep the denominator of all sources.
    chunk_size
        Number of targets processed at a time.
    layers
        Numbers of layers, or patterns of module paths (``"*.encoder_attn"``); the others keep all sources. None: all.

    Returns
    -------
    TopKUse
        Its ``undo()`` switches back; so does leaving its ``with`` block.

    Raises
    ------
    InvalidInput
        If k isn't a positive integer, a layer or measure doesn't exist, or the model uses top-k attention already.
    UnsupportedArchitecture
        If the model's attention can't be switched, or, at its first run, if it differs from ours.
    OutOfMemory
        While the model runs, if memory runs out in its attention or in the comparison before its first run.

    Examples
    --------
    >>> with normlens.topk.use(model, k=8, measure="norm"):  # doctest: +SKIP
    ...     output = model(**inputs)
    """
    switched = model.model if isinstance(model, Lens) else model
    criterion_of(measure, keep)
    settings = Settings(checked_numbers(k, chunk_size), measure, keep, renormalize, chunk_size)
    return TopKUse(switched, settings, layers)


def undo(model: PreTrainedModel | Lens) -> None:
    """Switch a model back to the attention that it had before `use`; also works on a copy made of it meanwhile.

    Raises
    ------
    InvalidInput
        If the model doesn't use top-k attention.
    """
    switched = model.model if isinstance(model, Lens) else model
    current = _use_of(switched)
    if current is None:
        raise InvalidInput(f"This {type(switched).__name__} doesn't use top-k attention; there is nothing to undo.")
    current.undo()


class TopKUse:
    """A model that uses top-k attention, until `undo`; made by `use`.

    Attributes
    ----------
    model
        The model.
    paths
        Paths of the attention modules that keep k sources.
    """

    def __init__(self, model: PreTrainedModel, chosen: Settings, layers: Iterable[int | str] | None) -> None:
        with exclusive(model):
            self._use(model, chosen, layers)

    def _use(self, model: PreTrainedModel, chosen: Settings, layers: Iterable[int | str] | None) -> None:
        modules = _attention_modules(model)
        self.model, self.paths = model, chosen_paths(list(modules), layers)
        if model in _USES:
            raise InvalidInput(
                f"This {type(model).__name__} uses top-k attention already; call normlens.topk.undo(model) first."
            )
        copied = _use_of(model)
        if copied is not None:
            copied.undo()
        for path, module in modules.items():
            kept = chosen.k if path in self.paths else None
            SETTINGS[module] = replace(chosen, k=kept, cached_norms=CachedNorms())
        self._modules = modules
        by_vectors = chosen.measure != "weight" and chosen.k is not None
        self._projections_wanted = {modules[path] for path in self.paths} if by_vectors else set()
        self._first_runs = FirstRuns(model, _uses_ours, self._compare)
        self._hooks = [model.register_forward_hook(self._require_calls)]
        self._hooks += [model.register_forward_pre_hook(_require_masks_that_fit, with_kwargs=True)]
        measured = self._projections_wanted
        self._hooks += [module.register_forward_pre_hook(note_cache, with_kwargs=True) for module in measured]
        self._configs = OwnConfigs(model)
        self._configs.switch(IN_USE)
        _USES[model] = ref(self)

    def undo(self) -> None:
        """Switch the model back and restore its configs; calling it again does nothing."""
        with exclusive(self.model):
            if _use_of(self.model) is not self:
                return
            _USES.pop(self.model, None)
            self._configs.give_back()
            for module in self._modules.values():
                SETTINGS.pop(module, None)
            for hook in self._hooks:
                hook.remove()
            self._first_runs.remove()

    def __enter__(self) -> TopKUse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()

    def _compare(self, submodel: PreTrainedModel, inputs: dict[str, Any], agrees: Callable[[str], bool]) -> None:
        """Before a submodel's first run: refuse it if top-k attention with all sources differs from eager attention."""
        inside = set(submodel.modules())
        if any(module not in SETTINGS for module in self._modules.values()):
            raise InvalidInput(
                f"This {type(submodel).__name__} is a copy of a model with top-k attention; call normlens.topk.use() on the "
                "copy itself, after undo() on the first."
            )
        own = [module for module in self._modules.values() if module in inside]
        if not own:
            return
        with all_sources():
            if not agrees(IN_USE):
                chosen = described(submodel)
                own_one = f"as it is set, to {chosen}" if chosen else "under its own eager attention"
                raise UnsupportedArchitecture(
                    f"The output of {type(submodel).__name__} under top-k attention with all sources differs from that "
                    f"{own_one}; top-k attention replaces eager attention, whatever its name. It can't be switched."
                )
            self._spare_masks(own, is_text(inputs), agrees)
        if self._projections_wanted & inside:
            for module, projection in find_projections(submodel, inputs).items():
                SETTINGS[module].projection = projection

    def _spare_masks(self, own: list[nn.Module], text: bool, agrees: Callable[[str], bool]) -> None:
        """From now on, leave causal masks out if the whole model gives the same output without them."""
        modules = self._modules.values()
        if not text or len(own) < len(modules) or not all(hasattr(module, "is_causal") for module in modules):
            return
        if agrees(IN_USE_SPARING):
            self._configs.switch(IN_USE_SPARING)

    def _require_calls(self, model: nn.Module, args: Any, output: Any) -> None:
        """After the model's first run: refuse a model that computes its attention elsewhere."""
        if self._first_runs.running or not _uses_ours(self.model):
            return
        if not any(SETTINGS[module].compared for module in self._modules.values()):
            raise UnsupportedArchitecture(
                f"{type(model).__name__} ran without calling the attention function that it was switched to; it computes "
                "attention elsewhere, and top-k attention would have no effect. Its output is withheld."
            )


def _use_of(model: nn.Module) -> TopKUse | None:
    """The `TopKUse` of a model; for a copy of a model, the one that was copied with its hooks."""
    own = _USES[model]() if model in _USES else None
    hook_owners = (getattr(hook, "__self__", None) for hook in getattr(model, "_forward_hooks", {}).values())
    return own or next((owner for owner in hook_owners if isinstance(owner, TopKUse)), None)


def _require_masks_that_fit(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Before each run: refuse a padding mask that doesn't fit the inputs, which transformers would stretch or cut.

    Raises
    ------
    InvalidInput
        With both shapes.
    """
    for side in ("", "decoder_"):
        mask, ids = kwargs.get(f"{side}attention_mask"), kwargs.get(f"{side}input_ids")
        if not (isinstance(mask, Tensor) and isinstance(ids, Tensor) and mask.ndim == ids.ndim == 2):
            continue
        cached = kwargs.get("past_key_values") is not None
        fits = mask.shape[1] >= ids.shape[1] if cached else mask.shape[1] == ids.shape[1]
        if mask.shape[0] != ids.shape[0] or not fits:
            raise InvalidInput(
                f"{side}attention_mask has shape {tuple(mask.shape)} for {side}input_ids of shape {tuple(ids.shape)}; "
                "expected one entry for each token of each text, cached tokens first."
            )


def _uses_ours(submodel: PreTrainedModel) -> bool:
    """Whether a submodel uses our attention at the moment: an analysis switches it to another temporarily."""
    return submodel.config._attn_implementation_internal in (IN_USE, IN_USE_SPARING)


def _attention_modules(model: PreTrainedModel) -> dict[str, nn.Module]:
    """The modules whose attention can be switched, by path.

    Raises
    ------
    InvalidInput
        If it isn't a transformers model.
    UnsupportedArchitecture
        If a submodel's attention can't be switched, or no module has an eager function to be compared with.
    """
    if not isinstance(model, PreTrainedModel):
        raise InvalidInput(
            f"Got a {type(model).__name__}; expected a transformers model or a lens on one. A compiled model can't be "
            "switched: call use() first, then compile."
        )
    for submodel in model.modules():
        if isinstance(submodel, PreTrainedModel) and not has_interface(submodel):
            raise UnsupportedArchitecture(
                f"{type(submodel).__name__} computes attention inside its own modules instead of calling transformers' "
                "attention interface, so it can't be switched. Models such as BERT, GPT-2, Llama or Marian can."
            )
    if asks_for_eager(model):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} builds its own masks only under the names of certain attention implementations and "
            "would silently lose them under another. It can't be switched."
        )
    modules = {path: module for path, module in model.named_modules() if _has_eager_function(module)}
    if not modules:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} has no attention with an eager function (perhaps it runs in fused kernels only, or "
            "has no softmax attention); there is nothing that top-k attention could be compared with, or replace."
        )
    return modules


def _has_eager_function(module: nn.Module) -> bool:
    try:
        return eager_function(module) is not None
    except (UnsupportedArchitecture, AttributeError):
        return False
