"""The answer that ``normlens attribute`` explains, and the passages that shares are added up over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normlens.cli.choices import AnswerScore
from normlens.cli.text_files import read_text
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens.loading.outline import Outline

GENERATED = 50
"""Largest number of tokens of an answer to a question about documents, unless one is brought."""


@dataclass(frozen=True)
class AnswerOptions:
    """An answer and passages, as typed on the command line.

    Attributes
    ----------
    generate, answer, score, whole, spans
        As :meth:`normlens.Lens.attribute` takes them.
    context, question
        Files of documents, and the question about them; empty and None for a prompt of another kind.
    """

    generate: int | None
    answer: str | None
    score: AnswerScore
    whole: bool
    spans: str | None
    context: tuple[Path, ...]
    question: str | None

    @property
    def is_asked(self) -> bool:
        """Whether an answer is explained."""
        return self.generate is not None or self.answer is not None or bool(self.context)

    def prompt(self, text: str | None) -> dict[str, Any]:
        """The documents and the question, as the library takes them.

        Parameters
        ----------
        text
            The argument TEXT, which would be a second prompt.

        Raises
        ------
        InvalidInput
            If there is a text, or a file can't be read or is blank.
        """
        if text is not None:
            raise InvalidInput(
                f"Got a text ({text[:40]!r}) and --context; expected one of them. Put --context and --question "
                "after MODEL, and leave out TEXT."
            )
        return {"context": [read_text(None, path) for path in self.context], "question": self.question}

    def options(self) -> dict[str, Any]:
        """The options of :meth:`normlens.Lens.attribute`."""
        spans = "sentences" if self.spans is None and len(self.context) == 1 else self.spans
        chosen: dict[str, Any] = {} if spans is None else {"spans": spans}
        if not self.is_asked:
            return chosen
        generate = GENERATED if self.answer is None and self.generate is None else self.generate
        whole = self.whole or bool(self.context)
        return chosen | {"generate": generate, "answer": self.answer, "score": self.score.value, "whole": whole}

    def check_outline(self, outline: Outline) -> None:
        """Refuse models that write no answers, before their weights are read.

        Raises
        ------
        InvalidInput
            Naming what would work.
        """
        from normlens.attribution import head_of_outline

        if head_of_outline(outline) not in (None, "next"):
            raise InvalidInput(
                f"{outline.name} writes no answers: it has no head that predicts the next token. Choose a decoder or an "
                "encoder–decoder, or leave out --generate, --answer and --context."
            )


def spread(args: Sequence[str], option: str = "--context") -> list[str]:
    """Arguments with an option of several values repeated before each: ``--context a b`` as ``--context a --context b``.

    Examples
    --------
    >>> spread(["m", "--context", "a", "b", "--question", "q"])
    ['m', '--context', 'a', '--context', 'b', '--question', 'q']
    """
    written: list[str] = []
    follows = False
    for argument in args:
        if follows and written[-1] != option and not argument.startswith("-"):
            written.append(option)
        follows = argument == option or (follows and not argument.startswith("-"))
        written.append(argument)
    return written
