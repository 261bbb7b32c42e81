"""The files of a checkpoint's tokenizer and processor, checked before transformers reads them.

They can name a class, list any number of tokens, and be nested without end. A broken file is named.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from transformers import PreTrainedModel

from normlens.errors import InvalidInput, NormLensError
from normlens.loading.checkpoint_files import CONFIG, file_at
from normlens.loading.expansion import check_whole_file
from normlens.loading.locate import ModelLocation, first_line
from normlens.loading.sizes import read_settings
from normlens.loading.tokenizer_failures import is_library_failure

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")

_TOKENIZER_FILE = re.compile(r".*token|vocab|merges|dict\.txt|tekken|.*\.(model|spm|bpe)$")
"""Names of tokenizer files."""

_ON_THE_HUB = (
    "tokenizer_config.json", "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model",
    "tokenizer.model", "source.spm",
)  # fmt: skip
"""Files of which every repository with a tokenizer has one, the most frequent first."""

_SETTINGS, _WHOLE, _ADDED = "tokenizer_config.json", "tokenizer.json", "added_tokens.json"
_OBJECTS = (_SETTINGS, _WHOLE, _ADDED, "special_tokens_map.json")
_CLASSES = (
    "tokenizer_class",
    "processor_class",
    "image_processor_type",
    "feature_extractor_type",
    "video_processor_type",
)
_LARGEST = 2**29  # bytes; a vocabulary of a million tokens takes 80 MB
_MOST_ENTRIES = 10_000_000  # of a JSON file; the largest tokenizers have 2 million
_MOST_ADDED = 100_000  # transformers reads this many in 8 s


def has_tokenizer(location: ModelLocation) -> bool:
    """Whether the checkpoint has files of a tokenizer."""
    if location.is_hub:  # asked one by one: a local cache can't be listed
        return any(file_at(location, name) is not None for name in _ON_THE_HUB)
    return any(map(_TOKENIZER_FILE.match, os.listdir(location.path_or_id)))


def check_tokenizer_files(location: ModelLocation) -> None:
    """Refuse files that are too large, name a class that is no tokenizer, or make a tokenizer without bounds.

    Raises
    ------
    InvalidInput
        Naming the file.
    """
    for name in (CONFIG, _SETTINGS):
        _check_classes(file_at(location, name))
    for name in (_WHOLE, _SETTINGS, _ADDED):
        file = file_at(location, name)
        if file is None:
            continue
        if file.stat().st_size > _LARGEST:
            raise InvalidInput(f"{file} has {file.stat().st_size:,} bytes, more than any tokenizer. Download it again.")
        content = file.read_bytes()
        count = content.count(b":" if name == _ADDED else b'"content"')
        if count > _MOST_ADDED:
            raise InvalidInput(
                f"{file} adds {count:,} tokens, more than any tokenizer ({_MOST_ADDED:,} at most). Download it again."
            )
        if (entries := content.count(b",")) > _MOST_ENTRIES:
            raise InvalidInput(
                f"{file} has {entries:,} entries, more than any tokenizer ({_MOST_ENTRIES:,} at most). Download it again."
            )
        if name == _WHOLE:
            check_whole_file(str(file), read_settings(file, _LARGEST))


def check_processor_files(location: ModelLocation) -> None:
    """Refuse files that name a class that is no processor.

    Raises
    ------
    InvalidInput
        Naming the file.
    """
    for name in PROCESSOR_FILES:
        _check_classes(file_at(location, name))


@contextmanager
def tokenizer_explained(location: ModelLocation) -> Iterator[None]:
    """Name the file that can't be read, or at least the tokenizer, if loading it fails.

    Raises
    ------
    InvalidInput
        If the files are at fault; missing packages, files and permissions pass.
    """
    try:
        yield
    except (NormLensError, ImportError, OSError):
        raise
    except BaseException as error:
        if "trust_remote_code" in str(error) or not (isinstance(error, Exception) or is_library_failure(error)):
            raise
        if location.gguf_file is None:
            for name in _OBJECTS:
                file = file_at(location, name)
                if file is not None:
                    read_settings(file, _LARGEST)
        raise InvalidInput(
            f"The tokenizer of {location.name} could not be loaded ({type(error).__name__}: {first_line(error)}). "
            "Download its files again."
        ) from error


def _check_classes(file: Path | None) -> None:
    """Refuse the name of a model, or of what loads one: it would be built, whatever its size."""
    settings: Mapping[str, Any] = {} if file is None else read_settings(file)
    for key in _CLASSES:
        name = settings.get(key)
        named = getattr(transformers, name, None) if isinstance(name, str) else name
        loads_model = isinstance(named, type) and (
            issubclass(named, PreTrainedModel) or named.__name__.startswith("Auto")
        )
        if loads_model or not isinstance(name, str | None):
            raise InvalidInput(
                f"{file} says {key} = {str(name)[:80]}, which is neither a tokenizer nor a processor. Download it again."
            )
