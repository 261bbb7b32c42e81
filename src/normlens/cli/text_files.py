"""The texts that a command reads: from an argument, a file or standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from normlens.cli.terminal import counted, messages
from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable
from normlens.inputs import SUFFIX as TREEBANK
from normlens.inputs import numbered_sentences


class Lines:
    """The texts of a file, one per line, without blank lines. Can be iterated any number of times.

    Parameters
    ----------
    path
        A text file in UTF-8, or a treebank (``.conllu``), whose sentences are lists of words.
    limit
        Largest number of texts to read. Default: all.
    column
        Column to read from lines of two texts separated by a tab: 0 or 1. Default: the whole line.
    skip
        Called with the number of a line that can't be read, and the reason. Default: such a line raises an error.

    Attributes
    ----------
    number
        Number of the line read last, counted from 1.
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
        """Iterate over the texts from the start of the file.

        Raises
        ------
        InvalidInput
            If the file can't be read or isn't text, or a line lacks the column.
        """
        return islice(self._texts(), self.limit)

    def located(self, error: InvalidInput) -> InvalidInput:
        """Add file and line number of the text read last to an error about it, unless the error names the file."""
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
        """How to decode: undecodable bytes must survive in lines that may be skipped; in treebanks they are an error."""
        return "strict" if self._skip is None or is_treebank(self.path) else "surrogateescape"

    def _sentences(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """The sentences of a treebank."""
        if self.column is not None:
            raise InvalidInput(
                f"{self.path} is a treebank; this model is an encoder–decoder and expects two texts on each line, separated "
                "by a tab: the text and the target text."
            )
        for number, words in numbered_sentences(lines, self.path):
            self.number = number
            yield words

    def _text(self, line: str) -> str | None:
        """The text of a line; None for a skipped line."""
        if self._skip is None:
            return self._column(line)
        try:
            line.encode("utf-8")
            return self._column(line)
        except UnicodeEncodeError:
            self._skip(self.number, "it is not text in UTF-8")
        except InvalidInput:
            self._skip(self.number, "it does not hold a text and a target text, separated by a tab")
        return None

    def _column(self, line: str) -> str:
        if self.column is None:
            return line.strip()
        columns = line.split("\t")
        if len(columns) != 2 or not all(column.strip() for column in columns):
            raise InvalidInput(
                f"{self.path}, line {self.number} has {counted(len(columns), 'column')}; this model is an "
                "encoder–decoder and expects two texts on each line, separated by a tab: the text and the target text."
            )
        return columns[self.column].strip()


def read_input(text: str | None, file: Path | None) -> str | dict[str, list[str]]:
    """Read the text to analyze as :func:`read_text` does; the only sentence of a treebank is read as its words.

    Raises
    ------
    InvalidInput
        As :func:`read_text`; also if a treebank doesn't hold exactly one sentence.
    """
    if file is None or text is not None or not is_treebank(file):
        return read_text(text, file)
    sentences = [sentence for sentence in islice(Lines(file), 2) if isinstance(sentence, list)]
    if len(sentences) != 1:
        raise InvalidInput(
            f"{file} holds {'several sentences' if sentences else 'no sentence'}; expected exactly one. Copy one into "
            "a file of its own, or use a command that reads many texts, such as normlens report."
        )
    return {"words": sentences[0]}


def read_text(text: str | None, file: Path | None) -> str:
    """Read the text to analyze from an argument, a whole file, or standard input.

    Parameters
    ----------
    text
        The text itself; "-" or None for standard input.
    file
        File to read instead; "-" for standard input.

    Raises
    ------
    InvalidInput
        If both are passed, the file can't be read or isn't text, or the text is blank.
    """
    if file is not None and text is not None:
        raise InvalidInput(f"Got both a text and --file {file}; expected one of them. Leave one out.")
    file = None if is_standard_input(file) else file
    where = "The argument TEXT" if text not in (None, "-") else str(file or "Standard input")
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
        raise InvalidInput("There is no text, and standard input is closed. Pass TEXT or --file.")
    if sys.stdin.isatty():
        messages().print("Type the text. End with Ctrl-D on an empty line.")
    return sys.stdin.read().strip()


def all_lines(path: Path) -> list[str]:
    """Every line of a file, or of standard input for "-", blank ones too, so that an answer has as many.

    Raises
    ------
    InvalidInput
        If it can't be read, isn't text, or holds nothing.
    """
    where: Path | str = "Standard input" if is_standard_input(path) else path
    try:
        if is_standard_input(path):
            content = "" if sys.stdin is None else sys.stdin.read()
        else:
            refuse_unreadable(path)
            content = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise unreadable(where, error) from error
    if not content.strip():
        raise InvalidInput(f"{where} holds no text; expected one sentence per line.")
    return [line.strip() for line in content.removesuffix("\n").split("\n")]


def is_standard_input(file: Path | None) -> bool:
    """Whether a file is named by a hyphen, which stands for standard input."""
    return file is not None and str(file) == "-"


def shown_name(file: Path) -> str:
    """The name of a file for a person."""
    return "standard input" if is_standard_input(file) else file.name


def is_treebank(path: Path) -> bool:
    """Whether the suffix of a file is that of CoNLL-U."""
    return path.suffix.lower() == TREEBANK


def unreadable(path: Path | str, error: OSError | ValueError) -> InvalidInput:
    """The error for a file that can't be read as text."""
    if isinstance(error, UnicodeDecodeError):
        return InvalidInput(
            f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}). Convert it, or choose another file."
        )
    return InvalidInput(f"{path} can't be read: {reason(error)}. Check the path.")
