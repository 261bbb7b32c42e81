"""Which model, versions and machine settings a result depends on, so that workers can be compared with the plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from normlens.lens import Lens
from normlens.version import __version__

_COMPARED = 4096  # numbers at the beginning of every parameter


def model_identity(lens: Lens) -> dict[str, Any]:
    """Revision, dtype and size of a model, and hashes of its config, its vocabulary and samples of its weights."""
    digest = hashlib.sha256()
    for name, parameter in lens.model.named_parameters():
        numbers = parameter.detach().reshape(-1)[:_COMPARED].float().cpu().numpy()
        digest.update(f"{name} {tuple(parameter.shape)}".encode())
        digest.update(numbers.tobytes())
    config = {name: value for name, value in lens.model.config.to_dict().items() if not name.startswith("_")}
    vocabulary = {} if lens.tokenizer is None else lens.tokenizer.get_vocab()
    return {
        "revision": lens.revision or "",
        "dtype": str(lens.model.dtype).removeprefix("torch."),
        "parameters": sum(parameter.numel() for parameter in lens.model.parameters()),
        "config_sha256": _sha256(config),
        "vocabulary_sha256": _sha256(sorted(vocabulary.items(), key=lambda entry: (entry[1], entry[0]))),
        "weights_sha256": digest.hexdigest(),
    }


def installed_versions() -> dict[str, str]:
    """Versions of the packages on which numbers depend."""
    versions = {"normlens": __version__, "torch": str(torch.__version__)}
    for package in ("transformers", "tokenizers", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = ""
    return versions


def mismatch(planned: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first difference between what was planned and what a worker has, as a clause; empty if there is none."""
    for name in planned:
        if planned[name] != here.get(name):
            return f"{name} is {here.get(name)!r} here and {planned[name]!r} in the plan"
    return ""


def _sha256(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()
