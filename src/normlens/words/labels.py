"""Labels of merged words: the text that each one spans, and its other coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from normlens.errors import InvalidInput
from normlens.words.merging import groups, merge_sources, merge_spans
from normlens.words.surface import is_punctuation, visible

_Labels = dict[str, tuple[str, NDArray[Any]]]


def merge_shares(shares: xr.DataArray) -> xr.DataArray:
    """Merge the shares of source tokens into shares of words: sums over a word's pieces, so that totals don't change.

    Parameters
    ----------
    shares
        ``(..., source)`` in any order, with the coordinates `source_token`, `source_word`, `source_category`,
        `source_start` and `source_end` of an attribution, and possibly others along the sources. ``attrs`` hold the text
        that the character offsets refer to; with a coordinate `side`, both texts.

    Returns
    -------
    xarray.DataArray, ``(..., source)``
        One entry per word and per special token, in the order of first appearance. `source_token` is the whole word,
        `source_start` and `source_end` its character span, and `source_category` its category; the other coordinates are
        those of its first piece. ``attrs`` are kept.

    Raises
    ------
    InvalidInput
        If the dimension `source` or one of these coordinates is missing.
    """
    needed = [f"source_{column}" for column in ("token", "word", "category", "start", "end")]
    missing = [name for name in needed if name not in shares.coords]
    if "source" not in shares.dims or missing:
        raise InvalidInput(
            f"The array to merge has dimensions {', '.join(map(str, shares.dims)) or 'none'} and lacks "
            f"{', '.join(missing) or 'no coordinate'}; expected shares of sources with their tokens and words, as "
            "lens.attribute returns them."
        )
    ordered = shares.transpose(..., "source")
    words = ordered["source_word"].values
    kept = {name: column for name, column in ordered.coords.items() if "source" not in column.dims}
    sides = ordered["side"].values.astype(str) if "side" in ordered.coords else np.full(len(words), "source")
    texts = [str(shares.attrs.get("target_text" if side == "target" else "text", "")) for side in sides]
    return type(shares)(
        merge_sources(ordered.values, words),
        dims=ordered.dims,
        coords={**kept, **merged_labels(ordered, "source", texts)},
        attrs=shares.attrs,
        name=shares.name,
    )


def merged_labels(
    labeled: xr.DataArray | xr.Dataset, side: Literal["source", "target"], texts: Sequence[str]
) -> _Labels:
    """Coordinates along one side after its tokens are merged into words.

    Parameters
    ----------
    labeled
        Has the coordinates `_token`, `_word`, `_start`, `_end` of that side, such as `source_token`, and possibly others.
    side
        The dimension.
    texts
        For each token, the text that its offsets refer to; empty if it is unavailable.

    Returns
    -------
    dict
        The same coordinates with one entry per word and per special token: `_token` is the text that the word spans,
        `_start` and `_end` its span, `_category` its category; the others are those of its first piece.
    """
    words = labeled[f"{side}_word"].values
    group = groups(words)
    members = [np.flatnonzero(group == word) for word in range(group.max(initial=-1) + 1)]
    first = [int(pieces[0]) for pieces in members]
    offsets = np.stack([labeled[f"{side}_start"].values, labeled[f"{side}_end"].values], axis=1)
    tokens = labeled[f"{side}_token"].values
    spans = merge_spans(_without_spaces(offsets, tokens, members), words)
    along = {str(name): column.values[first] for name, column in labeled.coords.items() if column.dims == (side,)}
    surfaces = [_surface(tokens[k], offsets[k], texts[k[0]]) for k in members]
    along |= {side: np.arange(len(members)), f"{side}_start": spans[:, 0], f"{side}_end": spans[:, 1]}
    along[f"{side}_token"] = np.array(
        [" ".join([surface, *_marks(tokens[k])]) for surface, k in zip(surfaces, members, strict=True)], dtype=np.str_
    )
    if (category := f"{side}_category") in along:
        several = zip(along[category].astype(str), surfaces, members, strict=True)
        along[category] = np.array([_category(*one) for one in several], dtype=np.str_)
    return {name: (side, column) for name, column in along.items()}


def text_of(attrs: Mapping[Any, Any], group: str, side: str) -> str:
    """The text that the character offsets of one side of a kind of attention refer to; an encoder–decoder has two.

    Parameters
    ----------
    attrs
        The attributes of an analysis: ``text`` and ``target_text``.
    group
        "encoder", "decoder", "cross", or another.
    side
        "source" or "target".
    """
    in_target = attrs.get("target_text") and (group == "decoder" or (group == "cross" and side == "target"))
    return str(attrs.get("target_text" if in_target else "text", ""))


def _without_spaces(
    offsets: NDArray[np.int64], labels: NDArray[Any], members: Sequence[NDArray[np.intp]]
) -> NDArray[np.int64]:
    """The offsets, but empty for a piece of spaces before the letters of its word."""
    trimmed = offsets.copy()
    for pieces in members:
        blank = labels[pieces] == "␣"
        if not blank.all():
            trimmed[pieces[blank], 0] = trimmed[pieces[blank], 1]
    return trimmed


def _surface(labels: NDArray[Any], offsets: NDArray[Any], text: str) -> str:
    """The text that a word's pieces span; their joined labels if these differ from the text."""
    if len(labels) == 1:
        return str(labels[0]).partition(" ")[0]
    placed = [(str(label).partition(" ")[0], *span) for label, span in zip(labels, offsets.tolist(), strict=True)]
    placed = [piece for piece in placed if piece[1] < piece[2]]
    if placed and all(stop <= len(text) and label in (visible(text[start:stop]), "") for label, start, stop in placed):
        return visible(text[min(start for _, start, _ in placed) : max(stop for *_, stop in placed)])
    return _joined(labels, offsets)


def _joined(labels: NDArray[Any], offsets: NDArray[Any]) -> str:
    """The joined labels of a word's pieces; characters that several pieces cover appear once."""
    reached, surfaces = -1, []
    for label, (start, end) in zip(labels, offsets, strict=True):
        surface, _, _ = str(label).partition(" ")
        if start == end or start >= reached:
            surfaces.append(surface)
        elif end > reached and len(surface) == end - start:
            surfaces.append(surface[reached - start :])
        reached = max(reached, end)
    return "".join(surface for surface in surfaces if surface != "␣" or len(surfaces) == 1)


def _marks(labels: NDArray[Any]) -> list[str]:
    """The marks of unknown pieces, which follow a space in labels; each once."""
    marks = [str(label).partition(" ")[2] for label in labels]
    return [mark for mark in dict.fromkeys(marks) if mark]


def _category(first: str, surface: str, members: NDArray[Any]) -> str:
    """A word's category: that of its only piece, or else that of its characters."""
    if len(members) == 1 or first == "special":
        return first
    letters = [character for character in surface if character != "␣"]
    return "punctuation" if letters and all(map(is_punctuation, letters)) else "other"
