"""Sentences of a treebank in CoNLL-U, as the words that stand in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable

SUFFIX = ".conllu"
"""How the names of treebank files end."""

_COLUMNS = 10
_ID = re.compile(r"(?P<first>[1-9]\d{0,8})(-(?P<last>[1-9]\d{0,8}))?|\d{1,9}\.[1-9]\d{0,8}", re.ASCII)


def read_conllu(path: str | Path) -> Iterator[list[str]]:
    """Read the sentences of a CoNLL-U file, each as its words: an input of :meth:`normlens.Lens.analyze`.

    Parameters
    ----------
    path
        A file in UTF-8 with ten columns between tabs, and a blank line behind each sentence.

    Yields
    ------
    list of str
        The words as they are written: a multiword token (``1-2  vámonos``) once, in place of the syntactic words that it
        is made of; empty nodes (``5.1``) are in no text and left out.

    Raises
    ------
    InvalidInput
        If the file can't be read, or isn't CoNLL-U; with the line.
    """
    file = Path(path)
    try:
        refuse_unreadable(file)
        with file.open(encoding="utf-8-sig") as lines:
            for _, words in numbered_sentences(lines, file):
                yield words
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} can't be read: it is not text in UTF-8. Expected a CoNLL-U file.") from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} can't be read: {reason(error)}. Expected a CoNLL-U file.") from error


def numbered_sentences(lines: Iterable[str], where: Path) -> Iterator[tuple[int, list[str]]]:
    """Sentences with the number of the line in which each begins, from 1.

    Parameters
    ----------
    lines
        Of CoNLL-U.
    where
        What they are lines of, for messages.

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
                raise InvalidInput(f"{where}, line {number} is no CoNLL-U: {problem}.")
    if sentence.words:
        yield sentence.begins, sentence.words


@dataclass
class _Sentence:
    """The words of a sentence so far.

    Attributes
    ----------
    words
        As they are written.
    begins
        Number of its first line with a word.
    last, covered
        Numbers of the last syntactic word, and of the last one that a multiword token is made of.
    """

    words: list[str] = field(default_factory=list)
    begins: int = 0
    last: int = 0
    covered: int = 0

    def add(self, line: str, number: int) -> str | None:
        """Take in a line; what is wrong with it, or None."""
        columns = line.split("\t")
        if len(columns) != _COLUMNS:
            return f"it has {len(columns)} columns, and {_COLUMNS} with tabs between them were expected"
        found = _ID.fullmatch(columns[0])
        if found is None:
            return f"its ID is {columns[0]!r}, and a number, a range such as 1-2, or an empty node such as 5.1 was expected"
        if found["first"] is None:
            return None
        first, last = int(found["first"]), None if found["last"] is None else int(found["last"])
        if first != self.last + 1 or (last is not None and (last < first or first <= self.covered)):
            expected = f"{self.last + 1}, or a blank line between sentences"
            return f"ID {columns[0]} follows word {self.last}, and {expected}, was expected"
        if last is None:
            self.last = first
        if first <= self.covered:
            return None
        if not columns[1].strip():
            return "its word (the column FORM) is empty"
        self.covered = self.covered if last is None else last
        self.words.append(columns[1].strip())
        self.begins = self.begins or number
        return None
