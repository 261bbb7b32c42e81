"""Text to train on: read, split into words, without excluded sentences, with pairs held out for measurements."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normlens.bitext.corpora import Line, ParallelFiles
from normlens.bitext.raw_text import Tokenized, split_words
from normlens.errors import InvalidInput
from normlens.files.atomic import reason, temporary_folder

Pair = tuple[str, str]
"""A sentence and its translation, words separated by single spaces."""

FEWEST = 100
"""Smallest number of pairs to train on."""

_SPLIT_SEED = 0  # fixed, so that every direction and every training seed holds out the same pairs
_MOST_HELD_OUT = 1000


@dataclass(frozen=True)
class TrainingText:
    """A parallel text in one or several files, and how it is read.

    Attributes
    ----------
    files
        Pairs of files, one sentence per line; the second is None for a file with both sides, separated by a tab or ``|||``.
    source, target
        Names of the two languages, such as "de" and "fr"; they name folders.
    tokenize
        Whether to split the text into words by Moses' rules for the two languages. If not, words are separated by spaces.
    lowercase
        Whether to fold case.
    exclude
        Files with sentences, one per line, in either language: pairs with one of them (equal in letters and digits) are
        left out, such as those of a test set.
    held_out
        Number of pairs held out for measurements. None: every fiftieth, at most 1,000.
    """

    files: Sequence[tuple[Path, Path | None]]
    source: str = "source"
    target: str = "target"
    tokenize: bool = False
    lowercase: bool = False
    exclude: Sequence[Path] = ()
    held_out: int | None = None

    def __post_init__(self) -> None:
        for language in (self.source, self.target):
            if not language.replace("-", "").replace("_", "").isalnum():
                raise InvalidInput(f"{language!r} can't name a language; expected letters and digits, such as de.")
        if self.source == self.target:
            raise InvalidInput(f"Source and target are both {self.source!r}; expected names of two languages.")
        if not self.files:
            raise InvalidInput("No text was passed; expected at least one file or pair of files.")

    def lines(self) -> list[Iterable[Line]]:
        """The lines of every file, split into words.

        Raises
        ------
        InvalidInput
            If a file can't be read, is empty, or differs in length from its translation; if there are no rules for a
            language.
        """
        files = [ParallelFiles(source, target) for source, target in self.files]
        return [Tokenized(file, f"{self.source}-{self.target}") for file in files] if self.tokenize else [*files]

    def facts(self) -> dict[str, Any]:
        """What identifies the text, as plain data."""
        texts = [digest for source, target in self.files for digest in ParallelFiles(source, target).fingerprint()]
        return {
            "languages": [self.source, self.target], "text": texts, "tokenize": self.tokenize,
            "lowercase": self.lowercase, "held out": self.held_out,
            "exclude": sorted(_fingerprint_of(sorted(_keys(path))) for path in self.exclude),
        }  # fmt: skip


@dataclass(frozen=True)
class Preparation:
    """Numbers of pairs read, and of pairs left out by reason.

    Attributes
    ----------
    read
        Lines in the files.
    unreadable
        Left out because a line isn't UTF-8 or lacks a side.
    empty
        Left out because a side has no word.
    excluded
        Left out because a side equals an excluded sentence in its letters and digits.
    repeated
        Left out because the same pair occurred before.
    near_held_out
        Left out because a side equals a side of a held-out pair.
    held_out
        Pairs for measurements.
    training
        Pairs to train on.
    """

    read: int
    unreadable: int
    empty: int
    excluded: int
    repeated: int
    near_held_out: int
    held_out: int
    training: int


@dataclass(frozen=True)
class PreparedText:
    """Pairs for training, pairs for measurements, and the counts of their selection."""

    training: list[Pair]
    held_out: list[Pair]
    counts: Preparation


def prepare(text: TrainingText) -> PreparedText:
    """Read a text and select its pairs.

    Raises
    ------
    InvalidInput
        If a file can't be read, or too few pairs are left.
    """
    excluded = frozenset[str]().union(*(_keys(path) for path in text.exclude))
    pairs: list[Pair] = []
    counts = dict.fromkeys(("read", "unreadable", "empty", "excluded"), 0)
    for line in (line for lines in text.lines() for line in lines):
        counts["read"] += 1
        source, target = (" ".join(split_words(side)) for side in (line.source, line.target))
        pair = (source.lower(), target.lower()) if text.lowercase else (source, target)
        if line.problem is not None:
            counts["unreadable"] += 1
        elif not all(pair):
            counts["empty"] += 1
        elif excluded and not excluded.isdisjoint(map(letters_and_digits, pair)):
            counts["excluded"] += 1
        else:
            pairs.append(pair)
    unique = list(dict.fromkeys(pairs))
    held_out = min(len(unique) // 50, _MOST_HELD_OUT) if text.held_out is None else text.held_out
    training, held = split(unique, held_out)
    if len(training) < FEWEST:
        raise InvalidInput(
            f"{len(training)} pairs are left to train on, of {counts['read']} lines ({held_out} held out); expected at "
            f"least {FEWEST}. Pass more text."
        )
    near = len(unique) - len(training) - len(held)
    selection = Preparation(
        **counts, repeated=len(pairs) - len(unique), near_held_out=near, held_out=len(held), training=len(training)
    )
    return PreparedText(training, held, selection)


def letters_and_digits(sentence: str) -> str:
    """Reduce a sentence to its case-folded letters and digits, so that spaces, punctuation and ß for ss hide no match.

    Examples
    --------
    >>> letters_and_digits("Das heißt: 2 %") == letters_and_digits("das heisst 2%")
    True
    """
    return "".join(filter(str.isalnum, sentence.casefold()))


def split(pairs: list[Pair], held_out: int) -> tuple[list[Pair], list[Pair]]:
    """Hold out random pairs, and drop from the rest every pair that shares a sentence with them.

    Returns
    -------
    tuple
        Pairs to train on, and pairs held out.
    """
    held = random.Random(_SPLIT_SEED).sample(pairs, min(held_out, len(pairs)))
    sources, targets = {source for source, _ in held}, {target for _, target in held}
    return [(source, target) for source, target in pairs if source not in sources and target not in targets], held


def write_text(prepared: PreparedText, text: TrainingText, folder: Path) -> None:
    """Write both sets as one file per language, one sentence per line, unless they are there.

    The files are ``train.de``, …, ``held_out.de``, …; the folder appears when it is complete.
    """
    if folder.exists():
        return
    with temporary_folder(folder.parent) as unfinished:
        for name, pairs in (("train", prepared.training), ("held_out", prepared.held_out)):
            for side, language in enumerate((text.source, text.target)):
                lines = "".join(f"{pair[side]}\n" for pair in pairs)
                (unfinished / f"{name}.{language}").write_text(lines, encoding="utf-8")
        unfinished.rename(folder)


def described(counts: Mapping[str, int]) -> str:
    """The counts in a sentence.

    Examples
    --------
    >>> described({"read": 1200, "empty": 0, "repeated": 3, "held_out": 24, "training": 1173})
    '1,200 lines read, 3 repeated, 24 held out, 1,173 to train on'
    """
    names = {"read": "lines read", "near_held_out": "near those held out", "training": "to train on"}
    shown = (f"{count:,} {names.get(name, name.replace('_', ' '))}" for name, count in counts.items() if count)
    return ", ".join(shown)


def _keys(path: Path) -> frozenset[str]:
    """Letters and digits of every sentence of a file."""
    return frozenset(map(letters_and_digits, _lines_of(path))) - {""}


def _lines_of(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from file
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{path} can't be read: {reason(error)}. Check the path; it must be text in UTF-8."
        ) from error


def _fingerprint_of(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
