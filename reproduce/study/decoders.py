"""Studies of several decoders, item by item: a run that was stopped continues with the items that aren't kept."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import normlens
from normlens import Lens
from reproduce.study.kept import kept, numbers_of, rounded

Item = TypeVar("Item")

NAMES = {"smollm2-135m": "SmolLM2-135M", "gemma-3-270m": "Gemma 3 270M"}
"""How pages name models."""


def add_decoders(parser: argparse.ArgumentParser) -> None:
    """Add the option for the models."""
    parser.add_argument(
        "--models",
        nargs="+",
        default=["smollm2-135m"],
        help="decoders: names, folders, GGUF files (default: %(default)s)",
    )


def missing_items(
    study: str,
    options: argparse.Namespace,
    items: Callable[[Lens], Iterable[tuple[str, Item]]],
    measured: Callable[[Lens, Item], dict[str, Any]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measure the items of each model that aren't kept; parts are named "model, item".

    Parameters
    ----------
    study
        Name of the study.
    options
        With ``models``, and the folder ``output``.
    items
        Names and items of a model.
    measured
        The numbers of an item.
    """
    path = numbers_of(study, options.output)
    for model in options.models:
        lens = normlens.load(model)
        for name, item in items(lens):
            part = f"{Path(model).name.removesuffix('.gguf')}, {name}"
            if part not in kept(path):
                yield part, rounded(measured(lens, item))
