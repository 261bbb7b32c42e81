"""The report's tables, one row per layer."""

from __future__ import annotations

from dataclasses import dataclass

from normlens.statistics.report.estimates import Estimate, Estimates

_ABSENT = "–"


@dataclass(frozen=True)
class Table:
    """A table as the page shows it.

    Attributes
    ----------
    title
        Heading of the table.
    headings
        One per column.
    rows
        Cells as text; the last row is the mean over layers.
    """

    title: str
    headings: list[str]
    rows: list[list[str]]


def tables(numbers: Estimates) -> list[Table]:
    """Lay out shares, vector norms and mixing ratios by layer.

    Parameters
    ----------
    numbers
        The numbers of one kind of attention.

    Returns
    -------
    list of Table
        Columns without a number, and tables without a column, are left out.
    """
    share = {"weight": "weight_share", "norm": numbers.norm_share}
    shares = [
        (f"{category}, by {measure}", quantity, category, True)
        for category in ("special", "first token", "punctuation", "other", "sink")
        for measure, quantity in share.items()
        if any(_present(numbers, name, category) for name in share.values())
    ]
    vectors = [
        *((f"‖f(x)‖, {category}", "vector_norm", category, False) for category in ("special", "punctuation", "other")),
        ("variation of ‖f(x)‖", "vector_norm_variation", "all", False),
        ("ρ of α with ‖f(x)‖", "correlation_weight_vector_norm", "all", False),
        ("ρ of α with frequency rank", "correlation_weight_frequency", "all", False),
        ("ρ of ‖f(x)‖ with frequency rank", "correlation_vector_norm_frequency", "all", False),
    ]
    mixing = [
        (f"{scope}, by {measure}", quantity, scope, True)
        for scope in numbers.categories("mixing_ratio")
        for measure, quantity in (("weight", "mixing_ratio_weight"), ("norm", "mixing_ratio"))
    ]
    laid_out = [
        _table(numbers, "Share of what a target receives, by the category of the source", shares),
        _table(numbers, "Length and dispersion of the vectors, and rank correlations", vectors),
        _table(numbers, "Mixing ratio: how much comes from other positions", mixing),
    ]
    return [table for table in laid_out if len(table.headings) > 1]


def _table(numbers: Estimates, title: str, columns: list[tuple[str, str, str, bool]]) -> Table:
    """Fill one table; a column is its heading, quantity, category, and whether it is a percentage."""
    kept = [column for column in columns if _present(numbers, column[1], column[2])]
    rows = []
    for layer in [*numbers.layers, None]:
        name = "all" if layer is None else str(layer)
        cells = [_cell(numbers.get(quantity, category, layer), share) for _, quantity, category, share in kept]
        rows.append([name, *cells])
    return Table(title, ["layer", *(heading for heading, *_ in kept)], rows)


def _present(numbers: Estimates, quantity: str, category: str) -> bool:
    """Whether a column has numbers worth showing."""
    overall = numbers.get(quantity, category)
    return overall is not None and (overall.value != 0 or not quantity.endswith("share"))


def _cell(estimate: Estimate | None, share: bool) -> str:
    """Write one cell."""
    if estimate is None:
        return _ABSENT
    return estimate.percent() if share else estimate.number()
