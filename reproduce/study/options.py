"""Options that many studies share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from reproduce.study.kept import RESULTS


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
