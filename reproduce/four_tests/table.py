"""The four tests of Wiegreffe & Pinter 2019 on SST and AG News, for weights, norms and attributions.

``python -m reproduce four-tests --data DATA --runs runs`` trains what ``runs`` doesn't hold yet; a killed run goes on when
the command is repeated. Each part is kept until it is measured again; page and figures are drawn of what is kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from normlens.faithfulness.four_tests import results_of, run_cells
from normlens.faithfulness.four_tests.schedule import available_cores
from reproduce.four_tests.page import draw, page
from reproduce.four_tests.parts import PARTS, experiment
from reproduce.study.kept import measure_of, rounded
from reproduce.study.options import add_data, run_study, study_parser

NAME = "four_tests"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts that the command line names, keep them, and write page and figures.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    parser = study_parser(__doc__)
    add_data(parser, "sst and ag_news")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), help=f"some of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the trained cells (default: runs)")
    parser.add_argument(
        "--workers", type=int, default=available_cores(), help="cells side by side (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="where models run (default: cpu)")
    return run_study(NAME, parser, arguments, _measured, page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in options.parts:
        measure_of(name, PARTS)
        folder = options.runs / name
        print(f"{name}: {PARTS[name].title}", file=sys.stderr)
        place, outcomes = run_cells(
            experiment(name, options.data, folder), folder / "cells", workers=options.workers, device=options.device
        )
        numbers, table = results_of(place, outcomes)
        for side in ("experiment", "seconds"):
            numbers.pop(side)
        yield name, {"title": PARTS[name].title, **rounded(numbers), "spread": _spread(table)}


def _spread(table: pd.DataFrame) -> dict[str, list[float]]:
    """Label, largest weight and median JSD over seeds of each test text, for the violins."""
    base = table[(table["role"] == "learned") & (table["seed"] == 0)].sort_values("text")
    others = table[(table["role"] == "learned") & (table["seed"] > 0)]
    median = others.groupby("text")["jsd_weight"].median()
    columns = {"label": base["label"], "largest": base["largest_weight"], "divergence": median}
    return {name: [round(float(x), 3) for x in values] for name, values in columns.items()}
