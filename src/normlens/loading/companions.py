"""The tokenizer and the processor of a checkpoint."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeAlias

from transformers import (
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    FeatureExtractionMixin,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from normlens.loading.companion_files import (
    PROCESSOR_FILES,
    check_processor_files,
    check_tokenizer_files,
    has_tokenizer,
    tokenizer_explained,
)
from normlens.loading.locate import ModelLocation

Processor: TypeAlias = BaseImageProcessor | FeatureExtractionMixin | ProcessorMixin
"""An image processor, a feature extractor for sounds, or either with a tokenizer."""


def tokenizer_at(location: ModelLocation, options: dict[str, Any]) -> PreTrainedTokenizerBase | None:
    """The tokenizer; None if there are no tokenizer files (transformers would make an empty one)."""
    if location.gguf_file is None:
        if not has_tokenizer(location):
            return None
        check_tokenizer_files(location)
    with tokenizer_explained(location):
        tokenizer = AutoTokenizer.from_pretrained(location.path_or_id, **options)
        is_empty = set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens)
    return None if is_empty else tokenizer


def processor_at(location: ModelLocation, inputs: Collection[str], options: dict[str, Any]) -> Processor | None:
    """The processor of a checkpoint; None if its model reads only text, or its folder has no processor config.

    Parameters
    ----------
    location, options
        The location, and further arguments of ``from_pretrained``.
    inputs
        Names of the arguments of the model's forward.
    """
    sees = "pixel_values" in inputs
    if not sees and not {"input_features", "input_values"} & set(inputs):
        return None
    if not location.is_hub and not any((Path(location.path_or_id) / name).is_file() for name in PROCESSOR_FILES):
        return None
    check_processor_files(location)
    if {"input_ids", "decoder_input_ids"} & set(inputs):
        try:
            whole = AutoProcessor.from_pretrained(location.path_or_id, **options)
        except (OSError, ValueError, ImportError):  # a package that one component needs is missing; the other may load
            whole = None
        if isinstance(whole, (ProcessorMixin, FeatureExtractionMixin, BaseImageProcessor)):
            return whole
    made: Processor = (AutoImageProcessor if sees else AutoFeatureExtractor).from_pretrained(
        location.path_or_id, **options
    )
    return made


def tokenizer_of(companion: object) -> PreTrainedTokenizerBase | None:
    """The object itself if it is a tokenizer, or the tokenizer of a processor."""
    tokenizer = getattr(companion, "tokenizer", None) if isinstance(companion, ProcessorMixin) else companion
    return tokenizer if isinstance(tokenizer, PreTrainedTokenizerBase) else None


def image_processor_of(processor: Processor | None) -> BaseImageProcessor | None:
    """The object itself if it is an image processor, or the image processor of a processor."""
    image_processor = getattr(processor, "image_processor", processor)
    return image_processor if isinstance(image_processor, BaseImageProcessor) else None


def feature_extractor_of(processor: Processor | None) -> Any:
    """The feature extractor for sounds: the object itself, or that of a processor; None if there is none."""
    extractor = getattr(processor, "feature_extractor", processor)
    return extractor if isinstance(extractor, FeatureExtractionMixin) and hasattr(extractor, "sampling_rate") else None
