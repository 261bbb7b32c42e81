"""Which keys and values may be forgotten: a copy test and a needle test, and the meter's error beside the loss.

Passages are measured one by one and kept: a run that was stopped, or is started again with more passages, continues with
the missing ones. Page and figures are drawn from kept results.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from normlens import Lens
from reproduce.eviction.copying import measured_passage
from reproduce.eviction.passages import Passage, copied_passages, needle_texts
from reproduce.study.decoders import add_decoders, missing_items
from reproduce.study.options import add_data, run_study, study_parser

NAME = "eviction"


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
    add_decoders(parser)
    parser.add_argument("--passages", type=int, default=30, help="passages to copy (default: 30)")
    parser.add_argument("--needles", type=int, default=12, help="texts with key-value lines (default: 12)")
    parser.add_argument("--tokens", type=int, default=256, help="tokens of a passage (default: 256)")
    parser.add_argument("--copied", type=int, default=64, help="tokens of its copy (default: 64)")
    return run_study(NAME, parser, arguments, _measured, page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    return missing_items(NAME, options, partial(_passages, options), measured_passage)


def _passages(options: argparse.Namespace, lens: Lens) -> Iterator[tuple[str, Passage]]:
    torch.manual_seed(0)
    copied = list(copied_passages(lens, options.data, options.passages, options.tokens, options.copied))
    needles = list(needle_texts(lens, options.needles))
    for k in range(max(len(copied), len(needles))):
        yield from ((f"copy, {x.name}", x) for x in copied[k : k + 1])
        yield from ((f"needle, {x.name}", x) for x in needles[k : k + 1])
