"""Shares of tokens added up over what a person reads: words on both sides, or spans of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from normlens.attribution.whole_answers.context_prompt import Grouping
from normlens.errors import InvalidInput
from normlens.words import merge_shares
from normlens.words.labels import merged_labels
from normlens.words.merging import groups
from normlens.words.text_spans import REST, spans_of_tokens

REST_NAME, ANSWER_NAME = "[rest]", "[answer]"
"""Sources that lie in no span: the rest of the prompt, and the tokens of the answer itself."""

_ADDED = ("target_value", "target_bias_share", "target_remainder", "target_entropy")


def grouped(result: Any, grouping: Grouping | None) -> Any:
    """An attribution, or an iterator of them, over spans of the prompt; unchanged if there are none."""
    if grouping is None:
        return result
    if isinstance(result, xr.DataArray):
        return result if is_grouped(result) else by_spans(result, grouping)
    return (grouped(one, grouping) for one in result)


def by_words(result: xr.DataArray) -> xr.DataArray:
    """Shares of an answer's words, ``(target, source)``: summed over the pieces of a word on both sides.

    Log-probabilities of pieces add up to those of words; probabilities multiply; entropies, of one piece after the other,
    add up. Arrays without the shares of an answer are merged over sources only.
    """
    merged = result if is_grouped(result) else merge_shares(result)
    if "target_value" not in merged.coords or "target_word" not in merged.coords:
        return merged
    words = merged["target_word"].values
    group = groups(words)
    text = str(merged.attrs.get("target_text") or merged.attrs.get("text", ""))
    indicator = group[:, None] == np.arange(group.max(initial=-1) + 1)
    names = merged_labels(merged, "target", [text] * len(words))
    for name in _ADDED:
        names[name] = ("target", merged[name].values @ indicator)
    logs = np.log(merged["target_probability"].values)
    names["target_probability"] = ("target", np.exp(np.where(indicator, logs[:, None], 0).sum(0)))
    kept = {str(name): column for name, column in merged.coords.items() if "target" not in column.dims}
    return type(result)(
        np.einsum("ts,tw->ws", merged.transpose("target", "source").values, indicator),
        dims=("target", "source"),
        coords={**kept, **names},
        attrs=merged.attrs,
        name=merged.name,
    )


def is_grouped(result: xr.DataArray) -> bool:
    """Whether the sources are spans or other groups of tokens already."""
    return "units" in result.attrs


def by_spans(result: xr.DataArray, grouping: Grouping) -> xr.DataArray:
    """Shares added up over spans of the prompt, ``(..., source)``: one source for each span.

    What lies in no span is ``[rest]``, and the answer's own tokens are ``[answer]``, so that totals don't change.

    Raises
    ------
    InvalidInput
        If spans overlap or lie outside the text, a token lies in two of them, or shares aren't of tokens.
    """
    if is_grouped(result) or "source" not in result.dims or "source_start" not in result.coords:
        raise InvalidInput("Shares of tokens were expected, as lens.attribute returns them without spans=.")
    if "target" in result.dims and "target_value" not in result.coords:
        raise InvalidInput(
            "A map of norms was passed, and lengths of vectors don't add up over spans. Explain a target, whose shares do."
        )
    text, offsets, inside = _prompt(result)
    places = grouping.places(text)
    if inside.any() and places.max() > int(offsets[inside].max()):
        raise InvalidInput(f"A span ends at {places.max()}, behind the prompt, which ends at {offsets[inside].max()}.")
    numbers = np.full(result.sizes["source"], REST, dtype=np.int64)
    numbers[inside] = spans_of_tokens(
        text, offsets[inside], places, result["source_category"].values[inside] == "special"
    )
    numbers[~inside] = len(places)
    return added_up(result, numbers, text, places)


def added_up(
    result: xr.DataArray, numbers: np.ndarray, text: str, places: np.ndarray, kind: str = "spans"
) -> xr.DataArray:
    """Shares added up over numbered groups of sources; the group after the last span is the answer."""
    shown = [*range(len(places)), *(k for k in (REST, len(places)) if (numbers == k).any())]
    indicator = (numbers[:, None] == np.array(shown)).astype(np.float64)
    ordered = result.transpose(..., "source")
    kept = {str(name): column for name, column in ordered.coords.items() if "source" not in column.dims}
    coords = {**kept, **unit_labels(text, places, shown)}
    if "source_role" in ordered.coords:
        coords["source_role"] = ("source", np.array(["answer" if k == len(places) else "prompt" for k in shown]))
    attrs = {**ordered.attrs, "units": kind}
    return type(result)(ordered.values @ indicator, dims=ordered.dims, coords=coords, attrs=attrs, name=ordered.name)


def unit_labels(text: str, places: np.ndarray, shown: Sequence[int]) -> dict[str, Any]:
    """Coordinates of spans as sources; ``shown`` may also hold ``REST``, and one more than the last span: the answer."""
    names = {REST: REST_NAME, len(places): ANSWER_NAME}
    tokens = [names[k] if k in names else " ".join(text[slice(*places[k])].split()) for k in shown]
    ends = np.array([places[k] if k not in names else (0, 0) for k in shown], dtype=np.int64).reshape(-1, 2)
    columns: dict[str, Any] = {
        "source": np.arange(len(shown)),
        "source_token": np.array(tokens),
        "source_word": np.arange(len(shown)),
        "source_category": np.array(["special" if k in names else "other" for k in shown]),
        "source_start": ends[:, 0],
        "source_end": ends[:, 1],
    }
    return {name: ("source", column) for name, column in columns.items()}


def _prompt(result: xr.DataArray) -> tuple[str, np.ndarray, np.ndarray]:
    """The text of the prompt, the offsets of all sources, and which sources are the prompt's tokens."""
    offsets = np.stack([result["source_start"].values, result["source_end"].values], axis=1)
    inside = np.ones(len(offsets), dtype=bool)
    if "side" in result.coords:
        inside &= result["side"].values.astype(str) == "source"
    if "source_role" in result.coords:
        inside &= result["source_role"].values.astype(str) == "prompt"
    text = str(result.attrs.get("text", ""))
    if "side" not in result.coords and inside.any():  # of a decoder, the prompt is the beginning of the text
        text = text[: int(offsets[inside].max())]
    return text, offsets, inside
