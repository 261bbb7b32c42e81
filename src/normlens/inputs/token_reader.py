"""Reads an input as the tokens of one model: a text, words, ids, a chat, a pair, or a row of tokenizer output."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.inputs.bare_ids import integers, unpadded
from normlens.inputs.chats import encode_chat
from normlens.inputs.encoded_row import EncodedRow
from normlens.inputs.encodings import encoded_rows
from normlens.inputs.kinds import Kind, input_kind
from normlens.inputs.pretokenized import encode_words, is_list_of_strings
from normlens.inputs.tokenization import encode_ids, encode_pair, encode_text
from normlens.inputs.tokens import Tokens
from normlens.inputs.two_vocabularies import sides_of, table_size
from normlens.loading.load import LoadedModel

_IDS = frozenset({"input_ids", "attention_mask"})


@dataclass(frozen=True)
class TokenReader:
    """Reads an input as the tokens of one model.

    Attributes
    ----------
    loaded
        The model, with its tokenizer.
    """

    loaded: LoadedModel

    def kind(self, value: Any, *, as_target: bool = False) -> Kind:
        """The kind of an input of this model, or of its decoder."""
        if isinstance(value, EncodedRow):
            return "encoding"
        return input_kind(value, as_target or self.loaded.model.main_input_name == "input_ids")

    def opened(self, value: Any, *, as_target: bool = False) -> list[Any] | None:
        """The inputs in one object: the rows of tokenizer output or of an array; None for other iterables."""
        kind = self.kind(value, as_target=as_target)
        if kind == "encoding":
            return list(encoded_rows(value, self.accepted | (_IDS if as_target else frozenset())))
        if kind == "rows":
            if not len(value):
                raise InvalidInput(
                    f"{type(value).__name__} of shape {tuple(value.shape)} has no rows; expected at least one."
                )
            return list(value)
        return None if kind == "several" else [value]

    def only_row(self, value: Any, *, as_target: bool = False) -> Any:
        """The single input in an object.

        Raises
        ------
        InvalidInput
            If there are several, or none.
        """
        rows = self.opened(value, as_target=as_target) or []
        if len(rows) != 1:
            raise InvalidInput(f"{type(value).__name__} has {len(rows)} rows; expected one.")
        return rows[0]

    def tokens(self, value: Any, *, as_target: bool = False) -> Tokens:
        """The tokens of a text, of a list of words, of ids, or of one row of tokenizer output.

        Raises
        ------
        InvalidInput
            If it is none of these, or can't be read.
        """
        kind = self.kind(value, as_target=as_target)
        if kind in ("encoding", "rows"):
            row = self.only_row(value, as_target=as_target)
            return (
                self.tokens(row, as_target=as_target)
                if kind == "rows"
                else self.ids(integers(self._plain_ids(row)), as_target=as_target)
            )
        if isinstance(value, str):
            read = encode_text(self._tokenizer(as_target), value, as_target=as_target)
            return self._within_vocabulary(read, as_target)
        if kind == "words" or is_list_of_strings(value):
            words = value["words"] if kind == "words" else value
            read = encode_words(self._tokenizer(as_target), words, as_target=as_target)
            return self._within_vocabulary(read, as_target)
        if kind == "ids" or (isinstance(value, (list, tuple)) and not value):
            ids = integers(value)
            return self.ids(ids[unpadded(ids, self.loaded)], as_target=as_target)
        raise InvalidInput(f"The input is a {type(value).__name__}; expected a text, token ids or chat messages.")

    def chat(self, messages: Sequence[Mapping[str, Any]], generation_prompt: bool) -> Tokens:
        """The tokens of chat messages; ``generation_prompt`` as in :func:`normlens.inputs.chats.encode_chat`."""
        return self._within_vocabulary(
            encode_chat(self._tokenizer(), messages, self._vocabulary(), generation_prompt=generation_prompt)
        )

    def pair(self, pair: Mapping[str, str]) -> tuple[Tokens, Int[ndarray, " token"] | None]:
        """The tokens of two texts, and their token types."""
        tokens, types = encode_pair(self._tokenizer(), pair)
        return self._within_vocabulary(tokens), types

    def ids(self, ids: Sequence[int], *, as_target: bool = False, special_only: bool = False) -> Tokens:
        """The tokens of ids; all of them may be special if ``special_only``."""
        tokenizer = None if self.loaded.tokenizer is None else self._tokenizer(as_target)
        return encode_ids(tokenizer, ids, self._vocabulary(as_target), special_only=special_only)

    @cached_property
    def accepted(self) -> frozenset[str]:
        """The names of the inputs that the model takes with and without its head."""
        model = self.loaded.model
        names = frozenset(inspect.signature(model.forward).parameters)
        inside = frozenset(inspect.signature(model.base_model.forward).parameters)
        return names & inside if model.main_input_name in inside else names

    def _plain_ids(self, row: EncodedRow) -> Tensor:
        """The ids of a row that is read as a target."""
        ids = row.tensors.get("input_ids")
        if ids is None or not bool(row.tensors.get("attention_mask", torch.ones(1)).all()):
            raise InvalidInput(
                "The target has no input_ids, or its mask excludes tokens between others; expected plain ids."
            )
        return ids if "attention_mask" in row.tensors else ids[unpadded(integers(ids), self.loaded)]

    @cached_property
    def _sides(self) -> tuple[PreTrainedTokenizerBase | None, PreTrainedTokenizerBase | None]:
        """The tokenizers of the source and of the target: one, unless it has two vocabularies."""
        tokenizer = self.loaded.tokenizer
        return (None, None) if tokenizer is None else sides_of(tokenizer)

    def _tokenizer(self, as_target: bool = False) -> PreTrainedTokenizerBase:
        tokenizer = self._sides[as_target]
        if tokenizer is None:
            raise InvalidInput(
                f"The input is a text, but {self.loaded.name} was loaded without a tokenizer. Pass token ids, or load it as "
                "(model, tokenizer)."
            )
        return tokenizer

    def _within_vocabulary(self, tokens: Tokens, as_target: bool = False) -> Tokens:
        vocabulary = self._vocabulary(as_target)
        if tokens.ids.max() >= vocabulary:
            raise InvalidInput(
                f"The tokenizer returned the id {tokens.ids.max()}; the model has embeddings for {vocabulary} ids. The "
                "tokenizer belongs to another model, or the model's embeddings were not resized for added tokens."
            )
        return tokens

    def _vocabulary(self, as_target: bool = False) -> int:
        """Number of ids that the model can read."""
        return table_size(self.loaded.model, as_target=as_target)
