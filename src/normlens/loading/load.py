"""Load models and their tokenizers from the Hub, a folder, a GGUF file, a package or memory.

Loading runs no foreign code: weights come from safetensors or GGUF files, never from pickles, and a repository's own
Python code runs only if the caller allows it. Every loaded model is checked: it has attention, its weights are finite and
complete, and its tokenizer fits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from transformers import (
    AutoConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.loading.adapters import adapter_base, explained_base, with_adapter, without_wrapper
from normlens.loading.checkpoint_checks import check_attention, check_complete, check_tokenizer, check_weights
from normlens.loading.checkpoint_files import adapter_at, checked_settings, checked_size, refuse_code
from normlens.loading.companions import Processor, processor_at, tokenizer_at, tokenizer_of
from normlens.loading.gguf_files import as_plain, read_once
from normlens.loading.locate import ModelLocation, explained, first_line, locate_model, refuse_revision
from normlens.loading.model_classes import TASKS, model_class, resolved_class
from normlens.loading.outline import Outline
from normlens.loading.progress_bars import without_bars
from normlens.loading.sizes import bounded

ModelSource = str | Path | tuple[PreTrainedModel, PreTrainedTokenizerBase | Processor | None]


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be measured, with its tokenizer and processor.

    Attributes
    ----------
    model
        The model, in evaluation mode.
    tokenizer
        Its tokenizer; None if the model reads no text, or its folder has no tokenizer.
    processor
        Its image processor, feature extractor, or either with the tokenizer; None if the model reads only text, or its
        folder has no processor.
    name
        Hub id, bundled name, path, or class name.
    revision
        The commit on the Hub; None for models from elsewhere.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    processor: Processor | None
    name: str
    revision: str | None


def load_model(
    source: ModelSource,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    trust_remote_code: bool = False,
    task: str | None = None,
    check: Callable[[Outline], None] | None = None,
) -> LoadedModel:
    """Load a model and its tokenizer.

    Parameters
    ----------
    source
        A bundled name (``"minilm-l6"``, ``"smollm2-135m"``), a hub id (``"google-bert/bert-base-uncased"``), a folder
        with safetensors weights, a folder with an adapter of the peft library, a GGUF file, or a pair
        ``(model, tokenizer)`` or ``(model, processor)``. The model of a pair may be a ``PeftModel``; it is put into
        evaluation mode.
    revision
        Branch, tag or commit on the Hub; the default branch if None. Only for models on the Hub.
    device
        Device of the model, such as ``"cuda"``; None means the CPU, or leaves the model of a pair where it is.
    dtype
        Floating-point type, such as ``"float32"`` or ``torch.bfloat16``. None keeps the checkpoint's own dtype; a GGUF
        file is dequantized to float32.
    trust_remote_code
        Whether Python code from the model's repository may be executed.
    task
        One of :data:`TASKS`. None takes the class that the checkpoint names, so that a classifier keeps its classes and a
        language model its head.
    check
        Called with an outline of the model (config, class, tokenizer) before the weights are read; an exception stops the
        loading. Not called for a pair.

    Raises
    ------
    ModelNotFound
        If the model doesn't exist, or can't be loaded safely.
    InvalidInput
        If an option is invalid, a file is broken or incomplete, weights are not finite, or the tokenizer doesn't fit.
    UnsupportedArchitecture
        If the model has no attention or was compiled.
    """
    device, dtype = checked_device(device), _dtype(dtype)
    if task is not None and task not in TASKS:
        raise InvalidInput(f"Unknown task {task!r}. Choose one of {', '.join(TASKS)}.")
    if isinstance(source, str | Path):
        location = locate_model(source, revision)
        with without_bars(location.is_hub):
            loaded = _load(location, LoadingOptions(dtype, trust_remote_code, task, check))
    else:
        refuse_revision("A pair (model, tokenizer)", revision)
        loaded = _from_pair(source, dtype)
    check_weights(loaded.model)
    check_attention(loaded.model)
    check_tokenizer(loaded.name, loaded.model, loaded.tokenizer)
    if device is not None:
        loaded.model.to(device)
    return loaded


@dataclass(frozen=True)
class LoadingOptions:
    """Parameters of :func:`load_model` for models that are loaded from files."""

    dtype: torch.dtype | None
    trust_remote_code: bool
    task: str | None
    check: Callable[[Outline], None] | None


def _load(location: ModelLocation, options: LoadingOptions, adapters: tuple[Path, ...] = ()) -> LoadedModel:
    """The model at a location; ``adapters`` are the folders before it in a chain of adapters."""
    with explained(location, options.trust_remote_code), read_once(location.gguf_file):
        adapter = adapter_at(location)
        if adapter is None:
            return _load_checkpoint(location, options)
    return _load_adapter(*adapter, options, adapters)


def _load_adapter(
    location: ModelLocation, folder: Path, options: LoadingOptions, adapters: tuple[Path, ...]
) -> LoadedModel:
    """The adapter's base model with the adapter; the tokenizer is the adapter's own if it has one."""
    with explained(location, options.trust_remote_code):
        base = adapter_base(location.name, folder, adapters)
    with explained_base(location.name, base):
        at = locate_model(base.name, base.revision)
        loaded = _load(at, replace(options, task=options.task or base.task), (*adapters, folder.resolve()))
    with explained(location, options.trust_remote_code):
        hub_options = {"trust_remote_code": options.trust_remote_code, "revision": location.revision}
        own = tokenizer_at(location, hub_options) if loaded.tokenizer is not None else None
        model = with_adapter(loaded.model, folder)
    return LoadedModel(model, own or loaded.tokenizer, loaded.processor, location.name, location.revision)


def _load_checkpoint(location: ModelLocation, options: LoadingOptions) -> LoadedModel:
    """Read the settings, then the shapes of the weights, and only then build the model."""
    location, settings, size = checked_settings(location)
    if not options.trust_remote_code:
        refuse_code(location, settings)
    hub_options: dict[str, Any] = {"trust_remote_code": options.trust_remote_code}
    if location.revision is not None:
        hub_options["revision"] = location.revision
    if location.gguf_file is not None:
        hub_options["gguf_file"] = location.gguf_file
    config = AutoConfig.from_pretrained(location.path_or_id, **hub_options)
    chosen_class = model_class(config, options.task, location.gguf_file is not None)
    outline = _outline(location, config, chosen_class, hub_options)
    if options.check is not None:
        options.check(outline)
    with bounded(location.name, size or checked_size(location, settings)):
        model, info = chosen_class.from_pretrained(
            location.path_or_id,
            config=config,
            dtype=options.dtype or (torch.float32 if location.gguf_file else "auto"),
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # check_complete reports them by name
            **hub_options,
        )
    check_complete(location.name, model, info)
    if location.gguf_file is not None:
        as_plain(model)
    return _with_companions(location, model.eval(), outline, hub_options)


def _with_companions(
    location: ModelLocation, model: PreTrainedModel, outline: Outline, hub_options: dict[str, Any]
) -> LoadedModel:
    """A loaded model with its processor and its tokenizer, which is the outline's if that has one."""
    inputs = inspect.signature(model.forward).parameters
    processor = processor_at(location, inputs, hub_options)
    own = outline.tokenizer or (tokenizer_at(location, hub_options) if _reads_text(inputs) else None)
    tokenizer = own or tokenizer_of(processor)
    return LoadedModel(model, tokenizer, processor, location.name, location.revision)


def _outline(
    location: ModelLocation, config: PreTrainedConfig, chosen_class: Any, hub_options: dict[str, Any]
) -> Outline:
    """The outline of a model before its weights are read."""
    resolved = resolved_class(chosen_class, config)
    inputs = () if resolved is None else inspect.signature(resolved.forward).parameters
    tokenizer = tokenizer_at(location, hub_options) if _reads_text(inputs) else None
    return Outline(location.name, config, resolved, tokenizer)


def _reads_text(inputs: Collection[str]) -> bool:
    return "input_ids" in inputs or "decoder_input_ids" in inputs


def _from_pair(source: Any, dtype: torch.dtype | None) -> LoadedModel:
    """A model that the caller already has, with its tokenizer or processor."""
    if not isinstance(source, tuple) or len(source) != 2:
        raise InvalidInput(
            f"Can't load a {type(source).__name__}. Pass a name, a path, or a pair (model, tokenizer), in which the "
            "tokenizer may be None."
        )
    model, companion = source
    model = without_wrapper(model)
    modules = model.modules() if isinstance(model, torch.nn.Module) else ()
    if any(hasattr(module, "_orig_mod") or module._compiled_call_impl is not None for module in modules):
        raise UnsupportedArchitecture(
            "The model was compiled with torch.compile, which hides its operations. Pass the uncompiled model."
        )
    if not isinstance(model, PreTrainedModel):
        raise InvalidInput(f"The first of the pair is a {type(model).__name__}; expected a transformers model.")
    if companion is not None and not isinstance(companion, (PreTrainedTokenizerBase, *get_args(Processor))):
        raise InvalidInput(
            f"The second of the pair is a {type(companion).__name__}; expected a tokenizer, a processor, an image "
            "processor, a feature extractor or None."
        )
    return LoadedModel(
        model=model.eval() if dtype is None else model.eval().to(dtype),
        tokenizer=tokenizer_of(companion),
        processor=None if isinstance(companion, PreTrainedTokenizerBase) else companion,
        name=model.name_or_path or type(model).__name__,
        revision=getattr(model.config, "_commit_hash", None),
    )


def checked_device(device: str | torch.device | None) -> torch.device | None:
    """The device, checked by moving a tensor to it and back.

    Raises
    ------
    InvalidInput
        If it can't be used.
    """
    if device is None:
        return None
    try:
        return torch.zeros(1, device=device).cpu().to(device).device
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        raise InvalidInput(f"Device {device} can't be used: {first_line(error).rstrip('.!')}. Use 'cpu'.") from error


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    if dtype is None:
        return None
    torch_dtype = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(torch_dtype, torch.dtype) or not torch_dtype.is_floating_point:
        raise InvalidInput(f"Unknown dtype {dtype!r}. Use float32, float64, float16 or bfloat16.")
    return torch_dtype
