"""Teacher forcing: a decoder reads its start token, then the target without its last token."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel

from normlens.inputs.tokens import Tokens


def shifted(target: Tokens, model: PreTrainedModel, prefix: Sequence[int] = ()) -> Tokens:
    """The decoder's input tokens for a target.

    Parameters
    ----------
    target
        The target's tokens.
    model
        The model, whose config names the start token.
    prefix
        Ids that the tokenizer puts before each target; if they begin with the start token (Whisper), it isn't added again.
    """
    config = model.config
    names = ("decoder_start_token_id", "bos_token_id", "pad_token_id")
    start = next((s for name in names if (s := getattr(config, name, None)) is not None), 0)
    if getattr(config, names[0], None) is None and _shifts_by_last_token(model):
        start = int(target.ids[-1])
    begins = [start] == list(prefix[:1]) == target.ids[:1].tolist()
    first = {"ids": [start], "labels": ["[START]"], "special": [True], "offsets": [[0, 0]], "words": [-1]}
    columns = {
        name: np.concatenate([value, getattr(target, name)[int(begins) : -1]])
        for name, value in {**first, "categories": ["special"]}.items()
    }
    return Tokens(text=target.text, **columns)


def _shifts_by_last_token(model: PreTrainedModel) -> bool:
    """Whether a decoder starts with the target's last token (the language, in mBART) instead of a fixed token."""
    shift = getattr(sys.modules[type(model).__module__], "shift_tokens_right", None)
    return shift is not None and len(inspect.signature(shift).parameters) == 2
