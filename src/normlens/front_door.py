"""``load``, the entry point of the library: loads a model as a lens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Never

import torch

from normlens.errors import refuse_unknown_options
from normlens.lens import Lens
from normlens.loading.load import ModelSource, load_model
from normlens.loading.outline import Outline


def load(
    source: ModelSource,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    task: str | None = None,
    trust_remote_code: bool = False,
    check: Callable[[Outline], None] | None = None,
    **unknown: Never,
) -> Lens:
    """Load a model as a :class:`Lens`.

    Parameters
    ----------
    source
        A hub id, a local folder with safetensors, a GGUF file, a bundled name ("minilm-l6", "smollm2-135m"), or a
        ``(model, tokenizer)`` pair.
    revision, device, dtype, task, trust_remote_code, check
        As in :func:`normlens.loading.load.load_model`.
    **unknown
        Refused; the message suggests the nearest option.

    Raises
    ------
    ModelNotFound
        If the model doesn't exist, or can't be loaded safely.
    UnsupportedArchitecture
        If the model has no attention.
    """
    refuse_unknown_options(load, unknown)
    return Lens(
        load_model(
            source, revision=revision, device=device, dtype=dtype, task=task, trust_remote_code=trust_remote_code,
            check=check,
        )
    )  # fmt: skip
