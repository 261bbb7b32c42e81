"""Options that many studies share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reproduce.study.kept import RESULTS, FiguresOf, PageOf, tabulate


def study_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of a study's options: whether to measure, and the folder of results."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--redraw", action="store_true", help="measure nothing; redraw page and figures from the kept numbers"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for all results (default: %(default)s)")
    return parser


def add_data(parser: argparse.ArgumentParser, content: str = "") -> None:
    """Add the option for the folder of data sets."""
    data = os.environ.get("NORMLENS_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(data) if data else None,
        help=f"folder of the data sets{content and f', with {content}'} (default: $NORMLENS_DATA)",
    )


def require_data(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Stop with a usage message if no folder was passed."""
    if options.data is None:
        parser.error("name the data folder with --data or NORMLENS_DATA")


def run_study(
    study: str,
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    measured: Callable[[argparse.Namespace], Iterable[tuple[str, Mapping[str, Any]]]],
    page: PageOf,
    draw: FiguresOf,
) -> int:
    """Measure what the command line names, keep it, and write page and figures.

    Parameters
    ----------
    study
        Name of the study and of its folder.
    parser, arguments
        The options, and the command line (default: that of the process). A study with the option for data needs it unless
        it redraws.
    measured
        From options to parts with their numbers, measured lazily.
    page, draw
        As for `reproduce.study.kept.tabulate`.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    options = parser.parse_args(arguments)
    if "data" in options and not options.redraw:
        require_data(parser, options)
    return tabulate(study, options.output, () if options.redraw else measured(options), page, draw)
