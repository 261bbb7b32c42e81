"""Which keys and values may be forgotten: a copy test and a needle test, and the meter's error beside the loss.

Passages are measured one by one and kept: a run that was stopped, or is started again with more passages, continues with
the missing ones. Page and figures are drawn from kept results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch

import normlens
from reproduce.eviction.copying import measured_passage
from reproduce.eviction.passages import Passage, copied_passages, needle_texts
from reproduce.study.kept import keep, kept, numbers_of, rounded, tabulate
from reproduce.study.options import add_data, require_data, study_parser

NAME = "eviction"
MODELS = ("smollm2-135m",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, keep it, and write page and figures.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    from reproduce.eviction.page import draw, page

    parser = study_parser(__doc__)
    add_data(parser, "xquad/, cdsco/ and ud_pud/")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="decoders (default: %(default)s)")
    parser.add_argument("--passages", type=int, default=30, help="passages to copy (default: 30)")
    parser.add_argument("--needles", type=int, default=12, help="texts with key-value lines (default: 12)")
    parser.add_argument("--tokens", type=int, default=256, help="tokens of a passage (default: 256)")
    parser.add_argument("--copied", type=int, default=64, help="tokens of its copy (default: 64)")
    options = parser.parse_args(arguments)
    if not options.redraw:
        require_data(parser, options)
    return tabulate(NAME, options.output, () if options.redraw else _measured(options), page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Nothing: each passage keeps its measurements, so that the run can resume."""
    path = numbers_of(NAME, options.output)
    for model in options.models:
        lens = normlens.load(model)
        for kind, passage in _passages(lens, options):
            part = f"{model}, {kind}, {passage.name}"
            if part not in kept(path):
                print(part, file=sys.stderr, flush=True)
                keep(path, part, rounded(measured_passage(lens, passage)))
    yield from ()


def _passages(lens: normlens.Lens, options: argparse.Namespace) -> Iterator[tuple[str, Passage]]:
    torch.manual_seed(0)
    copied = list(copied_passages(lens, options.data, options.passages, options.tokens, options.copied))
    needles = list(needle_texts(lens, options.needles))
    for k in range(max(len(copied), len(needles))):
        yield from (("copy", x) for x in copied[k : k + 1])
        yield from (("needle", x) for x in needles[k : k + 1])
