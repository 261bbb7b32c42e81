"""Which sentence made the answer: every method against the gold sentence, and against leaving each sentence out.

``python -m reproduce contexts --data DATA``. Questions of XQuAD, English, about paragraphs of three sentences or more; the
gold answer is teacher-forced. Questions are measured one by one and kept: a run that was stopped, or is started again with
more questions, continues with the missing ones. Page and figure are drawn from kept results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import normlens
from reproduce.contexts.sentence_scores import measured
from reproduce.contexts.xquad_questions import questions
from reproduce.study.kept import keep, kept, numbers_of, rounded, tabulate
from reproduce.study.options import add_data, require_data, study_parser

NAME = "contexts"
MODELS = ("smollm2-135m",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, keep it, and write page and figure.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    from reproduce.contexts.page import draw, page

    parser = study_parser(__doc__)
    add_data(parser, "xquad/")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="decoders (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=200, help="number of questions (default: 200)")
    parser.add_argument("--ablations", type=int, default=32, help="ablations of ContextCite (default: 32)")
    options = parser.parse_args(arguments)
    if not options.redraw:
        require_data(parser, options)
    return tabulate(NAME, options.output, () if options.redraw else _measured(options), page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Nothing: each question keeps its measurements, so that the run can resume."""
    path = numbers_of(NAME, options.output)
    for model in options.models:
        lens = normlens.load(model)
        for one in questions(options.data, options.questions):
            part = f"{model}, {one.name}"
            if part not in kept(path):
                print(part, file=sys.stderr, flush=True)
                keep(path, part, rounded(measured(lens, one, options.ablations)))
    yield from ()
