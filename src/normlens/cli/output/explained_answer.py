"""Output of ``normlens attribute`` for a whole answer: the terminal, a file in the format of its suffix, or JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from normlens.cli.destinations import PICTURES
from normlens.cli.output.borderless import borderless
from normlens.cli.output.highlighted import highlighted, show_sums, strongest
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import messages, percent, printable, results

if TYPE_CHECKING:
    import xarray as xr

    from normlens.figures import ScoredText

_MOST_SOURCES = 3
_NUMBERS = ("value", "bias_share", "remainder")


def give_answer(result: Any, output: Path | None, as_json: bool) -> None:
    """Write or print the attribution of an answer.

    Parameters
    ----------
    result
        Shares of an answer's tokens, ``(target, source)``, or of the answer as one target, ``(source,)``.
    output
        A file in the format of its suffix; None for standard output.
    as_json
        Whether to print JSON and nothing else.

    Raises
    ------
    NormLensError
        If the file can't be written.
    """
    words = result.words()
    if output is not None:
        _write(words, result, output)
        messages().print(f"Wrote {output}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json_text(_entries(words)))
    elif output is None:
        _show(words)


def _write(words: xr.DataArray, result: xr.DataArray, path: Path) -> None:
    from normlens import figures
    from normlens.analysis.stored_json import array_entries
    from normlens.files.atomic import write_atomically

    suffix = path.suffix.lower()
    if suffix in PICTURES:
        is_map = "target" in words.dims
        draw = (
            figures.answer_map
            if is_map
            else figures.source_bars
            if words.attrs.get("units") == "spans"
            else figures.highlights
        )
        figures.save(draw(words), path)
        return
    if suffix == ".html":
        content = figures.highlights_page(_rows(words), title=_explained(words).explained)
    elif suffix == ".json":
        content = json_text({**_entries(words), "attribution": array_entries(result)})
    else:
        content = _as_csv(words)
    write_atomically(path, content)


def _explained(words: xr.DataArray) -> ScoredText:
    """The answer as one target."""
    from normlens.figures import scored_text

    return scored_text(words)


def _rows(words: xr.DataArray) -> list[xr.DataArray]:
    """The answer as one target, and each of its words, for a page."""
    from normlens.figures.scored_text import of_answer

    if "target" not in words.dims:
        return [words]
    named = zip(words["target_token"].values, words["target_probability"].values, strict=True)
    names = [f"{word} {percent(float(probability)).replace(' ', chr(0x202F))}" for word, probability in named]
    each = [of_answer(words, k).assign_attrs(method=name, scope="") for k, name in enumerate(names)]
    return [of_answer(words, None).assign_attrs(method="answer", scope=""), *each]


def _show(words: xr.DataArray) -> None:
    console, text = results(), _explained(words)
    model = printable(str(words.attrs.get("model", "")))
    console.print(Text.assemble("\n", (model, "bold"), f" · {printable(text.name)}"), soft_wrap=True)
    console.print(Text(printable(text.explained)), soft_wrap=True)
    console.print()
    console.print(highlighted(text))
    if "target" in words.dims:
        _show_steps(console, words)
    else:
        console.print(Text("\nLargest shares", style="bold"))
        console.print(strongest(text))
        _show_rest(console, text)
    show_sums(console, text)
    if text.apart and text.apart[-1][0] == "remainder" and words.attrs.get("score") == "logprob":
        console.print("The remainder is minus the entropy of the model's choice of each token.", style="dim")


def _show_rest(console: Console, text: ScoredText) -> None:
    rest = [f"{printable(word.text)} {text.written(word.share)}" for word in text.words if word.is_special]
    if rest:
        console.print(Text(", ".join(rest), style="dim"))


def _show_steps(console: Console, words: xr.DataArray) -> None:
    """One line per word of the answer: its probability, the entropy of its choice, and its largest sources."""
    from normlens.figures import scored_text

    table = borderless()
    for heading, right in (("answer", False), ("probability", True), ("entropy", True), ("largest shares", False)):
        table.add_column(
            heading, header_style="bold", justify="right" if right else "left", overflow="fold", no_wrap=right
        )
    for k in range(words.sizes["target"]):
        one, step = scored_text(words, row=k), words.isel(target=k)
        largest = [
            f"{printable(one.words[j].text)} {one.written(one.words[j].share)}" for j in one.strongest(_MOST_SOURCES)
        ]
        table.add_row(
            Text(printable(str(step["target_token"].values))),
            percent(float(step["target_probability"])),
            f"{float(step['target_entropy']):.2f}",
            Text(" · ".join(largest)),
        )
    console.print()
    console.print(table)


def _entries(words: xr.DataArray) -> dict[str, Any]:
    """Shares, sums and steps for other programs."""
    attrs, total = words.attrs, _explained(words)
    shares = words.sum("target") if "target" in words.dims else words
    columns = ("token", "category", "role", "start", "end")
    sources = [
        {
            **{name: _plain(words[f"source_{name}"].values[k]) for name in columns if f"source_{name}" in words.coords},
            **({"side": str(words["side"].values[k])} if "side" in words.coords else {}),
            "share": float(shares.values[k]),
        }
        for k in range(words.sizes["source"])
    ]
    return {
        **{key: str(attrs.get(key, "")) for key in ("model", "text", "target_text", "answer", "normlens", "method")},
        "scope": attrs.get("scope") or None,
        "explained": total.explained,
        "score": attrs.get("score"),
        **{key: _finite(attrs.get(key)) for key in (*_NUMBERS, "conservation_error", "seconds")},
        "rule": attrs.get("rule"),
        "sources": sources,
        "steps": _steps(words) if "target" in words.dims else None,
    }


def _steps(words: xr.DataArray) -> list[dict[str, Any]]:
    columns = ("token", "start", "end", "probability", "entropy", *_NUMBERS)
    return [
        {
            **{name: _plain(words[f"target_{name}"].values[k]) for name in columns},
            "shares": [float(number) for number in words.transpose("target", "source").values[k]],
        }
        for k in range(words.sizes["target"])
    ]


def _as_csv(words: xr.DataArray) -> str:
    """One row per word of the answer and source; per source, if the answer is one target."""
    import pandas as pd

    whole = "target" not in words.dims
    array = words.expand_dims("target") if whole else words.transpose("target", "source")
    rows = [
        {
            "method": words.attrs.get("method"), "number": k,
            "answer": words.attrs.get("answer") if whole else str(words["target_token"].values[k]),
            "probability": math.nan if whole else float(words["target_probability"].values[k]),
            "source_number": j, "source": str(words["source_token"].values[j]),
            "role": str(words["source_role"].values[j]), "share": float(array.values[k, j]),
        }
        for k in range(array.sizes["target"])
        for j in range(array.sizes["source"])
    ]  # fmt: skip
    return str(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def _plain(value: Any) -> Any:
    """A number or a string of Python for one of NumPy."""
    one = value.item() if hasattr(value, "item") else value
    return _finite(one) if isinstance(one, float) else one


def _finite(number: Any) -> float | None:
    return float(number) if number is not None and math.isfinite(number) else None
