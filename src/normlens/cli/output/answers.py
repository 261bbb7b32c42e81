"""Output of ``normlens attribute`` and ``compare``: the terminal, a file in the format of its suffix, or JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from normlens.cli.destinations import PICTURES
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import messages

if TYPE_CHECKING:
    import xarray as xr

    from normlens.figures import Row, ScoredText

    Answers = xr.DataArray | Sequence[xr.DataArray]

RESULT_SUFFIXES = (".html", *PICTURES, ".json", ".csv")


def give(results: Answers, row: Row, output: Path | None, as_json: bool) -> None:
    """Write or print attributions.

    Parameters
    ----------
    results
        The attribution by one method, or a list with one for each method; JSON lists these under ``methods``.
    row
        The row of maps to show.
    output
        A file in the format of its suffix; None for standard output.
    as_json
        Whether to print JSON and nothing else.

    Raises
    ------
    NormLensError
        If a map has no such row, or the file can't be written.
    """
    from normlens.figures import scored_texts

    texts = scored_texts(results, row)
    if output is not None:
        _write(results, texts, row, output)
        messages().print(f"Wrote {output}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(_as_json(results, texts))
    elif output is None:
        from normlens.cli.output.highlighted import show

        show(texts, str(_several(results)[0].attrs.get("model", "")))


def _write(results: Answers, texts: Sequence[ScoredText], row: Row, path: Path) -> None:
    from normlens import figures
    from normlens.files.atomic import write_atomically

    suffix = path.suffix.lower()
    if suffix in PICTURES:
        if not isinstance(results, Sequence) and results.attrs.get("units") == "spans":
            figures.save(figures.source_bars(results), path)
        else:
            figures.save(figures.highlights(results, row=row), path)
        return
    if suffix == ".html":
        content = figures.highlights_page(results, row=row)
    else:
        content = _as_json(results, texts, whole=True) if suffix == ".json" else _as_csv(_several(results), texts)
    write_atomically(path, content)


def _as_json(results: Answers, texts: Sequence[ScoredText], *, whole: bool = False) -> str:
    """Attributions as JSON, NaN as null; a single one at the top level, a list under ``methods``.

    If ``whole``, a single one also has what `Attribution.from_json` reads.
    """
    from normlens.analysis.stored_json import array_entries

    several = _several(results)
    shared = {key: str(several[0].attrs.get(key, "")) for key in ("model", "text", "target_text", "normlens")}
    plain = [_plain(result, text) for result, text in zip(several, texts, strict=True)]
    data: dict[str, Any] = {**shared, "methods": plain} if isinstance(results, Sequence) else {**shared, **plain[0]}
    if whole and not isinstance(results, Sequence):
        data["attribution"] = array_entries(results)
    return json_text(data)


def _plain(result: xr.DataArray, text: ScoredText) -> dict[str, Any]:
    attrs = result.attrs
    sums = {} if "target" in result.dims else attrs
    return {
        "method": attrs.get("method"),
        "scope": attrs.get("scope") or None,
        "explained": text.explained,
        "unit": text.unit,
        **{key: _finite(sums.get(key)) for key in ("value", "bias_share", "remainder")},
        **{key: _finite(attrs.get(key)) for key in ("conservation_error", "seconds")},
        "rule": attrs.get("rule"),
        "note": text.advice or None,
        "words": [
            {"word": word.text, "share": _finite(word.share), "category": word.category, "side": word.side}
            for word in text.words
        ],
    }


def _as_csv(results: Sequence[xr.DataArray], texts: Sequence[ScoredText]) -> str:
    """One row per method and word."""
    import pandas as pd

    rows = [
        {
            "method": result.attrs.get("method"), "scope": result.attrs.get("scope"), "number": k, "word": word.text,
            "category": word.category, "side": word.side, "share": word.share, "unit": text.unit,
        }
        for result, text in zip(results, texts, strict=True)
        for k, word in enumerate(text.words)
    ]  # fmt: skip
    return str(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def _several(results: Answers) -> Sequence[xr.DataArray]:
    return results if isinstance(results, Sequence) else [results]


def _finite(number: Any) -> float | None:
    return float(number) if number is not None and math.isfinite(number) else None
