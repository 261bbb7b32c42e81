"""Token ids as numbers: whether they are such, and where the padding of those without a mask is, if that is certain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.loading.load import LoadedModel

_ADVICE = (
    "Pass what the tokenizer returned, which says so in its attention_mask: {'input_ids': …, 'attention_mask': …}, with "
    "ones for tokens that are to be read."
)


def unpadded(ids: Sequence[int], loaded: LoadedModel) -> slice:
    """Which of the ids are text.

    Padding at the ends is left out where the tokenizer's padding token has no other use. A token that also ends or
    begins texts may be either.

    Parameters
    ----------
    ids
        Of one text.
    loaded
        The model, with its tokenizer.

    Raises
    ------
    InvalidInput
        If some may be padding or text, or all are padding.
    """
    padding = _padding_id(loaded)
    if padding is None or padding not in ids:
        return slice(0, len(ids))
    real = [k for k, i in enumerate(ids) if i != padding]
    if not real:
        raise InvalidInput(f"All {len(ids)} token ids are {padding}, the padding; expected at least one other token.")
    before, behind = real[0], len(ids) - 1 - real[-1]
    named = _named(padding, loaded)
    if not _is_padding_only(padding, loaded):
        own = (0, 0) if not before and not behind else _written(padding, loaded)
        if before > own[0] or behind > own[1]:
            raise InvalidInput(
                f"The ids {'begin' if before > own[0] else 'end'} with {named}, which may be padding or a token of the "
                f"text. {_ADVICE}"
            )
        return slice(0, len(ids))
    if len(real) < real[-1] - real[0] + 1:
        raise InvalidInput(f"The ids hold {named}, the padding, between other tokens. {_ADVICE}")
    return slice(real[0], real[-1] + 1)


def _padding_id(loaded: LoadedModel) -> int | None:
    owner = loaded.model.config if loaded.tokenizer is None else loaded.tokenizer
    padding: int | None = getattr(owner, "pad_token_id", None)
    return padding


def _named(padding: int, loaded: LoadedModel) -> str:
    return str(padding) if loaded.tokenizer is None else f"{padding} ({loaded.tokenizer.pad_token!r})"


def _is_padding_only(padding: int, loaded: LoadedModel) -> bool:
    """Whether the padding token has no other use; without a tokenizer a config's figure may never have been set."""
    tokenizer = loaded.tokenizer
    if tokenizer is None:
        return False
    names = ("bos_token_id", "eos_token_id", "unk_token_id", "sep_token_id", "cls_token_id", "mask_token_id")
    settings = [loaded.model.config, getattr(loaded.model, "generation_config", None)]
    other = [getattr(tokenizer, name, None) for name in names]
    other += [getattr(setting, name, None) for setting in settings for name in names[:2]]
    return not any(padding in value if isinstance(value, (list, tuple)) else value == padding for value in other)


def _written(padding: int, loaded: LoadedModel) -> tuple[int, int]:
    """How often the tokenizer itself begins and ends a text with this token."""
    if loaded.tokenizer is None:
        return 0, 0
    ids = list(loaded.tokenizer("a", verbose=False)["input_ids"])
    real = [k for k, i in enumerate(ids) if i != padding]
    return (real[0], len(ids) - 1 - real[-1]) if real else (0, 0)


def integers(ids: Any) -> list[int]:
    """Token ids as they were given, if they are whole numbers that a model can take."""
    values = ids.tolist() if isinstance(ids, (Tensor, np.ndarray)) else list(ids)
    values = [value.item() if isinstance(value, Tensor) and not value.ndim else value for value in values]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not -(2**63) <= value < 2**63:
            raise InvalidInput(
                f"{value!r} ({type(value).__name__}) is among the token ids; expected whole numbers. Pass a text as a "
                "string, and several inputs as an iterable of texts or of lists of ids."
            )
    return [int(value) for value in values]
