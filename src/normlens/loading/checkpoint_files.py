"""Fetch the files of a checkpoint, from a folder or the Hub, in the order in which they are checked.

A file on the Hub is first downloaded into the local cache. Its settings are read before its weights are downloaded, and the
shapes of its weights before a model is built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

from normlens.errors import InvalidInput, ModelNotFound
from normlens.loading import adapters
from normlens.loading.locate import ModelLocation
from normlens.loading.sizes import CheckpointSize, check_settings, read_settings, size_of_files, size_of_gguf

CONFIG = "config.json"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_SAFE_NAME = re.compile(r"(?!\.)[\w.-]+\.safetensors(\.index\.json)?")


def file_at(location: ModelLocation, name: str) -> Path | None:
    """A file of the checkpoint, downloaded if it is neither in a folder nor in the local cache; None if there is none.

    None also if the repository doesn't exist; transformers then says why.
    """
    if not location.is_hub:
        path = Path(location.path_or_id) / name
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(location.path_or_id, name, revision=location.revision))
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        return None


def adapter_at(location: ModelLocation) -> tuple[ModelLocation, Path] | None:
    """The location of an adapter, on the Hub with its commit, and the folder of its files; None if it is a whole model."""
    if not location.is_hub:
        return (location, Path(location.path_or_id)) if location.is_adapter else None
    settings = file_at(location, adapters.CONFIG)
    if settings is None:
        return None
    location = replace(location, revision=_commit(settings))
    file_at(location, adapters.WEIGHTS)
    return location, settings.parent


def checked_settings(location: ModelLocation) -> tuple[ModelLocation, Mapping[str, Any], CheckpointSize | None]:
    """The settings in config.json, with plausible counts, and the location with their commit.

    Everything else is read from the same commit, even if the branch moves in the meantime. A GGUF file has its settings and
    the shapes of its weights in one header, so its size is also returned.

    Raises
    ------
    InvalidInput
        If the file is broken or a count exceeds that of any model.
    """
    if location.gguf_file is not None:
        return location, {}, size_of_gguf(location.name, Path(location.path_or_id) / location.gguf_file)
    file = file_at(location, CONFIG)
    if file is None:
        return location, {}, None
    settings = read_settings(file)
    check_settings(location.name, settings, None)
    return (replace(location, revision=_commit(file)) if location.is_hub else location), settings, None


def refuse_code(location: ModelLocation, settings: Mapping[str, Any]) -> None:
    """Refuse settings that take the code of attention or experts from a repository on the Hub.

    Raises
    ------
    ModelNotFound
        Naming the repository.
    """
    waiting = [settings]
    while waiting:
        for key, value in waiting.pop().items():
            if isinstance(value, Mapping):
                waiting.append(value)
            elif key.endswith("_implementation") and "/" in str(value):
                raise ModelNotFound(
                    f"{location.name} takes its {key.strip('_')} from {value}, whose code would run. If you trust it, "
                    "pass trust_remote_code=True; otherwise, remove the setting from config.json."
                )


def checked_size(location: ModelLocation, settings: Mapping[str, Any]) -> CheckpointSize | None:
    """The size of the weights' files; None if there are none.

    Raises
    ------
    InvalidInput
        If the settings need more weights, or a file is broken.
    ModelNotFound
        If the weights aren't in safetensors.
    """
    size = size_of_files(_weight_files(location, settings))
    check_settings(location.name, settings, size)
    return size


def _weight_files(location: ModelLocation, settings: Mapping[str, Any]) -> list[Path]:
    """The safetensors files that transformers would load, downloaded if necessary; empty if there are none."""
    named = settings.get("transformers_weights")
    names = (_WEIGHTS, _INDEX) if named is None else (_safe(location, CONFIG, named),)
    file = next((path for path in (file_at(location, name) for name in names) if path is not None), None)
    if file is None or file.suffix == ".safetensors":
        return [] if file is None else [file]
    weight_map = read_settings(file).get("weight_map")
    if not isinstance(weight_map, dict):
        raise InvalidInput(f"{file} has no weight_map, which maps each weight to its file. Download it again.")
    shards = []
    for name in sorted({_safe(location, file.name, name) for name in weight_map.values()}):
        shard = file_at(location, name)
        if shard is None:
            raise InvalidInput(f"{location.name} lacks {name}, which {file.name} lists. Download it again.")
        shards.append(shard)
    return shards


def _safe(location: ModelLocation, where: str, name: object) -> str:
    """The name of a weights file, if it is in the folder of the settings and isn't a pickle."""
    if isinstance(name, str) and _SAFE_NAME.fullmatch(name):
        return name
    raise ModelNotFound(
        f"{where} of {location.name} says that the weights are in {str(name)[:80]!r}; only *.safetensors files in the same "
        "folder are read, never a pickle. Download the checkpoint again, or save it with save_pretrained."
    )


def _commit(file: Path) -> str:
    """The commit of a file in the local cache: …/snapshots/<commit>/<file>."""
    return file.parent.name
