"""Which sentence made the answer: every method against the gold sentence, and against leaving each sentence out.

``python -m reproduce contexts --data DATA``. Questions of XQuAD, English, about paragraphs of three sentences or more; the
gold answer is teacher-forced. Questions are measured one by one and kept: a run that was stopped, or is started again with
more questions, continues with the missing ones. Page and figure are drawn from kept results.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from reproduce.contexts.sentence_scores import measured as measured_question
from reproduce.contexts.xquad_questions import questions
from reproduce.study.decoders import add_decoders, missing_items
from reproduce.study.kept import tabulate
from reproduce.study.options import add_data, require_data, study_parser

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
    options = parser.parse_args(arguments)
    if not options.redraw:
        require_data(parser, options)
    measured = missing_items(
        NAME,
        options,
        lambda lens: ((one.name, one) for one in questions(options.data, options.questions)),
        partial(measured_question, ablations=options.ablations),
    )
    return tabulate(NAME, options.output, () if options.redraw else measured, page, draw)
