"""Sentences of treebanks in CoNLL-U, as lists of words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable

SUFFIX = ".conllu"
"""The suffix of treebank files."""

_COLUMNS = 10
_ID = re.compile(r"(?P<first>[1-9]\d{0,8})(-(?P<last>[1-9]\d{0,8}))?|\d{1,9}\.[1-9]\d{0,8}", re.ASCII)


def read_conllu(path: str | Path) -> Iterator[list[str]]:
    """Read the sentences of a CoNLL-U file, each as its words: an input of :meth:`normlens.Lens.analyze`.

    Parameters
    ----------
    path
        A UTF-8 file of ten tab-separated columns, with a blank line after each sentence.

    Yields
    ------
    list of str
        The words as written in the text. A multiword token (``1-2  vámonos``) replaces its syntactic words; empty nodes
        (``5.1``) are skipped.

    Raises
    ------
    InvalidInput
        If the file can't be read, or isn't CoNLL-U; with the line number.
    """
    file = Path(path)
    try:
        refuse_unreadable(file)
        with file.open(encoding="utf-8-sig") as lines:
            for _, words in numbered_sentences(lines, file):
                yield words
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} can't be read: it is not UTF-8 text. Expected a CoNLL-U file.") from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} can't be read: {reason(error)}. Expected a CoNLL-U file.") from error


def numbered_sentences(lines: Iterable[str], where: Path) -> Iterator[tuple[int, list[str]]]:
    """Sentences with the number of the line in which each begins, from 1.

    Parameters
    ----------
    lines
        Lines of CoNLL-U.
    where
        Their file, for messages.

    Raises
    ------
    InvalidInput
        If a line isn't CoNLL-U.
    """
    sentence = _Sentence()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            if sentence.words:
                yield sentence.begins, sentence.words
            sentence = _Sentence()
        elif not line.startswith("#"):
            problem = sentence.add(line.rstrip("\r\n"), number)
            if problem is not None:
                raise InvalidInput(f"{where}, line {number} is not CoNLL-U: {problem}.")
    if sentence.words:
        yield sentence.begins, sentence.words


@dataclass
class _Sentence:
    """The words of a sentence so far.

    Attributes
    ----------
    words
        The words as written in the text.
    begins
        Number of its first line with a word.
    last, covered
        Numbers of the last syntactic word, and of the last one that a multiword token covers.
    """

    words: list[str] = field(default_factory=list)
    begins: int = 0
    last: int = 0
    covered: int = 0

    def add(self, line: str, number: int) -> str | None:
        """Add a line; returns what is wrong with it, or None."""
        columns = line.split("\t")
        if len(columns) != _COLUMNS:
            return f"it has {len(columns)} columns; expected {_COLUMNS}, separated by tabs"
        match = _ID.fullmatch(columns[0])
        if match is None:
            return f"its ID is {columns[0]!r}; expected a number, a range such as 1-2, or an empty node such as 5.1"
        if match["first"] is None:
            return None
        first, last = int(match["first"]), None if match["last"] is None else int(match["last"])
        if first != self.last + 1 or (last is not None and (last < first or first <= self.covered)):
            return (
                f"ID {columns[0]} follows word {self.last}; expected {self.last + 1}, or a blank line between sentences"
            )
        if last is None:
            self.last = first
        if first <= self.covered:
            return None
        if not columns[1].strip():
            return "its word (column FORM) is empty"
        self.covered = self.covered if last is None else last
        self.words.append(columns[1].strip())
        self.begins = self.begins or number
        return None
