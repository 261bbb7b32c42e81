"""Provenance: the attributes of every result that say which input, model and versions it comes from."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from normlens.inputs.example import Example
from normlens.loading.load import LoadedModel
from normlens.version import __version__


def provenance(example: Example, loaded: LoadedModel) -> dict[str, Any]:
    """The text, the model, and the versions of the libraries.

    Parameters
    ----------
    example
        The input.
    loaded
        The model.
    """
    return {
        "text": example.text,
        "target_text": "" if example.target is None else example.target.text,
        **({"truncated": example.truncated} if example.truncated else {}),
        "model": loaded.name,
        "revision": loaded.revision or "",
        "model_type": loaded.model.config.model_type,
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "normlens": __version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }
