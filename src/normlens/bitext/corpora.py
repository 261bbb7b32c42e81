"""Parallel text as a stream: two files, one file with both sides, or standard input. No line is lost.

Two sides on one line are separated by a tab, or by ``|||`` as in fast_align; the first line decides which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable
from normlens.inputs.treebanks import SUFFIX as TREEBANK

_CHUNK = 1 << 20
_BARS = b"|||"


@dataclass(frozen=True)
class Line:
    """One line of a parallel text.

    Attributes
    ----------
    number
        From 1.
    source, target
        The two sentences; empty if the line can't be read.
    problem
        Why the line can't be read, or None.
    """

    number: int
    source: str
    target: str
    problem: str | None = None


class ParallelFiles:
    """Two files, or one with both sides of each pair; can be read any number of times.

    Parameters
    ----------
    source
        A text file in UTF-8, one sentence per line.
    target
        Its translation, line by line; None if `source` has both, separated by a tab or ``|||``.

    Raises
    ------
    InvalidInput
        If a file or its first line can't be read, a file is empty, the two differ in their number of lines, or the first
        line of one of two files has both sides.
    """

    def __init__(self, source: Path, target: Path | None = None) -> None:
        self._paths = [source] if target is None else [source, target]
        for path in self._paths:
            if path.suffix.lower() == TREEBANK:
                raise InvalidInput(
                    f"{path} is a treebank; expected one sentence per line. normlens.inputs.read_conllu returns the "
                    "words of each sentence: write them to a file, separated by spaces."
                )
        self._counted = [_counted(path) for path in self._paths]
        counts = [count for count, _ in self._counted]
        if len(set(counts)) > 1:
            raise InvalidInput(
                f"{source} has {counts[0]} lines and {target} has {counts[1]}; expected the translation of line n on line "
                "n. Align the sentences first."
            )
        if not counts[0]:
            raise InvalidInput(f"{source} is empty; expected one sentence per line.")
        first = next(iter(self))
        _require_readable(first, " and ".join(map(str, self._paths)))
        for path, text in zip(self._paths, (first.source, first.target), strict=False):
            between = next((name for mark, name in (("\t", "a tab"), (" ||| ", "|||")) if mark in text.strip()), None)
            if len(self._paths) > 1 and between is not None:
                raise InvalidInput(
                    f"{path}, line 1 contains {between}; with two files, each line should have one sentence. If "
                    "this file has both sides, pass it alone; otherwise replace the separator by a space."
                )

    def __len__(self) -> int:
        return self._counted[0][0]

    def __iter__(self) -> Iterator[Line]:
        """Every line, in order."""
        if len(self._paths) == 1:
            with self._paths[0].open("rb") as file:
                yield from _joined(file)
            return
        with self._paths[0].open("rb") as one, self._paths[1].open("rb") as other:
            for number, (source, target) in enumerate(zip(one, other, strict=False), start=1):
                yield _line(number, source, target)

    def fingerprint(self) -> list[str]:
        """Names and checksums, which identify these texts."""
        return [f"{path.name} {digest}" for path, (_, digest) in zip(self._paths, self._counted, strict=True)]


def joined_stream(stream: BinaryIO) -> Iterator[Line]:
    """Lines with both sides, separated by a tab or ``|||``, from a stream that is read once, such as standard input.

    Raises
    ------
    InvalidInput
        If it is empty, or its first line can't be read.
    """
    lines = _joined(stream)
    first = next(lines, None)
    if first is None:
        raise InvalidInput("Standard input is empty; expected lines of sentence, tab (or |||), translation.")
    _require_readable(first, "standard input")
    yield first
    yield from lines


def skip(lines: Iterable[Line], number: int) -> Iterator[Line]:
    """The lines after the first ``number``."""
    return islice(iter(lines), number, None)


def _joined(lines: Iterable[bytes]) -> Iterator[Line]:
    between: bytes | None = None
    for number, raw in enumerate(lines, start=1):
        between = between or (_BARS if _BARS in raw and b"\t" not in raw else b"\t")
        sides = raw.split(between)
        if len(sides) == 2:
            yield _line(number, *sides)
        else:
            name = "tabs" if between == b"\t" else "marks |||"
            yield Line(number, "", "", f"it has {len(sides) - 1} {name}, not one between sentence and translation")


def _line(number: int, source: bytes, target: bytes) -> Line:
    try:
        one, other = (_text(raw, number) for raw in (source, target))
    except UnicodeDecodeError as error:
        return Line(number, "", "", f"it is not text in UTF-8 ({error.reason} at byte {error.start})")
    return Line(number, one, other)


def _text(raw: bytes, number: int) -> str:
    return raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")


def _require_readable(first: Line, where: str) -> None:
    if first.problem is not None:
        raise InvalidInput(
            f"{where}, line 1: {first.problem}. Expected UTF-8 text: two files with one sentence per line, or one file with "
            "sentence, tab (or |||), translation on each line."
        )


def _counted(path: Path) -> tuple[int, str]:
    """Number of lines and checksum of a file."""
    digest, lines, last = hashlib.sha256(), 0, b"\n"
    try:
        refuse_unreadable(path, again=True)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                lines += chunk.count(b"\n")
                last = chunk[-1:]
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} can't be read: {reason(error)}. Check the path.") from error
    return lines + (last != b"\n"), digest.hexdigest()[:16]
