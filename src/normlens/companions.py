"""What goes with a checkpoint: its tokenizer, or its image processor."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, AutoTokenizer, BaseImageProcessor, PreTrainedTokenizerBase

from normlens.places import Place

_TOKENIZER_FILE = re.compile(r".*token|vocab|merges|dict\.txt|tekken|.*\.(model|spm|bpe)$")
"""How the files that a tokenizer is made of are named."""


def tokenizer_at(place: Place, options: dict[str, Any]) -> PreTrainedTokenizerBase | None:
    """The tokenizer; None where transformers, finding no tokenizer files, would make up an empty one."""
    if not place.is_hub and place.gguf_file is None and not any(map(_TOKENIZER_FILE.match, os.listdir(place.location))):
        return None
    tokenizer = AutoTokenizer.from_pretrained(place.location, **options)
    is_empty = set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens)
    return None if is_empty else tokenizer


def processor_at(place: Place, options: dict[str, Any]) -> BaseImageProcessor | None:
    """The image processor; None if the folder has no settings for one."""
    if not place.is_hub and not (Path(place.location) / "preprocessor_config.json").is_file():
        return None
    return AutoImageProcessor.from_pretrained(place.location, **options)
