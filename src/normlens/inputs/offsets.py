"""Decoding of token ids to text, with the character span of each id.

A byte-level tokenizer splits rare characters into bytes, none of which is a character by itself. And the text of a token
depends on its neighbors: with a space before it, or without. So ids are decoded together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from transformers import PreTrainedTokenizerBase

from normlens.loading.tokenizer_failures import is_library_failure

Span = tuple[int, int]
"""First character and character after the last."""

NO_CHARACTER = "\ufffd"
"""The replacement character, which decoding gives for bytes that don't form a character."""

_LONGEST_CHARACTER = 4  # bytes of UTF-8


def spans_of_ids(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], special: Sequence[bool]
) -> tuple[str, list[Span], list[bool]]:
    """Decode ids to a text, with the character span of each id.

    The runs between special tokens are decoded one by one. If the tokenizer encodes a run's text to the same ids, its own
    offsets are used. Otherwise (for generated ids, or ids cut from a longer text), the span of an id is the text that it
    adds to the ids before it.

    Parameters
    ----------
    tokenizer
        The tokenizer of the ids.
    ids
        Token ids, ``(token,)``.
    special
        True for special tokens, ``(token,)``.

    Returns
    -------
    text
        The text of all ids, including special tokens.
    spans
        The span of each id in the text; (0, 0) for special tokens. Pieces of one character all have its span.
    whole
        For each id, whether it and its neighbors form whole characters.
    """
    text = ""
    spans: list[Span] = []
    whole: list[bool] = []
    for is_special, run in groupby(zip(ids, special, strict=True), key=lambda pair: pair[1]):
        run_ids = [i for i, _ in run]
        decode = _special_run if is_special else _ordinary_run
        run_text, run_spans, run_whole = decode(tokenizer, run_ids)
        text += " " if text[-1:].isalnum() and run_text[:1].isalnum() else ""
        spans += [(0, 0) if is_special else (len(text) + start, len(text) + stop) for start, stop in run_spans]
        text, whole = text + run_text, whole + run_whole
    return text, spans, whole


_Decoded = tuple[str, list[Span], list[bool]]
"""The same as :func:`spans_of_ids` returns, for one run."""


def _special_run(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> _Decoded:
    return _decoded(tokenizer, ids), [(0, 0)] * len(ids), [True] * len(ids)


def _ordinary_run(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> _Decoded:
    return _tokenizer_spans(tokenizer, ids) or _added_spans(tokenizer, ids)


def _tokenizer_spans(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> _Decoded | None:
    """The tokenizer's own offsets; None if it encodes the text of the ids to different ids."""
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


def _added_spans(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> _Decoded:
    """The text that each id, or several ids that form one character, adds to the text of the ids before."""
    text = ""
    spans: list[Span] = []
    whole: list[bool] = []
    before = done = 0  # ids[before:done] were decoded last; the text of the next ids depends on them
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
    """The end of the fewest ids from ``done`` that form whole characters, and these; None if no ids form any."""
    reached = len(_decoded(tokenizer, ids[before:done]))
    for stop in range(done + 1, min(done + _LONGEST_CHARACTER, len(ids)) + 1):
        added = _decoded(tokenizer, ids[before:stop])[reached:]
        if NO_CHARACTER not in added:
            return stop, added
    return done + 1, None


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    if not ids:
        return ""
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
