"""The texts that a command reads: from an argument, a file or standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from normlens.cli.terminal import messages
from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable
from normlens.inputs import SUFFIX as TREEBANK
from normlens.inputs import numbered_sentences


class Lines:
    """The texts of a file, one per line; blank lines are left out. May be read any number of times.

    Parameters
    ----------
    path
        A text file in UTF-8, or a treebank (``.conllu``), whose sentences are given as their words.
    limit
        How many texts to read at most.
    column
        For lines of several texts between tabs: which of them, 0 or 1. Default: the whole line.
    skip
        Takes number and reason of a line that can't be read. Default: such a line is refused.

    Attributes
    ----------
    number
        Number of the line read last, from 1.
    """

    def __init__(
        self,
        path: Path,
        limit: int | None = None,
        column: int | None = None,
        skip: Callable[[int, str], None] | None = None,
    ) -> None:
        self.path, self.limit, self.column, self.number = path, limit, column, 0
        self._skip = skip

    def __iter__(self) -> Iterator[str | list[str]]:
        """Read from the start.

        Raises
        ------
        InvalidInput
            If the file can't be read, isn't text, or a line lacks the column.
        """
        return islice(self._texts(), self.limit)

    def located(self, error: InvalidInput) -> InvalidInput:
        """Say of an error about the text read last in which line that stands, unless the error does."""
        if str(self.path) in str(error):
            return error
        reason = error.__cause__ if isinstance(error.__cause__, InvalidInput) else error  # without an input's number
        return InvalidInput(f"{self.path}, line {self.number}: {reason}")

    def _texts(self) -> Iterator[str | list[str]]:
        try:
            refuse_unreadable(self.path, again=True)
            with self.path.open(encoding="utf-8-sig", errors=self._errors()) as file:
                if is_treebank(self.path):
                    yield from self._sentences(file)
                    return
                for self.number, line in enumerate(file, start=1):
                    text = self._text(line.strip("\r\n")) if line.strip() else None
                    if text is not None:
                        yield text
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from error

    def _errors(self) -> str:
        """How bytes that are no text are taken: a line of its own can be left out, a part of a treebank can't."""
        return "strict" if self._skip is None or is_treebank(self.path) else "surrogateescape"

    def _sentences(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """The sentences of a treebank."""
        if self.column is not None:
            raise InvalidInput(
                f"{self.path} is a treebank of one language; this model is an encoder–decoder, and expects a text and its "
                "target on each line, with a tab between them."
            )
        for number, words in numbered_sentences(lines, self.path):
            self.number = number
            yield words

    def _text(self, line: str) -> str | None:
        """The text of a line; None for one that is left out."""
        if self._skip is None:
            return self._column(line)
        try:
            line.encode("utf-8")
            return self._column(line)
        except UnicodeEncodeError:
            self._skip(self.number, "it is not text in UTF-8")
        except InvalidInput:
            self._skip(self.number, "it doesn't hold a text and its target, with a tab between them")
        return None

    def _column(self, line: str) -> str:
        if self.column is None:
            return line.strip()
        parts = line.split("\t")
        if len(parts) != 2 or not all(part.strip() for part in parts):
            raise InvalidInput(
                f"{self.path}, line {self.number} has {len(parts)} texts; this model is an encoder–decoder, and expects a "
                "text and its target on each line, with a tab between them."
            )
        return parts[self.column].strip()


def read_input(text: str | None, file: Path | None) -> str | dict[str, list[str]]:
    """The text to analyze, as :func:`read_text`; of a treebank, its only sentence as words.

    Raises
    ------
    InvalidInput
        As :func:`read_text`; if a treebank holds another number of sentences.
    """
    if file is None or text is not None or not is_treebank(file):
        return read_text(text, file)
    found = [one for one in islice(Lines(file), 2) if isinstance(one, list)]
    if len(found) != 1:
        raise InvalidInput(
            f"{file} holds {'several sentences' if found else 'no sentence'}; expected one here. Take one out of it, or "
            "give the file to a command that reads many texts, such as normlens report."
        )
    return {"words": found[0]}


def read_text(text: str | None, file: Path | None) -> str:
    """The text to analyze: an argument, a whole file, or standard input.

    Parameters
    ----------
    text
        The text itself; "-" or None for standard input.
    file
        A file to read instead.

    Raises
    ------
    InvalidInput
        If both are given, the file can't be read or isn't text, or there is no word in it.
    """
    if file is not None and text is not None:
        raise InvalidInput(f"A text was given as well as --file {file}; expected one of them. Leave one out.")
    where = "The argument TEXT" if text not in (None, "-") else str(file or "standard input")
    try:
        read = _read(text, file)
    except (OSError, ValueError) as error:
        raise unreadable(where, error) from error
    if not read.strip():
        raise InvalidInput(f"{where} holds no text; expected at least one word.")
    return read


def _read(text: str | None, file: Path | None) -> str:
    if file is not None and is_treebank(file):
        from normlens.words import joined_words

        return "\n".join(one if isinstance(one, str) else joined_words(one) for one in Lines(file))
    if file is not None:
        refuse_unreadable(file)
        return file.read_text(encoding="utf-8-sig").strip()
    if text is not None and text != "-":
        return text
    if sys.stdin is None:
        raise InvalidInput("There is no text, and standard input is closed. Give a text, or --file.")
    if sys.stdin.isatty():
        messages().print("Type the text; Ctrl-D on an empty line ends it.")
    return sys.stdin.read().strip()


def is_treebank(path: Path) -> bool:
    """Whether a file is named as one in CoNLL-U."""
    return path.suffix.lower() == TREEBANK


def unreadable(path: Path | str, error: OSError | ValueError) -> InvalidInput:
    """An error that says why a file can't be read as text."""
    if isinstance(error, UnicodeDecodeError):
        return InvalidInput(
            f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}). Convert it, or choose another file."
        )
    return InvalidInput(f"{path} can't be read: {reason(error)}. Check the path.")
