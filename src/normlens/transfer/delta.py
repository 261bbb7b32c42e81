"""Deltas: a child on disk, as the tensors that training moved and the hash of the parent that they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from transformers import PreTrainedModel

from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import reason, temporary_folder
from normlens.lens import Lens
from normlens.transfer.child_model import Child, child_model, model_hash
from normlens.transfer.transfer_settings import setting_named
from normlens.translation.translated_text import training_facts
from normlens.version import __version__

TENSORS, MANIFEST, VOCABULARY, TRAINING = "delta.safetensors", "manifest.json", "vocabulary.spm", "training.json"
_FORMAT = 1


@dataclass(frozen=True)
class Delta:
    """A child as it was saved.

    Attributes
    ----------
    folder
        Where it is.
    setting, vocabulary, parent
        As in :class:`normlens.transfer.Child`.
    bytes
        Size of the folder's files on the disk.
    training
        How it was trained, by :func:`normlens.transfer.train`; empty for a child of another trainer.
    """

    folder: Path
    setting: str
    vocabulary: int | None
    parent: str
    bytes: int
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pieces(self) -> Path | None:
        """File of the new language's vocabulary; None if there is none."""
        path = self.folder / VOCABULARY
        return path if path.exists() else None


def save_delta(
    child: Child, folder: str | Path, training: Mapping[str, Any] | None = None, pieces: bytes | None = None
) -> Delta:
    """Save what training has moved.

    Parameters
    ----------
    child
        The child, after training.
    folder
        A new or empty folder. It gets ``delta.safetensors`` and ``manifest.json``, all files or none.
    training
        How it was trained, as plain data.
    pieces
        The new language's vocabulary, a sentencepiece model.

    Returns
    -------
    Delta

    Raises
    ------
    FrozenChanged
        If a frozen parameter isn't the parent's any more.
    InvalidInput
        If the folder holds something already.
    NormLensError
        If it can't be written.
    """
    folder = Path(folder)
    child.require_frozen()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} isn't an empty folder. Choose another name.")
    parameters = dict(child.model.named_parameters())
    tensors = {name: parameters[name].detach().cpu().contiguous() for name in child.trained}
    manifest = {
        "format": _FORMAT, "setting": child.setting.name, "vocabulary": child.vocabulary, "seed": child.seed,
        "parent_sha256": child.parent, "child_sha256": model_hash(child.model), "tensors": sorted(tensors),
        "normlens": __version__,
    }  # fmt: skip
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder.parent) as partial:
            (partial / TENSORS).write_bytes(save_tensors(tensors))
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
            if training is not None:
                (partial / TRAINING).write_text(json.dumps(training, indent=1) + "\n", encoding="utf-8")
            if pieces is not None:
                (partial / VOCABULARY).write_bytes(pieces)
            partial.replace(folder)
    except OSError as error:
        raise NormLensError(
            f"{folder} can't be written: {error.strerror}. Nothing was left behind; make space."
        ) from error
    return read_delta(folder)


def read_delta(folder: str | Path) -> Delta:
    """What a folder's manifest says.

    Raises
    ------
    InvalidInput
        If it holds no delta.
    """
    folder, manifest = Path(folder), _manifest(Path(folder))
    size = sum(path.stat().st_size for path in folder.iterdir())
    facts = manifest["setting"], manifest["vocabulary"], manifest["parent_sha256"]
    return Delta(folder, *facts, size, training_facts(folder))


def load_child(parent: Lens, folder: str | Path) -> PreTrainedModel:
    """A child as it was when it was saved, bit for bit; the parent isn't changed.

    Parameters
    ----------
    parent
        A lens on the parent.
    folder
        Of the delta.

    Returns
    -------
    transformers.PreTrainedModel
        In evaluation mode, without gradients.

    Raises
    ------
    InvalidInput
        If the folder holds no delta, or the delta belongs to another parent.
    """
    folder, manifest = Path(folder), _manifest(Path(folder))
    own = model_hash(parent.model)
    if manifest["parent_sha256"] != own:
        raise InvalidInput(
            f"{folder} belongs to another parent: its parameters have the SHA-256 {manifest['parent_sha256'][:12]}…, those "
            f"of {parent.name} {own[:12]}…. Load the parent that the child was made from, with the same dtype."
        )
    try:
        tensors = load_tensors((folder / TENSORS).read_bytes())
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{folder / TENSORS} can't be read: {error}. Save the child again.") from error
    model, _ = child_model(parent, setting_named(manifest["setting"]), manifest["vocabulary"])
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)
    if model_hash(model) != manifest["child_sha256"]:
        raise InvalidInput(
            f"{folder} has changed since it was saved: the child's SHA-256 differs. Save the child again."
        )
    return model.requires_grad_(False).eval()


def _manifest(folder: Path) -> Mapping[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise ValueError(f"format {manifest['format']}, expected {_FORMAT}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = reason(error) if isinstance(error, OSError) else error
        raise InvalidInput(
            f"{folder} holds no delta: {MANIFEST} can't be read ({cause}). Expected the folder of a child, such as "
            f"{folder / 'de-en'}."
        ) from error
    return dict(manifest)
