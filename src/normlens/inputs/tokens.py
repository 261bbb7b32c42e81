"""Texts, token ids and chats as labeled tokens: what a person should read at every position."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.inputs.offsets import spans_of_ids
from normlens.words import SPECIAL, categories, corrected_offsets, readable_tokens, word_numbers


@dataclass(frozen=True)
class Tokens:
    """The positions of one sequence and what a person should read there.

    Attributes
    ----------
    ids
        Token ids, ``(token,)``; -1 where a position has none (patches of an image).
    text
        The text that the offsets refer to.
    labels
        Tokens as a person reads them, ``(token,)``.
    special
        True for tokens that stand for no part of the text, ``(token,)``.
    offsets
        First character and character after the last, ``(token, 2)``.
    words
        Word numbers, -1 for special tokens, ``(token,)``.
    categories
        "special", "punctuation" or "other", ``(token,)``.
    """

    ids: Int[np.ndarray, " token"]
    text: str
    labels: NDArray[np.str_]
    special: Bool[np.ndarray, " token"]
    offsets: Int[np.ndarray, "token 2"]
    words: Int[np.ndarray, " token"]
    categories: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.ids)

    def none(self) -> Tokens:
        """No tokens of the same text."""
        columns = ("ids", "labels", "special", "offsets", "words", "categories")
        return replace(self, **{name: getattr(self, name)[:0] for name in columns})


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str, *, as_target: bool = False) -> Tokens:
    """Tokenize one text, special tokens included; one that begins or ends with these already gets them once.

    Raises
    ------
    InvalidInput
        If the text is empty or holds nothing but special tokens.
    """
    if not text.strip():
        raise InvalidInput(f"The text is empty ({text!r}); expected at least one word. Leave empty lines out.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(
            f"The text holds half of a character (a lone surrogate): {text!r}. Decode its file as UTF-8."
        )
    side = {"text_target": text} if as_target else {"text": text}
    if tokenizer.is_fast:
        encoded = tokenizer(**side, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
        ids = np.asarray(encoded["input_ids"], dtype=np.int64)
        special = np.asarray(encoded["special_tokens_mask"], dtype=bool) | np.isin(ids, _never_text(tokenizer))
        offsets = np.asarray(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    else:
        ids = np.asarray(tokenizer(**side, verbose=False)["input_ids"], dtype=np.int64)
        special = np.isin(ids, _never_text(tokenizer))
        offsets = _offsets_by_surface(tokenizer, ids, special, text)
    kept = _without_doubled_ends(tokenizer, ids, text, text, side="text_target" if as_target else "text")
    return _tokens(tokenizer, ids[kept], special[kept], offsets[kept], text)


def is_pair(given: object) -> bool:
    """Whether this is two texts that a model reads together, by the names of a tokenizer's arguments."""
    return isinstance(given, Mapping) and set(given) == {"text", "text_pair"}


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, pair: Mapping[str, str]
) -> tuple[Tokens, Int[np.ndarray, " token"] | None]:
    """Tokenize two texts that a model reads together: a question and its context, a premise and a hypothesis.

    Parameters
    ----------
    tokenizer
        A fast one, which says where each token lies.
    pair
        ``{"text": …, "text_pair": …}``.

    Returns
    -------
    Tokens
        Of both; their offsets refer to both texts, one under the other.
    array or None
        Which of the two each token is of, for models that are told (token types).

    Raises
    ------
    InvalidInput
        If one of the texts is empty, or the tokenizer gives no offsets.
    """
    first, second = pair["text"], pair["text_pair"]
    for name, text in pair.items():
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput(f"{name} is {text!r:.60}; expected a text with at least one word.")
    if not tokenizer.is_fast:
        raise InvalidInput(
            f"{type(tokenizer).__name__} doesn't say where its tokens lie in two texts; expected a fast tokenizer. Pass "
            "token ids."
        )
    encoded = tokenizer(first, second, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    ids = np.asarray(encoded["input_ids"], dtype=np.int64)
    special = np.asarray(encoded["special_tokens_mask"], dtype=bool) | np.isin(ids, _never_text(tokenizer))
    offsets = np.asarray(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    offsets[np.array([side == 1 for side in encoded.sequence_ids()])] += len(first) + 1
    types = encoded.get("token_type_ids")
    kept = _without_doubled_ends(tokenizer, ids, first, second)
    tokens = _tokens(tokenizer, ids[kept], special[kept], offsets[kept], f"{first}\n{second}")
    return tokens, None if types is None else np.asarray(types, dtype=np.int64)[kept]


def encode_ids(
    tokenizer: PreTrainedTokenizerBase | None, ids: Sequence[int], vocabulary: int, *, marks_only: bool = False
) -> Tokens:
    """Label token ids that the caller chose: as their text would be, as far as it can be told from them.

    Pieces of one character (its bytes) all show that character; a piece that no character can be made of shows the
    tokenizer's own spelling. They may all be special if ``marks_only`` says so.

    Raises
    ------
    InvalidInput
        If there are none, or some id is outside the vocabulary (its size is ``vocabulary``).
    """
    array = np.asarray(ids, dtype=np.int64).reshape(-1)
    if not len(array):
        raise InvalidInput("No token ids were given; expected at least one.")
    if array.min() < 0 or array.max() >= vocabulary:
        raise InvalidInput(
            f"Token ids from {array.min()} to {array.max()} were given; this model's vocabulary has {vocabulary} "
            f"entries, 0 to {vocabulary - 1}. Check that the ids come from this model's tokenizer."
        )
    if tokenizer is None:
        return _numbered(array)
    special = np.isin(array, _never_text(tokenizer))
    text, spans, whole = spans_of_ids(tokenizer, array.tolist(), special.tolist())
    tokens = _tokens(tokenizer, array, special, np.asarray(spans, dtype=np.int64), text, marks_only)
    pieces = np.asarray(tokenizer.convert_ids_to_tokens(array.tolist()), dtype=np.str_)
    return replace(
        tokens,
        labels=np.where(whole, tokens.labels, pieces),
        categories=np.where(whole, tokens.categories, "other"),
    )


_MOST_REGISTERS = 16  # what may stand before an image's patches: a class token and some registers


def label_patches(positions: int, patches: tuple[int, int] | None = None) -> Tokens:
    """Label the positions of an image model: patches by row and column, and what comes before them.

    Parameters
    ----------
    positions
        How many there are.
    patches
        Rows and columns of the image's patches, if they are known; else a square is looked for. (0, 0): there are none.
    """
    rows, columns = patches or (0, 0)
    prefix = positions - rows * columns
    if patches is None:
        counts = (k for k in (1, 0, 2, 5) if positions > k and math.isqrt(positions - k) ** 2 == positions - k)
        prefix = next(counts, 0)
        columns = math.isqrt(positions - prefix)
        columns = columns if columns * columns == positions - prefix else 0
    elif not columns or not 0 <= prefix <= _MOST_REGISTERS:
        prefix = columns = 0
    names = [f"[{'CLS' if k == 0 else f'extra {k}'}]" for k in range(prefix)]
    names += [f"{k // columns},{k % columns}" if columns else str(k) for k in range(positions - prefix)]
    special = np.arange(positions) < prefix
    words = np.where(special, SPECIAL, np.arange(positions) - prefix)
    kinds = np.where(special, "special", "other")
    nothing = np.zeros((positions, 2), dtype=np.int64)
    return Tokens(np.full(positions, -1), "", np.asarray(names), special, nothing, words, kinds)


def number_positions(positions: int) -> Tokens:
    """Label positions of which no more is known by their number."""
    return label_patches(positions, (0, 0))


def _tokens(
    tokenizer: PreTrainedTokenizerBase,
    ids: NDArray[np.int64],
    special: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    text: str,
    marks_only: bool = False,
) -> Tokens:
    if bool(special.all()) and not marks_only:
        raise InvalidInput(
            f"The input holds {len(ids)} special tokens and nothing else ({text!r}); expected at least one other token."
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
    """Which ids to keep of a text that brings along the marks that the tokenizer puts at its ends (a rendered chat)."""
    marks = tuple(str(token) for token in tokenizer.all_special_tokens)
    begins, ends = first.lstrip().startswith(marks), last.rstrip().endswith(marks)
    if not marks or not (begins or ends):
        return slice(0, len(ids))
    sample = {side: "a"}
    bare = list(tokenizer(**sample, add_special_tokens=False, verbose=False)["input_ids"])
    full = list(tokenizer(**sample, verbose=False)["input_ids"])
    before = next((k for k in range(len(full)) if full[k : k + len(bare)] == bare), 0)
    behind = len(full) - before - len(bare)
    body = ids[before : len(ids) - behind]
    start = before if begins and before and np.array_equal(body[:before], ids[:before]) else 0
    stop = behind if ends and behind and np.array_equal(body[-behind:], ids[len(ids) - behind :]) else 0
    return slice(start, len(ids) - stop)


def _numbered(ids: NDArray[np.int64]) -> Tokens:
    """Ids without a tokenizer: each is a word of its own and shows its number."""
    surfaces = [str(i) for i in ids]
    ends = np.cumsum([len(surface) + 1 for surface in surfaces]) - 1
    offsets = np.stack([ends - [len(surface) for surface in surfaces], ends], axis=1).astype(np.int64)
    special, kinds = np.zeros(len(ids), dtype=bool), np.full(len(ids), "other")
    return Tokens(ids, " ".join(surfaces), np.asarray(surfaces), special, offsets, np.arange(len(ids)), kinds)


def _never_text(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of the tokens that mark beginnings, ends, separations; the unknown token stands for text it was made of.

    Byte-level tokenizers know every text; where they name an unknown token, it is one of the marks.
    """
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    knows_all = isinstance(model, BPE) and model.unk_token is None
    unknown = None if knows_all else tokenizer.unk_token_id
    return [i for i in tokenizer.all_special_ids if i != unknown]


def _offsets_by_surface(
    tokenizer: PreTrainedTokenizerBase, ids: NDArray[np.int64], special: NDArray[np.bool_], text: str
) -> NDArray[np.int64]:
    """Offsets for a tokenizer that gives none: each piece is looked for in the text, behind the piece before it.

    Upper and lower case, and forms of a character that Unicode calls compatible ("…" and "..."), are the same here. An
    unknown token stands for what lies between the pieces around it.
    """
    offsets = np.zeros((len(ids), 2), dtype=np.int64)
    parts = [_folded(character) for character in text]
    folded, places = "".join(parts), [k for k, part in enumerate(parts) for _ in part]
    place, unknown = 0, []
    for k, token in enumerate(ids.tolist()):
        if special[k]:
            continue
        surface = _folded(str(tokenizer.convert_tokens_to_string([tokenizer.convert_ids_to_tokens(token)]))).strip()
        found = -1 if token == tokenizer.unk_token_id or not surface else folded.find(surface, place)
        here = places[place] if place < len(places) else len(text)
        offsets[k] = here, here
        if token == tokenizer.unk_token_id:
            unknown.append(k)
        if 0 <= found <= place + 40:
            place = found + len(surface)
            offsets[k] = places[found], places[place - 1] + 1
    for k in unknown:
        end = next((start for start, stop in offsets[k + 1 :] if stop > start), len(text))
        between = text[offsets[k, 0] : end]
        start = offsets[k, 0] + len(between) - len(between.lstrip())
        offsets[k] = start, max(start, start + len(between.strip()))
    return offsets


def _folded(text: str) -> str:
    """A text without differences of case and form."""
    return unicodedata.normalize("NFKC", text).casefold()
