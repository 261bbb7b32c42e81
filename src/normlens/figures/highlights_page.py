"""Highlighted text as one self-contained HTML page, for light and dark screens."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from itertools import groupby
from typing import Any

import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from normlens.figures.scored_text import Row, ScoredText, ScoredWord, scored_texts
from normlens.figures.style import readable

_STRONG = 0.55  # from this strength on, letters have the color of the background
_FACTS = ("model", "revision", "dtype", "normlens")


def highlights_page(results: xr.DataArray | Sequence[xr.DataArray], *, row: Row = None, title: str = "") -> str:
    """Return an HTML page of a text with each word in the color of its share.

    The page loads nothing (its content security policy forbids it) and needs no script. Pointing at a word shows its number.

    Parameters
    ----------
    results
        Results of ``lens.attribute``: shares ``(source,)`` or maps ``(target, source)``, of one text.
    row
        For maps: the target whose sources are shown, see :func:`scored_text`.
    title
        Heading of the page. Default: the explained quantity.

    Returns
    -------
    str

    Raises
    ------
    InvalidInput
        If there is nothing to show, or a result has other dimensions.
    """
    texts = scored_texts(results, row)
    attrs = (results if isinstance(results, xr.DataArray) else results[0]).attrs
    facts = " · ".join(f"{name} {readable(str(attrs[name]))}" for name in _FACTS if str(attrs.get(name) or ""))
    page = Environment(
        loader=PackageLoader("normlens.figures"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("highlights.html")
    style = resources.files("normlens.figures").joinpath("templates", "highlights.css").read_text(encoding="utf-8")
    explained = next((text.explained for text in texts if text.balance), texts[0].explained)
    return page.render(
        title=readable(title or explained),
        facts=facts,
        style=Markup(style),  # a file of the package, which is trusted and must not be escaped
        scales=_scales(texts),
        rows=[_row(text) for text in texts],
        tables=_tables(texts),
    )


def _row(text: ScoredText) -> dict[str, Any]:
    """The card of one method."""
    about = [text.explained, text.balance, text.note]
    if text.conservation_error == text.conservation_error:
        about.append(f"conservation error {text.conservation_error:.0e}")
    starts = [k > 0 and word.side != text.words[k - 1].side for k, word in enumerate(text.words)]
    return {
        "name": text.name,
        "about": " · ".join(readable(fact) for fact in about if fact),
        "advice": text.advice,
        "words": [_word(text, word, start) for word, start in zip(text.words, starts, strict=True)],
        "apart": [(name, text.written(number)) for name, number in text.apart],
    }


def _word(text: ScoredText, word: ScoredWord, begins_side: bool) -> dict[str, Any]:
    strength = text.strength(word)
    direction = ("for" if strength >= 0 else "against") if text.signed else "amount"
    marks = {
        "special": word.is_special, "none": word.share != word.share, "joined": word.joined,
        "strong": abs(strength) >= _STRONG,
    }  # fmt: skip
    return {
        "text": word.text,
        "classes": " ".join(["word", direction, *(mark for mark, applies in marks.items() if applies)]),
        "strength": f"{abs(strength):.3f}",
        "number": _in_full(text, word),
        "joined": word.joined,
        "starts": begins_side,
    }


def _in_full(text: ScoredText, word: ScoredWord) -> str:
    """A word's number with its unit, and its share of the sum of absolute numbers."""
    written = text.written(word.share)
    if text.unit == "share" or word.share != word.share:
        return written
    if text.note:
        return f"{written} {text.unit}"
    total = sum(abs(other.share) for other in text.words if other.share == other.share)
    proportion = f", {100 * abs(word.share) / total:.0f} % of the sum of absolute values" if total else ""
    return f"{written} {text.unit}{proportion}"


def _scales(texts: Sequence[ScoredText]) -> list[dict[str, Any]]:
    """One scale for each kind of number on the page."""
    scales = []
    for signed in sorted({text.signed for text in texts}, reverse=True):
        first = next(text for text in texts if text.signed == signed)
        if len(texts) > 1:
            low, high = ("against", "for, relative to the row's largest") if signed else ("0", "the row's largest")
        else:
            unit = "" if first.unit == "share" else f" {first.unit}"
            high = f"{first.written(first.largest)}{unit}"
            low = f"{first.written(-first.largest)}" if signed else "0"
        scales.append({"signed": signed, "low": low, "high": high})
    return scales


def _tables(texts: Sequence[ScoredText]) -> list[dict[str, Any]]:
    """All numbers: consecutive texts with the same words share a table, one column each."""
    tables = []
    for _, group in groupby(texts, key=lambda text: [word.text for word in text.words]):
        same = list(group)
        lines = [
            (word.text, word.is_special, [text.written(text.words[k].share) for text in same])
            for k, word in enumerate(same[0].words)
        ]
        tables.append({"names": [text.name for text in same], "lines": lines})
    return tables
