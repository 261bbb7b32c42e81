"""Which sentence made the answer: every method against the gold sentence, and against leaving each sentence out.

``python -m reproduce contexts --data DATA``. Questions of XQuAD, English, about paragraphs of three sentences or more; the
gold answer is teacher-forced. Questions are measured one by one and kept: a run that was stopped, or is started again with
more questions, continues with the missing ones. Page and figure are drawn from kept results.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from normlens import Lens
from reproduce.contexts.sentence_scores import measured as measured_question
from reproduce.contexts.xquad_questions import ContextQuestion, questions
from reproduce.study.decoders import add_decoders, missing_items
from reproduce.study.options import add_data, run_study, study_parser

NAME = "contexts"


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
    add_decoders(parser)
    parser.add_argument("--questions", type=int, default=200, help="number of questions (default: 200)")
    parser.add_argument("--ablations", type=int, default=32, help="ablations of ContextCite (default: 32)")
    return run_study(NAME, parser, arguments, _measured, page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    def asked(lens: Lens) -> Iterator[tuple[str, ContextQuestion]]:
        return ((one.name, one) for one in questions(options.data, options.questions))

    return missing_items(NAME, options, asked, partial(measured_question, ablations=options.ablations))
