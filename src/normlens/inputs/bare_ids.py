"""Token ids without a mask: validation, and removal of padding if it is unambiguous."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.loading.load import LoadedModel

_ADVICE = (
    "Pass the tokenizer's output with its attention_mask, which tells them apart: {'input_ids': …, 'attention_mask': …}, "
    "with ones for the tokens to read."
)


def unpadded(ids: Sequence[int], loaded: LoadedModel) -> slice:
    """The slice of the ids that is not padding.

    Padding at the ends is removed if the tokenizer's padding token has no other use. A padding token that also begins or
    ends texts is ambiguous.

    Parameters
    ----------
    ids
        The ids of one text.
    loaded
        The model, with its tokenizer.

    Raises
    ------
    InvalidInput
        If ids are ambiguous, or all are padding.
    """
    padding = _padding_id(loaded)
    if padding is None or padding not in ids:
        return slice(0, len(ids))
    real = [k for k, i in enumerate(ids) if i != padding]
    if not real:
        raise InvalidInput(f"All {len(ids)} token ids are {padding}, the padding; expected at least one other token.")
    before, after = real[0], len(ids) - 1 - real[-1]
    named = _named(padding, loaded)
    if not _is_padding_only(padding, loaded):
        added = (0, 0) if not before and not after else _added_by_tokenizer(padding, loaded)
        if before > added[0] or after > added[1]:
            raise InvalidInput(
                f"The ids {'begin' if before > added[0] else 'end'} with {named}, which may be padding or a token of the "
                f"text. {_ADVICE}"
            )
        return slice(0, len(ids))
    if len(real) < real[-1] - real[0] + 1:
        raise InvalidInput(f"The ids contain {named}, the padding token, between other tokens. {_ADVICE}")
    return slice(real[0], real[-1] + 1)


def _padding_id(loaded: LoadedModel) -> int | None:
    owner = loaded.model.config if loaded.tokenizer is None else loaded.tokenizer
    padding: int | None = getattr(owner, "pad_token_id", None)
    return padding


def _named(padding: int, loaded: LoadedModel) -> str:
    return str(padding) if loaded.tokenizer is None else f"{padding} ({loaded.tokenizer.pad_token!r})"


def _is_padding_only(padding: int, loaded: LoadedModel) -> bool:
    """Whether the padding token has no other use. False without a tokenizer: the id in a config may be a mere default."""
    tokenizer = loaded.tokenizer
    if tokenizer is None:
        return False
    names = ("bos_token_id", "eos_token_id", "unk_token_id", "sep_token_id", "cls_token_id", "mask_token_id")
    settings = [loaded.model.config, getattr(loaded.model, "generation_config", None)]
    other = [getattr(tokenizer, name, None) for name in names]
    other += [getattr(setting, name, None) for setting in settings for name in names[:2]]
    return not any(padding in value if isinstance(value, (list, tuple)) else value == padding for value in other)


def _added_by_tokenizer(padding: int, loaded: LoadedModel) -> tuple[int, int]:
    """How many of these tokens the tokenizer itself puts at the beginning and at the end of a text."""
    if loaded.tokenizer is None:
        return 0, 0
    ids = list(loaded.tokenizer("a", verbose=False)["input_ids"])
    real = [k for k, i in enumerate(ids) if i != padding]
    return (real[0], len(ids) - 1 - real[-1]) if real else (0, 0)


def integers(ids: Any) -> list[int]:
    """Token ids as a list of integers.

    Raises
    ------
    InvalidInput
        If one of them isn't an integer of at most 64 bits.
    """
    values = ids.tolist() if isinstance(ids, (Tensor, np.ndarray)) else list(ids)
    values = [value.item() if isinstance(value, Tensor) and not value.ndim else value for value in values]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not -(2**63) <= value < 2**63:
            raise InvalidInput(
                f"{value!r} ({type(value).__name__}) is among the token ids; expected integers. Pass a text as a string, "
                "and several inputs as an iterable of texts or of lists of ids."
            )
    return [int(value) for value in values]
