"""Token ids back to text, and which characters of it each id stands for.

A byte-level tokenizer cuts rare characters into pieces of their bytes, none of which is text by itself. And how a token
is spelled depends on its neighbors: with a space before it, or without. So ids are decoded together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from transformers import PreTrainedTokenizerBase

from normlens.loading.tokenizer_failures import is_library_failure

Span = tuple[int, int]
"""First character and character after the last."""

NO_CHARACTER = "\ufffd"
"""What a decoder writes for bytes that are no character."""

_LONGEST_CHARACTER = 4  # bytes of UTF-8


def spans_of_ids(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], special: Sequence[bool]
) -> tuple[str, list[Span], list[bool]]:
    """Decode ids, and say which characters each of them stands for.

    The stretches between special tokens are decoded one by one. Where the tokenizer makes the same ids of a stretch's
    text again, its own offsets are taken; elsewhere (ids that a model chose, or that were cut out of a longer text) what
    each further id adds to the text.

    Parameters
    ----------
    tokenizer
        The one that the ids are meant for.
    ids
        Token ids, ``(token,)``.
    special
        True for ids that stand for no part of the text, ``(token,)``.

    Returns
    -------
    text
        Of all ids, special tokens spelled out.
    spans
        Of each id, within the text; (0, 0) for special tokens. Pieces of one character all have its span.
    whole
        For each id, whether a character can be made of it and its neighbors.
    """
    text = ""
    spans: list[Span] = []
    whole: list[bool] = []
    for is_special, run in groupby(zip(ids, special, strict=True), key=lambda pair: pair[1]):
        stretch = [i for i, _ in run]
        read, found, complete = _mark(tokenizer, stretch) if is_special else _words(tokenizer, stretch)
        text += " " if text[-1:].isalnum() and read[:1].isalnum() else ""
        spans += [(0, 0) if is_special else (len(text) + start, len(text) + stop) for start, stop in found]
        text, whole = text + read, whole + complete
    return text, spans, whole


_Stretch = tuple[str, list[Span], list[bool]]
"""As :func:`spans_of_ids` returns."""


def _mark(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> _Stretch:
    """Special tokens, which stand for no part of the text."""
    return _decoded(tokenizer, ids), [(0, 0)] * len(ids), [True] * len(ids)


def _words(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> _Stretch:
    """Ordinary tokens."""
    return _spans_again(tokenizer, ids) or _spans_added(tokenizer, ids)


def _spans_again(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> _Stretch | None:
    """The tokenizer's own offsets, if it makes the same ids of their text."""
    if not tokenizer.is_fast:
        return None
    text = _decoded(tokenizer, ids)
    try:
        again = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    except BaseException as error:
        if not is_library_failure(error):
            raise
        return None
    if again["input_ids"] != ids:
        return None
    return text, [(start, stop) for start, stop in again["offset_mapping"]], [True] * len(ids)


def _spans_added(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> _Stretch:
    """What each further id, or few ids that are one character together, adds to the text of those before it."""
    text = ""
    spans: list[Span] = []
    whole: list[bool] = []
    before = done = 0  # ids[before:done] were read last: they tell how the next ones are spelled
    while done < len(ids):
        stop, added = _next_characters(tokenizer, ids, before, done)
        if added is not None:
            span = len(text), len(text) + len(added)
            text += added
        elif whole and not whole[-1]:
            span = spans[-1]
        else:
            span = len(text), len(text) + 1
            text += NO_CHARACTER
        spans += [span] * (stop - done)
        whole += [added is not None] * (stop - done)
        before, done = (done if added is not None else stop), stop
    return text, spans, whole


def _next_characters(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], before: int, done: int
) -> tuple[int, str | None]:
    """How far the fewest ids from ``done`` reach that are whole characters, and these; None if one id is of none."""
    known = len(_decoded(tokenizer, ids[before:done]))
    for stop in range(done + 1, min(done + _LONGEST_CHARACTER, len(ids)) + 1):
        added = _decoded(tokenizer, ids[before:stop])[known:]
        if NO_CHARACTER not in added:
            return stop, added
    return done + 1, None


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    if not ids:
        return ""
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
