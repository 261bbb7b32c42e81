"""Good clusterings (Daniely, Linial and Saks 2012): recovery of planted ones, results on noise, and the heads of two models.

Each part is measured separately and kept until it is measured again; page and figures are drawn from kept results.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from normlens.loading import sentences
from normlens.loading.catalog import BUNDLED
from reproduce.clustering.figures import draw
from reproduce.clustering.heads import heads
from reproduce.clustering.page import page
from reproduce.clustering.planted import noise, planted, soundness, timings
from reproduce.study.kept import measure_of, tabulate
from reproduce.study.options import study_parser

NAME = "clustering"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts named on the command line, keep them, and write page and figures.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    options = _options(arguments)
    return tabulate(NAME, options.output, () if options.redraw else _measured(options), page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    measures = _measures(options)
    for part in options.parts or measures:
        start = time.perf_counter()
        numbers = measure_of(part, measures)()
        seconds = round(time.perf_counter() - start, 1)
        print(f"{part}: {seconds} s", file=sys.stderr)
        yield part, {"seconds": seconds, "seed": options.seed, **numbers}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = study_parser(__doc__)
    parser.add_argument("--parts", nargs="+", help="planted, noise, soundness, timings, heads of MODEL (default: all)")
    parser.add_argument("--instances", type=int, default=1000, help="planted instances per α (default: 1000)")
    parser.add_argument(
        "--slow", type=int, default=60, help="planted instances for the slow search at small α (default: 60)"
    )
    parser.add_argument("--noise", type=int, default=20, help="noise instances per row (default: 20)")
    parser.add_argument(
        "--small", type=int, default=300, help="small instances that are enumerated exhaustively (default: 300)"
    )
    parser.add_argument(
        "--sentences", type=int, default=40, help="sentences of the bundled sample, for heads (default: 40)"
    )
    parser.add_argument(
        "--resamples", type=int, default=200, help="resamples of the bootstrap over sentences (default: 200)"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def _measures(options: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """The function that measures each part."""
    texts, seed = sentences()[: options.sentences], options.seed

    def of_model(model: str) -> Callable[[], dict[str, Any]]:
        return lambda: heads(model, texts, options.resamples, seed)

    return {
        "timings": lambda: timings(seed),
        "soundness": lambda: soundness(options.small, seed),
        "noise": lambda: noise(options.noise, seed),
        **{f"heads of {model}": of_model(model) for model in BUNDLED},
        "planted": lambda: planted(options.instances, options.slow, seed),
    }
