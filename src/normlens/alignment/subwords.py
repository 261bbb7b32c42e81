"""Sentences of whitespace-separated words, cut into a translation model's tokens, and which word each token is of.

Word numbers in alignments count what stands between spaces, so nothing but white space may decide where a word begins:
tokenizers with offsets tell it by them; the others, which mark the beginning of a word in its first piece
(SentencePiece), are given the words one at a time, which yields the same pieces and leaves nothing to guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput, NormLensError
from normlens.inputs.tokens import encode_text

NO_WORD = -1
"""The word number of tokens that belong to no word of the sentence: its end, its language, a prefix."""

_WORD = re.compile(r"[^ \t\r\n\f\v]+")
_REMEMBERED = 200_000  # words whose pieces are kept
_PROBE = "a b"


def split_words(sentence: str) -> list[str]:
    """The words of a sentence: what stands between spaces and tabs; a no-break space is part of a word.

    Examples
    --------
    >>> split_words(" das  ist gut .")
    ['das', 'ist', 'gut', '.']
    """
    return _WORD.findall(sentence)


@dataclass(frozen=True)
class Pieces:
    """One sentence as a model reads it.

    Attributes
    ----------
    ids
        Token ids, special tokens included, ``(token,)``.
    words
        Word number of each token, from 0; -1 for those of no word, ``(token,)``.
    number
        How many words the sentence has. One of which the tokenizer keeps nothing has no token.
    """

    ids: Int[np.ndarray, " token"]
    words: Int[np.ndarray, " token"]
    number: int


class Cutter:
    """Cuts the sentences of one side of a translation model.

    Parameters
    ----------
    tokenizer
        The model's.
    as_target
        Whether these are sentences that the decoder reads.
    prefix
        Words put before each sentence, such as T5's "translate German to English:".
    lowercase
        Whether the model is to read lowercased words.

    Raises
    ------
    InvalidInput
        If the tokenizer can't read this side: it needs a language, say.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, as_target: bool = False, prefix: str = "", lowercase: bool = False
    ) -> None:
        self._tokenizer, self._argument = tokenizer, "text_target" if as_target else "text"
        self._as_target, self._lowercase = as_target, lowercase
        self._prefix = split_words(prefix)
        self._of_word = lru_cache(_REMEMBERED)(self._pieces_of_word)
        try:
            probe, bare = self._ids(_PROBE), self._ids(_PROBE, add_special_tokens=False)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"{type(tokenizer).__name__} can't read {'target' if as_target else 'source'} sentences "
                f"({type(error).__name__}: {error}). A model of many languages needs to be told both: give "
                "source_language and target_language, spelled as its tokenizer does."
            ) from error
        self._word_by_word = not tokenizer.is_fast and bare == [
            i for w in split_words(_PROBE) for i in self._of_word(w)
        ]
        start = next((k for k in range(len(probe)) if probe[k : k + len(bare)] == bare), 0)
        self._frame = probe[:start], probe[start + len(bare) :]

    def cut(self, words: Sequence[str]) -> Pieces:
        """Tokens of a sentence, and the word of each.

        Parameters
        ----------
        words
            As :func:`split_words` gives them.

        Raises
        ------
        InvalidInput
            If there are no words, or nothing of them reaches the model.
        """
        if not words:
            raise InvalidInput("the sentence is empty")
        read = [*self._prefix, *([word.lower() for word in words] if self._lowercase else words)]
        try:
            ids, numbers = self._one_by_one(read) if self._word_by_word else self._by_offsets(read)
        except NormLensError as error:
            raise InvalidInput(f"the tokenizer can't read it: {error}") from error
        numbers = np.where(numbers < len(self._prefix), NO_WORD, numbers - len(self._prefix))
        if bool((numbers == NO_WORD).all()):
            raise InvalidInput("the tokenizer keeps nothing of it")
        return Pieces(ids, numbers, len(words))

    def _one_by_one(self, words: Sequence[str]) -> tuple[Int[np.ndarray, " token"], Int[np.ndarray, " token"]]:
        before, after = self._frame
        pieces = [self._of_word(word) for word in words]
        ids = [*before, *(i for p in pieces for i in p), *after]
        numbers = np.repeat(np.arange(len(words)), [len(p) for p in pieces])
        return np.asarray(ids, dtype=np.int64), np.pad(numbers, (len(before), len(after)), constant_values=NO_WORD)

    def _by_offsets(self, words: Sequence[str]) -> tuple[Int[np.ndarray, " token"], Int[np.ndarray, " token"]]:
        """The word in which each token's characters begin; a space goes with the word behind it."""
        text = " ".join(words)
        ids, special, offsets = self._encoded(text)
        starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])])
        beginnings = [start + text.startswith(" ", start) for start, _ in offsets]
        numbers = np.searchsorted(starts, beginnings, side="right") - 1
        return ids, np.where(special, NO_WORD, np.minimum(numbers, len(words) - 1))

    def _encoded(self, text: str) -> tuple[Any, Any, Any]:
        """Ids, whether each is special, and its offsets."""
        if not self._tokenizer.is_fast:
            tokens = encode_text(self._tokenizer, text, as_target=self._as_target)
            return tokens.ids, tokens.special, tokens.offsets
        encoded = self._tokenizer(
            **{self._argument: text}, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False
        )
        special = np.asarray(encoded["special_tokens_mask"], dtype=bool)
        return np.asarray(encoded["input_ids"], dtype=np.int64), special, encoded["offset_mapping"]

    def _ids(self, text: str, **options: Any) -> list[int]:
        ids: list[int] = self._tokenizer(**{self._argument: text}, verbose=False, **options)["input_ids"]
        return ids

    def _pieces_of_word(self, word: str) -> tuple[int, ...]:
        return tuple(self._ids(word, add_special_tokens=False))


def set_languages(tokenizer: Any, source: str | None, target: str | None) -> None:
    """Tell the tokenizer of a many-language model which two languages it reads.

    Parameters
    ----------
    tokenizer
        Such as that of M2M-100, NLLB or mBART.
    source, target
        As the tokenizer spells them ("de", "deu_Latn", "de_DE"); None leaves what is set.

    Raises
    ------
    InvalidInput
        If the tokenizer knows no languages, or not this one.
    """
    for name, language in (("src_lang", source), ("tgt_lang", target)):
        if language is None:
            continue
        if not hasattr(tokenizer, name):
            raise InvalidInput(
                f"The language {language!r} was given, but {type(tokenizer).__name__} knows none. Leave it out."
            )
        try:
            setattr(tokenizer, name, language)
        except (KeyError, ValueError) as error:
            raise InvalidInput(
                f"{type(tokenizer).__name__} doesn't know the language {language!r}; its codes look like "
                f"{', '.join(map(str, list(getattr(tokenizer, 'additional_special_tokens', []))[:3]))}."
            ) from error
