"""Write the report: everything into a temporary folder, which takes its real name when it is complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Protocol

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from normlens.errors import InvalidInput
from normlens.figures import heat_maps, report_figures, save
from normlens.figures.panels import AxesLike
from normlens.figures.style import kept_from_the_screen
from normlens.files.atomic import write_atomically
from normlens.statistics.report.estimates import Estimates
from normlens.statistics.report.findings import findings, widest_gap
from normlens.statistics.report.pages import Picture, Section, render
from normlens.statistics.report.placing import FIGURES, HTML, MARKDOWN, NUMBERS, refuse_to_overwrite, taking_its_place
from normlens.statistics.report.scatter import alpha_against_norm, token_scatter
from normlens.statistics.report.tables import tables

_CONFIDENCE = 0.95


class CollectedNumbers(Protocol):
    """The numbers of a corpus for one kind of attention, such as :class:`normlens.statistics.CorpusStatistics`."""

    largest_conservation_error: float

    def __len__(self) -> int:
        """Count the texts."""

    def facts(self) -> dict[str, str]:
        """How the numbers were obtained: "token frequency" and "intervals"."""

    def table(self, *, confidence: float) -> pd.DataFrame:
        """The tidy table of :class:`normlens.statistics.CorpusStatistics`."""


def write_report(
    statistics: Mapping[str, CollectedNumbers],
    folder: str | Path,
    *,
    title: str,
    attributes: Mapping[str, object],
    examples: Mapping[str, Sequence[xr.Dataset]] | None = None,
    tokens: Mapping[str, pd.DataFrame] | None = None,
) -> Path:
    """Write a page on the weights and norms of a corpus, in Markdown and HTML, with all the numbers.

    Parameters
    ----------
    statistics
        Statistics of each kind of attention ("encoder", "decoder", "cross"), in the order of the page.
    folder
        Where to write. An existing report is replaced, other files in its folder stay; any other folder that isn't empty
        is refused.
    title, attributes
        The first line of the page; and facts about the measurement (model, revision, versions), in the order of the page.
    examples
        For each kind of attention, a few analyzed texts to show in pictures.
    tokens
        For each kind of attention, a random sample of the corpus's tokens, with the columns ``weight``, ``vector_norm`` and
        ``special``, for a scatter plot.

    Returns
    -------
    pathlib.Path
        The folder, with ``report.html`` (complete in itself), ``report.md``, ``figures/*.svg`` and ``numbers.parquet``.

    Raises
    ------
    NormLensError
        If statistics are missing or empty, or the folder can't be written or contains something else. An older report stays.
    """
    folder = Path(folder)
    refuse_to_overwrite(folder)
    if not statistics or not all(map(len, statistics.values())):
        raise InvalidInput(
            "There are no statistics to report; expected those of at least one text for each kind of attention. Add "
            "analyzed texts first."
        )
    with taking_its_place(folder) as partial:
        _fill(partial, statistics, title, attributes, examples or {}, tokens or {})
    return folder


def _fill(
    folder: Path,
    statistics: Mapping[str, CollectedNumbers],
    title: str,
    attributes: Mapping[str, object],
    examples: Mapping[str, Sequence[xr.Dataset]],
    tokens: Mapping[str, pd.DataFrame],
) -> None:
    """Write the page, its figures and the numbers into an empty folder."""
    numbers = {kind: collected.table(confidence=_CONFIDENCE) for kind, collected in statistics.items()}
    measured = _measured(statistics, attributes)
    render(
        {"md": folder / MARKDOWN, "html": folder / HTML},
        title=title,
        sections=[
            _section(kind, table, folder, examples.get(kind, ()), tokens.get(kind)) for kind, table in numbers.items()
        ],
        measured=measured,
        n_texts=max(map(len, statistics.values())),
        confidence=round(100 * _CONFIDENCE),
    )
    _write_numbers(numbers, folder / NUMBERS, measured)


def _section(
    kind: str, table: pd.DataFrame, folder: Path, examples: Sequence[xr.Dataset], tokens: pd.DataFrame | None
) -> Section:
    """Build the section of the page on one kind of attention, and save its figures."""
    numbers = Estimates(table)
    (folder / FIGURES).mkdir(exist_ok=True)
    pictures = []
    with kept_from_the_screen():
        drawn: dict[str, Figure | AxesLike] = {**report_figures(table)}
        if tokens is not None and len(tokens):
            drawn["tokens"] = token_scatter(tokens)
        drawn |= _example_figures(numbers, examples)
    for name, figure in drawn.items():
        path = save(figure, folder / FIGURES / f"{kind}_{name}.svg")
        pictures.append(Picture.of(path, folder, kind, name))
    return Section(kind, findings(numbers), tables(numbers), pictures)


def _example_figures(numbers: Estimates, examples: Sequence[xr.Dataset]) -> dict[str, AxesLike]:
    """Draw each example: the layer where weights and norms differ most, and α against ‖f(x)‖ of the first."""
    special = numbers.get("weight_share", "special")
    category = "special" if special is not None and special.value > 0 else "first token"
    layer = widest_gap(numbers, category)
    drawn: dict[str, AxesLike] = {}
    for count, example in enumerate(examples, start=1):
        if layer is not None and "norm" in example:
            drawn[f"example_{count}_layer_{layer}"] = heat_maps(example, layer, row_normalized=True)
    if examples:
        drawn["example_1_alpha_against_norm"] = alpha_against_norm(examples[0])
    return drawn


def _measured(statistics: Mapping[str, CollectedNumbers], attributes: Mapping[str, object]) -> dict[str, str]:
    """Facts about the measurement, in the order of the page."""
    measured = {name: str(value) for name, value in attributes.items()}
    for kind, collected in statistics.items():
        measured[f"texts, {kind}"] = str(len(collected))
        error = collected.largest_conservation_error
        measured[f"largest conservation error, {kind}"] = "not measured" if isnan(error) else f"{error:.1e}"
        facts = collected.facts()
        measured[f"token frequency, {kind}"] = facts["token frequency"]
        intervals = facts["intervals"]
    return measured | {"intervals": intervals}


def _write_numbers(numbers: Mapping[str, pd.DataFrame], path: Path, measured: dict[str, str]) -> None:
    """Write the tables of all kinds of attention as one Parquet file, with facts about the measurement in its metadata."""
    tables = []
    for kind, table in numbers.items():
        tables.append(table.copy())
        tables[-1].insert(0, "attention", kind)
    joined = pd.concat(tables, ignore_index=True)
    joined.attrs.update(measured)
    write_atomically(path, joined.to_parquet(index=False))
