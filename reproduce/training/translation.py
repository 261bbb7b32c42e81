"""Train the German–English models of the alignment study on the texts that are here, by `normlens.translation`.

``python -m reproduce train-translation --texts free --data DATA --out runs/free-guided --guide eflomal``; the same command
resumes a killed run. The files of words are written beside the run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from normlens.errors import NormLensError
from normlens.translation import Recipe, TrainingText, train
from reproduce.data.german_english import annotated_files, write_corpora

HELD_OUT = 1000


def text_of(data: Path, texts: str, out: Path, limit: int | None = None) -> TrainingText:
    """The corpora as text to train on, without the annotated sentences."""
    files = write_corpora(data, texts, out.parent / f"corpora-{texts}{limit or ''}", limit)
    return TrainingText(files, "de", "en", lowercase=True, exclude=annotated_files(data), held_out=HELD_OUT)


class Printed:
    """Messages on standard output."""

    def message(self, text: str) -> None:
        """Print it."""
        print(text, flush=True)

    def steps(self, direction: str, done: int, total: int) -> None:
        """Print every hundredth step."""
        if done % 100 == 0:
            print(f"{direction}: step {done} of {total}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as set on the command line.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    data, out, texts, limit, recipe = read_arguments(arguments)
    try:
        train(text_of(data, texts, out, limit), out, both=True, snapshots=True, reporter=Printed(), **recipe)
    except NormLensError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def read_arguments(arguments: Sequence[str] | None = None) -> tuple[Path, Path, str, int | None, dict[str, Any]]:
    """Read the command line: data, folder of the run, texts, limit, and what is set of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", choices=["free", "all"], default="free")
    parser.add_argument("--data", type=Path, default=os.environ.get("NORMLENS_DATA"), help="default: $NORMLENS_DATA")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="maximum number of pairs per corpus (default: all)")
    hints = get_type_hints(Recipe)
    for field in fields(Recipe):
        kind = hints[field.name] if hints[field.name] in (int, float) else str
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, help="default: by the amount of text")
    options = vars(parser.parse_args(arguments))
    data, out, texts, limit = (options.pop(name) for name in ("data", "out", "texts", "limit"))
    if data is None:
        parser.error("name the data folder with --data or NORMLENS_DATA")
    return Path(data), out, texts, limit, {name: value for name, value in options.items() if value is not None}
