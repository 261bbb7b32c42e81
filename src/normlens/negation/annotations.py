"""Sentences whose negations are annotated: cue, scope and event, in the format of the *SEM 2012 shared task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable

_WORD, _FORM, _TAG, _PARSE, _FIRST = 2, 3, 5, 6, 7
"""Columns: number of the word, the word, its part of speech, its piece of the parse, and the first negation."""

_NONE, _WITHOUT = "_", "***"
_ROLES = ("cue", "scope", "event")


@dataclass(frozen=True)
class MarkedWord:
    """A word, or a piece of one, that belongs to a cue, a scope or an event.

    Attributes
    ----------
    word
        Number of the word in its sentence.
    text
        What is marked: the word, or an affix such as "un" of "unhappy", or the rest of such a word.
    """

    word: int
    text: str


@dataclass(frozen=True)
class AnnotatedNegation:
    """One negation of a sentence.

    Attributes
    ----------
    cue
        The words or affixes that negate, in order; several in "neither … nor".
    scope
        What they negate, without the cue. It may have gaps, and may be empty.
    event
        The negated event or property; often empty.
    """

    cue: tuple[MarkedWord, ...]
    scope: tuple[MarkedWord, ...] = ()
    event: tuple[MarkedWord, ...] = ()


@dataclass(frozen=True)
class AnnotatedSentence:
    """A sentence with its negations.

    Attributes
    ----------
    words
        The words, with punctuation marks.
    negations
        The negations; none in most sentences.
    tags
        Part of speech of each word (Penn Treebank).
    parse
        Each word's piece of the constituency parse, such as ``(NP*``.
    place
        File and line of the first word.
    """

    words: tuple[str, ...]
    negations: tuple[AnnotatedNegation, ...] = ()
    tags: tuple[str, ...] = ()
    parse: tuple[str, ...] = ()
    place: str = ""

    @property
    def text(self) -> str:
        """The words with a space between any two, as a model reads them."""
        return " ".join(self.words)


def read_annotated(path: str | Path) -> list[AnnotatedSentence]:
    """Read sentences in the format of the *SEM 2012 shared task (CD-SCO).

    Parameters
    ----------
    path
        A UTF-8 file with one word per line and a blank line after each sentence. Columns, separated by tabs: chapter,
        sentence, number of the word, word, lemma, part of speech, parse; then ``***`` in a sentence without negation, or
        three columns (cue, scope, event) for each negation, with ``_`` where a word isn't marked.

    Returns
    -------
    list of AnnotatedSentence
        All sentences, in order.

    Raises
    ------
    InvalidInput
        If the file can't be read or isn't in this format; with the line.

    References
    ----------
    Morante & Blanco (2012), *SEM 2012 Shared Task: Resolving the Scope and Focus of Negation.
    """
    file = Path(path)
    try:
        refuse_unreadable(file)
        with file.open(encoding="utf-8-sig") as lines:
            sentences = [_sentence(rows, file) for rows in _blocks(lines)]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} can't be read: it is not UTF-8 text. Expected a file of *SEM 2012.") from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} can't be read: {reason(error)}. Expected a file of *SEM 2012.") from error
    if not sentences:
        raise InvalidInput(f"{file} holds no sentence. Expected a file of *SEM 2012.")
    return sentences


def _blocks(lines: Iterable[str]) -> Iterator[list[tuple[int, list[str]]]]:
    """The rows of each sentence, with their line numbers from 1."""
    rows: list[tuple[int, list[str]]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            rows.append((number, line.rstrip("\r\n").split("\t")))
        elif rows:
            yield rows
            rows = []
    if rows:
        yield rows


def _sentence(rows: Sequence[tuple[int, list[str]]], file: Path) -> AnnotatedSentence:
    first, columns = rows[0]
    count = _negations(columns, f"{file}, line {first}")
    for place, (number, row) in enumerate(rows):
        where = f"{file}, line {number}"
        if _negations(row, where) != count or len(row) != len(columns):
            raise InvalidInput(
                f"{where} has {len(row)} columns, and line {first}, where the sentence begins, has {len(columns)}; expected "
                "as many in every line of a sentence. Is a blank line missing?"
            )
        if row[_WORD] != str(place):
            raise InvalidInput(
                f"{where} has the word number {row[_WORD]!r}; expected {place}, or a blank line before a new sentence."
            )
    return AnnotatedSentence(
        words=tuple(row[_FORM] for _, row in rows),
        negations=tuple(_negation(rows, k, file) for k in range(count)),
        tags=tuple(row[_TAG] for _, row in rows),
        parse=tuple(row[_PARSE] for _, row in rows),
        place=f"{file}, line {first}",
    )


def _negations(row: Sequence[str], where: str) -> int:
    """How many negations a row has columns for."""
    marks = row[_FIRST:]
    if marks == [_WITHOUT]:
        return 0
    if not marks or len(marks) % len(_ROLES):
        raise InvalidInput(
            f"{where} has {len(row)} columns; expected {_FIRST}, then {_WITHOUT} or three (cue, scope, event) for each "
            "negation, separated by tabs."
        )
    return len(marks) // len(_ROLES)


def _negation(rows: Sequence[tuple[int, list[str]]], number: int, file: Path) -> AnnotatedNegation:
    first = _FIRST + len(_ROLES) * number
    marked = {
        role: tuple(
            MarkedWord(word, _text(row[column], row[_FORM]))
            for word, (_, row) in enumerate(rows)
            if row[column] != _NONE
        )
        for column, role in enumerate(_ROLES, start=first)
    }
    if not marked["cue"]:
        raise InvalidInput(
            f"{file}, line {rows[0][0]}: negation {number + 1} of the sentence has no cue; expected at least one word other "
            f"than {_NONE} in column {first + 1}."
        )
    for mark in marked["cue"]:
        if mark.text.lower() not in rows[mark.word][1][_FORM].lower():
            raise InvalidInput(
                f"{file}, line {rows[mark.word][0]}: the cue {mark.text!r} is not in the word "
                f"{rows[mark.word][1][_FORM]!r}; expected the word or an affix of it."
            )
    return AnnotatedNegation(**marked)


def _text(mark: str, word: str) -> str:
    """A mark as written; scopes leave out the period of "Mr.", which is the word all the same."""
    return word if f"{mark}." == word else mark
