"""A text with a number for each word: one row of an attribution, subwords merged, ready to draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from normlens.errors import InvalidInput
from normlens.figures.style import readable, shortened
from normlens.words import joined_tokens, merge_shares

Row = int | Literal["mean"] | None
"""The target whose sources are shown: a position, the mean of all, or None for the default."""

_UNITS = {"logit": "logits", "log-odds": "log-odds", "log-probability": "log-probability", "norm": "norm"}
_REST_NAMES = {"integrated_gradients": "baseline", "shapley": "without any"}
_LONGEST_WORD = 40
_ROUNDING = 1e-6  # relative to the value: a smaller remainder is rounding
_ROWS_OF_ONE = 1e-3  # rows whose sums are this close to one contain shares


@dataclass(frozen=True)
class ScoredWord:
    """A word with its number.

    Attributes
    ----------
    text
        Readable text of the word.
    share
        Its number, in the unit of the text; NaN if undefined.
    category
        "special", "punctuation" or "other".
    joined
        Whether it follows the previous word without a space.
    side
        "source", or "target" for an encoder–decoder's second text.
    """

    text: str
    share: float
    category: str = "other"
    joined: bool = False
    side: str = "source"

    @property
    def is_special(self) -> bool:
        """Whether it is a special token, which is not in the text itself."""
        return self.category == "special"


@dataclass(frozen=True)
class ScoredText:
    """The words of a text with the numbers of one method.

    Attributes
    ----------
    name
        The method, with its scope.
    explained
        The quantity that the numbers add up to, or the target whose sources they are.
    words
        In the order of the text.
    signed
        Whether numbers can be negative.
    unit
        Unit of the numbers; "share" if they add up to one.
    value
        The model's value of the explained quantity; NaN for maps.
    apart
        Amounts that belong to no source, by name: the bias share, and a remainder if there is one; empty for maps.
    conservation_error
        Relative error of the sum; NaN for methods that don't claim an exact sum.
    advice
        A better question, where this result says little; otherwise empty.
    """

    name: str
    explained: str
    words: tuple[ScoredWord, ...]
    signed: bool
    unit: str
    value: float = math.nan
    apart: tuple[tuple[str, float], ...] = ()
    conservation_error: float = math.nan
    advice: str = ""

    @property
    def largest(self) -> float:
        """The largest absolute number of a word, without special tokens if there are others; 1 if all are zero."""
        ordinary = [abs(word.share) for word in self.words if not word.is_special]
        sizes = ordinary or [abs(word.share) for word in self.words]
        return max((size for size in sizes if math.isfinite(size)), default=0.0) or 1.0

    def strength(self, word: ScoredWord) -> float:
        """A word's number relative to the largest, −1 to 1; 0 for special tokens and undefined numbers."""
        if word.is_special or not math.isfinite(word.share):
            return 0.0
        return float(np.clip(word.share / self.largest, -1.0, 1.0))

    def strongest(self, count: int) -> list[int]:
        """Indices of the words with the largest absolute numbers, the largest first; special tokens are left out."""
        ordinary = [k for k, word in enumerate(self.words) if not word.is_special and math.isfinite(word.share)]
        return sorted(ordinary, key=lambda k: -abs(self.words[k].share))[:count]

    def written(self, number: float, *, sign: bool = True) -> str:
        """Format a number: a percentage if the unit is "share", otherwise with the decimals of three digits of the largest.

        Parameters
        ----------
        number
            In the unit of the text.
        sign
            Whether positive numbers of a signed text get a plus sign.
        """
        if not math.isfinite(number):
            return "–"
        if self.unit == "share":
            return f"{100 * number:.1f} %" if 0.0005 <= abs(number) < 0.0995 else f"{100 * number:.0f} %"
        digits = min(max(0, 2 - math.floor(math.log10(self.largest))), 9)
        rounded = round(number, digits) + 0.0  # no minus in front of zero
        return f"{rounded:{'+' if sign and self.signed and rounded else ''}.{digits}f}".replace("-", "−")

    @property
    def balance(self) -> str:
        """The explained value, as the sum of its terms; empty for maps."""
        if not math.isfinite(self.value):
            return ""
        total = sum(word.share for word in self.words)
        terms = [f"shares {self.written(total, sign=False)}"]
        terms += [f"{name} {self.written(number, sign=False)}" for name, number in self.apart]
        return f"{self.written(self.value, sign=False)} = {' + '.join(terms)}"

    @property
    def note(self) -> str:
        """A note on numbers that are lengths of vectors; empty for shares."""
        return "" if self.balance or self.unit != "norm" else "lengths of vectors (norms), which don't add up"


def scored_text(result: xr.DataArray, row: Row = None) -> ScoredText:
    """Return one row of an attribution as a text with a number for each word.

    Parameters
    ----------
    result
        A result of ``lens.attribute``: signed shares ``(source,)`` or ``(component, source)``, which are summed over
        components, a map ``(target, source)``, or the shares of an answer's tokens or words, ``(target, source)``.
    row
        For an answer: the token or word whose sources are shown; by default they are summed over all of them. For maps: the
        target whose sources are shown, by its position (negative: from the end), or "mean". Default: the
        first if targets attend to later sources (an encoder's [CLS]), otherwise the last.

    Raises
    ------
    InvalidInput
        If the array has other dimensions, or no such target.
    """
    if "component" in result.dims:
        result = result.sum("component", keep_attrs=True)
    if result.dims not in (("source",), ("target", "source")):
        raise InvalidInput(
            f"The attribution has dimensions ({', '.join(map(str, result.dims))}); expected (source) or (target, source). "
            "Choose one layer first, as in result.sel(layer=5)."
        )
    if "target_value" in result.coords and "target" in result.dims:
        result = of_answer(result, row)
    attrs = result.attrs
    is_map = "target" in result.dims
    one, explained = _row_of(result, row) if is_map else (result, str(attrs.get("target", "")))
    merged = one if "units" in attrs else merge_shares(one)
    numbers = merged.values.astype(np.float64)
    return ScoredText(
        name=str(attrs.get("method", "attribution")) + (f" (scope {attrs['scope']})" if attrs.get("scope") else ""),
        explained=explained,
        words=_words(merged, numbers),
        signed=not is_map or bool((numbers < 0).any()),
        unit=_unit_of_row(numbers) if is_map else _unit(explained),
        value=math.nan if is_map else _number(attrs.get("value")),
        apart=() if is_map else _apart(one.attrs),
        conservation_error=_number(attrs.get("conservation_error")),
        advice=readable(str(attrs["note"])) if attrs.get("note") and not is_map else "",
    )


def scored_texts(results: xr.DataArray | Sequence[xr.DataArray], row: Row = None) -> list[ScoredText]:
    """Return one row of each attribution as a text; see :func:`scored_text`.

    Raises
    ------
    InvalidInput
        If there are no attributions.
    """
    several = [results] if isinstance(results, xr.DataArray) else list(results)
    if not several:
        raise InvalidInput("There is no attribution to show; expected at least one result of lens.attribute.")
    return [scored_text(result, row) for result in several]


def of_answer(result: xr.DataArray, row: Row) -> xr.DataArray:
    """The shares of one token of an answer, or of all of them together, ``(source,)``."""
    names = {"value": "target_value", "bias_share": "target_bias_share", "remainder": "target_remainder"}
    score = "logit" if result.attrs.get("score") == "logit" else "log-probability"
    if row is None or row == "mean":
        total = result.sum("target", keep_attrs=True)
        sums = {name: float(result[column].sum()) for name, column in names.items()}
        return total.assign_attrs(sums, target=f"{score} of {result.attrs.get('answer', 'the answer')!r}")
    one = result.isel(target=_position(row, result.sizes["target"]))
    values = {name: float(one[column]) for name, column in names.items()}
    return one.assign_attrs(values, target=f"{score} of {readable(str(one['target_token'].values))!r}")


def _position(row: Row, targets: int) -> int:
    if isinstance(row, bool) or not isinstance(row, (int, np.integer)) or not -targets <= row < targets:
        raise InvalidInput(
            f"There is no row {row!r} in this map; expected a position from 0 to {targets - 1} (negative numbers count "
            "from the end), or 'mean'."
        )
    return int(row) % targets


def _row_of(result: xr.DataArray, row: Row) -> tuple[xr.DataArray, str]:
    """The sources of one target of a map, and a description of that target."""
    targets, sources = result.shape
    if row == "mean":
        return result.mean("target", keep_attrs=True), "the mean of all positions"
    if row is None:
        looks_ahead = targets == sources and bool((np.triu(result.values, 1) != 0).any())
        row = 0 if looks_ahead else targets - 1
    position = _position(row, targets)
    token = str(result["target_token"].values[position]) if "target_token" in result.coords else ""
    return result.isel(target=position), f"position {position} ('{readable(token)}')"


def _words(merged: xr.DataArray, numbers: np.ndarray) -> tuple[ScoredWord, ...]:
    tokens, categories, starts, ends = (
        merged[f"source_{name}"].values for name in ("token", "category", "start", "end")
    )
    sides = merged["side"].values.astype(str) if "side" in merged.coords else np.full(len(numbers), "source")
    joined = np.zeros(len(numbers), dtype=bool)
    for side, attr in (("source", "text"), ("target", "target_text")):
        own = sides == side
        offsets = np.stack([starts[own], ends[own]], axis=1)
        joined[own] = joined_tokens(offsets, categories[own], str(merged.attrs.get(attr, "")))
    columns = (tokens, numbers.tolist(), categories, joined.tolist(), sides)
    return tuple(
        ScoredWord(shortened(readable(str(token)), _LONGEST_WORD), share, str(category), glued, str(side))
        for token, share, category, glued, side in zip(*columns, strict=True)
    )


def _apart(attrs: Mapping[Any, Any]) -> tuple[tuple[str, float], ...]:
    """Amounts that belong to no source, by name."""
    name = _REST_NAMES.get(
        str(attrs.get("method")), "bias" if math.isfinite(_number(attrs.get("conservation_error"))) else "left over"
    )
    remainder, value = _number(attrs.get("remainder")), _number(attrs.get("value"))
    has_remainder = math.isfinite(remainder) and not math.isclose(value + remainder, value, rel_tol=_ROUNDING)
    amounts = [(name, _number(attrs.get("bias_share"))), *([("remainder", remainder)] if has_remainder else [])]
    return tuple((name, amount) for name, amount in amounts if math.isfinite(amount))


def _unit(target: str) -> str:
    """The unit of a target, by its name."""
    return next((unit for start, unit in _UNITS.items() if target.startswith(start)), "the target's own unit")


def _unit_of_row(numbers: np.ndarray) -> str:
    return "share" if abs(float(np.nansum(numbers)) - 1.0) < _ROWS_OF_ONE else "norm"


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
