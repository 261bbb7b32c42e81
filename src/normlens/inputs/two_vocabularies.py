"""Tokenizers with a vocabulary for each side, such as Marian's: transformers spells all ids by that of the target."""

from __future__ import annotations

import copy

from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput


def of_source(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer that spells the ids of the source: itself if it has one vocabulary, else a copy.

    Raises
    ------
    InvalidInput
        If a special token has another id in the other vocabulary, so that special tokens can't be told apart.
    """
    if not getattr(tokenizer, "separate_vocabs", False):
        return tokenizer
    sides = tokenizer.encoder, tokenizer.target_encoder
    differing = [name for name in tokenizer.all_special_tokens if len({side.get(name) for side in sides}) > 1]
    if differing:
        raise InvalidInput(
            f"{differing[0]} is {sides[0].get(differing[0])} in the tokenizer's vocabulary of the source and "
            f"{sides[1].get(differing[0])} in that of the target; transformers reads special tokens by one of them. Pass "
            "token ids, and load the model without its tokenizer: (model, None)."
        )
    view = copy.copy(tokenizer)
    view.decoder = {number: name for name, number in tokenizer.encoder.items()}
    view.spm_target = tokenizer.spm_source
    return view
