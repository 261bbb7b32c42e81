"""Tokenization of a text, of a pair of texts, and of token ids, as labeled tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.inputs.offsets import spans_of_ids
from normlens.inputs.searched_offsets import searched_offsets
from normlens.inputs.tokens import Tokens
from normlens.words import categories, corrected_offsets, readable_tokens, word_numbers


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str, *, as_target: bool = False) -> Tokens:
    """Tokenize one text, with special tokens; those that the text already begins or ends with are not added twice.

    Raises
    ------
    InvalidInput
        If the text is empty or has only special tokens.
    """
    if not text.strip():
        raise InvalidInput(f"The text is empty ({text!r}); expected at least one word. Remove empty lines.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(
            f"The text contains half of a character (a lone surrogate): {text!r}. Decode its file as UTF-8."
        )
    side = {"text_target": text} if as_target else {"text": text}
    if tokenizer.is_fast:
        encoded = tokenizer(**side, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
        ids = np.asarray(encoded["input_ids"], dtype=np.int64)
        special = np.asarray(encoded["special_tokens_mask"], dtype=bool) | np.isin(ids, _special_ids(tokenizer))
        offsets = np.asarray(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    else:
        ids = np.asarray(tokenizer(**side, verbose=False)["input_ids"], dtype=np.int64)
        special = np.isin(ids, _special_ids(tokenizer))
        offsets = searched_offsets(tokenizer, ids, special, text)
    kept = _without_doubled_ends(tokenizer, ids, text, text, side="text_target" if as_target else "text")
    return _tokens(tokenizer, ids[kept], special[kept], offsets[kept], text)


def is_pair(value: object) -> bool:
    """Whether this is a pair of texts, named as in a tokenizer's arguments: ``{"text": …, "text_pair": …}``."""
    return isinstance(value, Mapping) and set(value) == {"text", "text_pair"}


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, pair: Mapping[str, str]
) -> tuple[Tokens, Int[np.ndarray, " token"] | None]:
    """Tokenize two texts that a model reads together: a question and its context, a premise and a hypothesis.

    Parameters
    ----------
    tokenizer
        A fast tokenizer, which returns offsets.
    pair
        ``{"text": …, "text_pair": …}``.

    Returns
    -------
    Tokens
        The tokens of both; their offsets refer to both texts, separated by a line break.
    array or None
        Token types, 0 for the first text and 1 for the second; None if the tokenizer returns none.

    Raises
    ------
    InvalidInput
        If one of the texts is empty, or the tokenizer returns no offsets.
    """
    first, second = pair["text"], pair["text_pair"]
    for name, text in pair.items():
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput(f"{name} is {text!r:.60}; expected a text with at least one word.")
    if not tokenizer.is_fast:
        raise InvalidInput(
            f"{type(tokenizer).__name__} returns no offsets in a pair of texts; expected a fast tokenizer. Pass token ids."
        )
    encoded = tokenizer(first, second, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    ids = np.asarray(encoded["input_ids"], dtype=np.int64)
    special = np.asarray(encoded["special_tokens_mask"], dtype=bool) | np.isin(ids, _special_ids(tokenizer))
    offsets = np.asarray(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    offsets[np.array([side == 1 for side in encoded.sequence_ids()])] += len(first) + 1
    types = encoded.get("token_type_ids")
    kept = _without_doubled_ends(tokenizer, ids, first, second)
    tokens = _tokens(tokenizer, ids[kept], special[kept], offsets[kept], f"{first}\n{second}")
    return tokens, None if types is None else np.asarray(types, dtype=np.int64)[kept]


def encode_ids(
    tokenizer: PreTrainedTokenizerBase | None, ids: Sequence[int], vocabulary: int, *, special_only: bool = False
) -> Tokens:
    """Label token ids by the text that they decode to.

    Pieces of one character (its bytes) are all labeled with that character; a piece that decodes to no character is labeled
    with the tokenizer's spelling.

    Parameters
    ----------
    tokenizer
        The model's tokenizer; None to label ids by their numbers.
    ids
        Token ids, ``(token,)``.
    vocabulary
        Size of the model's vocabulary.
    special_only
        Whether all of the tokens may be special.

    Raises
    ------
    InvalidInput
        If there are no ids, or some id is outside the vocabulary.
    """
    array = np.asarray(ids, dtype=np.int64).reshape(-1)
    if not len(array):
        raise InvalidInput("The list of token ids is empty; expected at least one.")
    if array.min() < 0 or array.max() >= vocabulary:
        raise InvalidInput(
            f"The token ids go from {array.min()} to {array.max()}; this model's vocabulary has {vocabulary} entries, 0 to "
            f"{vocabulary - 1}. Check that the ids come from this model's tokenizer."
        )
    if tokenizer is None:
        return _numbered(array)
    special = np.isin(array, _special_ids(tokenizer))
    text, spans, whole = spans_of_ids(tokenizer, array.tolist(), special.tolist())
    tokens = _tokens(tokenizer, array, special, np.asarray(spans, dtype=np.int64), text, special_only)
    pieces = np.asarray(tokenizer.convert_ids_to_tokens(array.tolist()), dtype=np.str_)
    return replace(
        tokens,
        labels=np.where(whole, tokens.labels, pieces),
        categories=np.where(whole, tokens.categories, "other"),
    )


def _tokens(
    tokenizer: PreTrainedTokenizerBase,
    ids: NDArray[np.int64],
    special: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    text: str,
    special_only: bool = False,
) -> Tokens:
    if bool(special.all()) and not special_only:
        raise InvalidInput(
            f"The input has {len(ids)} special tokens and nothing else ({text!r}); expected at least one other token."
        )
    spelled = [str(t) for t in tokenizer.convert_ids_to_tokens(ids.tolist())]
    offsets = corrected_offsets(spelled, offsets, special, text)
    return Tokens(
        ids, text, readable_tokens(spelled, offsets, special, text, tokenizer.unk_token), special, offsets,
        word_numbers(offsets, special, text), categories(offsets, special, text),
    )  # fmt: skip


def _without_doubled_ends(
    tokenizer: PreTrainedTokenizerBase, ids: NDArray[np.int64], first: str, last: str, side: str = "text"
) -> slice:
    """The ids to keep of a text that already contains the special tokens that the tokenizer adds (a rendered chat)."""
    marks = tuple(str(token) for token in tokenizer.all_special_tokens)
    begins, ends = first.lstrip().startswith(marks), last.rstrip().endswith(marks)
    if not marks or not (begins or ends):
        return slice(0, len(ids))
    sample = {side: "a"}
    bare = list(tokenizer(**sample, add_special_tokens=False, verbose=False)["input_ids"])
    full = list(tokenizer(**sample, verbose=False)["input_ids"])
    before = next((k for k in range(len(full)) if full[k : k + len(bare)] == bare), 0)
    after = len(full) - before - len(bare)
    body = ids[before : len(ids) - after]
    start = before if begins and before and np.array_equal(body[:before], ids[:before]) else 0
    stop = after if ends and after and np.array_equal(body[-after:], ids[len(ids) - after :]) else 0
    return slice(start, len(ids) - stop)


def _numbered(ids: NDArray[np.int64]) -> Tokens:
    """Ids without a tokenizer: each is a separate word, labeled with its number."""
    surfaces = [str(i) for i in ids]
    ends = np.cumsum([len(surface) + 1 for surface in surfaces]) - 1
    offsets = np.stack([ends - [len(surface) for surface in surfaces], ends], axis=1).astype(np.int64)
    special, kinds = np.zeros(len(ids), dtype=bool), np.full(len(ids), "other")
    return Tokens(ids, " ".join(surfaces), np.asarray(surfaces), special, offsets, np.arange(len(ids)), kinds)


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of special tokens, which represent no text; the unknown token is not one of them, because it replaces text.

    Byte-level tokenizers can encode every text, so if they name an unknown token, it is special as well.
    """
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    is_byte_level = isinstance(model, BPE) and model.unk_token is None
    unknown = None if is_byte_level else tokenizer.unk_token_id
    return [i for i in tokenizer.all_special_ids if i != unknown]
