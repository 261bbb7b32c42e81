"""What goes with a checkpoint: its tokenizer, and what turns images and sounds into its inputs."""

from __future__ import annotations

import os
import re
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

from normlens.loading.locate import ModelLocation

Processor: TypeAlias = BaseImageProcessor | FeatureExtractionMixin | ProcessorMixin
"""An image processor, a feature extractor of sounds, or either with a tokenizer."""

_PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
_TOKENIZER_FILE = re.compile(r".*token|vocab|merges|dict\.txt|tekken|.*\.(model|spm|bpe)$")
"""How the files that a tokenizer is made of are named."""


def tokenizer_at(location: ModelLocation, options: dict[str, Any]) -> PreTrainedTokenizerBase | None:
    """The tokenizer; None where transformers, finding no tokenizer files, would make up an empty one."""
    if (
        not location.is_hub
        and location.gguf_file is None
        and not any(map(_TOKENIZER_FILE.match, os.listdir(location.path_or_id)))
    ):
        return None
    tokenizer = AutoTokenizer.from_pretrained(location.path_or_id, **options)
    is_empty = set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens)
    return None if is_empty else tokenizer


def processor_at(location: ModelLocation, inputs: Collection[str], options: dict[str, Any]) -> Processor | None:
    """The processor of a checkpoint; None if its model reads text alone, or its folder has no settings for one.

    Parameters
    ----------
    location, options
        Where it is, and what else transformers is told.
    inputs
        What the model's forward takes.
    """
    sees = "pixel_values" in inputs
    if not sees and not {"input_features", "input_values"} & set(inputs):
        return None
    if not location.is_hub and not any((Path(location.path_or_id) / name).is_file() for name in _PROCESSOR_FILES):
        return None
    if {"input_ids", "decoder_input_ids"} & set(inputs):
        try:
            whole = AutoProcessor.from_pretrained(location.path_or_id, **options)
        except (OSError, ValueError, ImportError):  # one part of it is missing here: the other still serves
            whole = None
        if isinstance(whole, (ProcessorMixin, FeatureExtractionMixin, BaseImageProcessor)):
            return whole
    made: Processor = (AutoImageProcessor if sees else AutoFeatureExtractor).from_pretrained(
        location.path_or_id, **options
    )
    return made


def tokenizer_of(companion: object) -> PreTrainedTokenizerBase | None:
    """The tokenizer that this is, or that is part of it."""
    part = getattr(companion, "tokenizer", None) if isinstance(companion, ProcessorMixin) else companion
    return part if isinstance(part, PreTrainedTokenizerBase) else None


def image_processor_of(processor: Processor | None) -> BaseImageProcessor | None:
    """The image processor that this is, or that is part of it."""
    part = getattr(processor, "image_processor", processor)
    return part if isinstance(part, BaseImageProcessor) else None


def feature_extractor_of(processor: Processor | None) -> Any:
    """The feature extractor of sounds that this is, or that is part of it; None if there is none."""
    part = getattr(processor, "feature_extractor", processor)
    return part if isinstance(part, FeatureExtractionMixin) and hasattr(part, "sampling_rate") else None
