"""Tokenizers with a vocabulary for each side, such as Marian's and FSMT's, whose methods mix the two."""

from __future__ import annotations

import copy
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.loading.positions import UNLIMITED

Sides = tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase]
"""A tokenizer that reads and spells the source, and one that does so for the target."""


def sides_of(tokenizer: Any) -> Sides:
    """A tokenizer for each side: the same twice if it has one vocabulary, else copies where transformers mixes the two.

    Marian spells all ids by the target's vocabulary. FSMT does so too, and looks up all tokens in the source's.

    Raises
    ------
    InvalidInput
        If a special token has another id in the other vocabulary, so that special tokens can't be told apart.
    """
    if getattr(tokenizer, "separate_vocabs", False):
        _same_special_tokens(tokenizer, tokenizer.encoder, tokenizer.target_encoder)
        source = copy.copy(tokenizer)
        source.decoder = {number: name for name, number in tokenizer.encoder.items()}
        source.spm_target = tokenizer.spm_source
        return source, tokenizer
    if hasattr(tokenizer, "tgt_vocab_size"):
        of_target = {name: number for number, name in tokenizer.decoder.items()}
        _same_special_tokens(tokenizer, tokenizer.encoder, of_target)
        source, target = copy.copy(tokenizer), copy.copy(tokenizer)
        source.decoder = {number: name for name, number in tokenizer.encoder.items()}
        source.tgt_lang = tokenizer.src_lang
        target.encoder, target.src_lang = of_target, tokenizer.tgt_lang
        return source, target
    return tokenizer, tokenizer


def table_size(model: PreTrainedModel, *, as_target: bool = False) -> int:
    """Rows of the table that reads the ids: an encoder–decoder may have one for each side."""
    side: Any = model
    if getattr(model.config, "is_encoder_decoder", False):
        side = model.get_decoder() if as_target else model.get_encoder()
    if not isinstance(side, PreTrainedModel):  # a plain module, as in FSMT and FastSpeech2
        table = getattr(side, "embed_tokens", None)
    else:
        try:
            table = side.get_input_embeddings()
        except NotImplementedError:
            table = None
    size = getattr(table, "weight", None)
    return UNLIMITED if size is None else int(size.shape[0])


def _same_special_tokens(tokenizer: Any, of_source: dict[str, int], of_target: dict[str, int]) -> None:
    differing = [name for name in tokenizer.all_special_tokens if of_source.get(name) != of_target.get(name)]
    if differing:
        raise InvalidInput(
            f"{differing[0]} is {of_source.get(differing[0])} in the tokenizer's vocabulary of the source and "
            f"{of_target.get(differing[0])} in that of the target; transformers reads special tokens by one of them. Pass "
            "token ids, and load the model without its tokenizer: (model, None)."
        )
