"""German–English text to train on: read, tokenized, lowercased, without the test sentences, with pairs held out."""

from __future__ import annotations

import html
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from sacremoses import MosesTokenizer

from normlens.errors import InvalidInput

Pair = tuple[str, str]
"""A German sentence and its English translation."""

FREE = ("tatoeba", "libreoffice_help")
"""Corpora whose licenses allow redistributing a model trained on them."""

TOKENIZED = ("opennmt_sample", "europarl_sample")
"""Corpora that come tokenized; they are only lowercased."""

ATTRIBUTION = {
    "tatoeba": "Tatoeba (https://tatoeba.org), by way of https://www.manythings.org/anki, CC BY 2.0 FR",
    "libreoffice_help": "LibreOffice help (https://www.libreoffice.org), MPL-2.0",
    "opennmt_sample": "OpenNMT test data (https://github.com/OpenNMT), license not checked",
    "europarl_sample": "Marian's regression tests (https://github.com/marian-nmt), license not checked",
}
"""The source of each corpus."""

SPLIT_SEED = 0
"""Fixed, so that every direction and every training seed holds out the same pairs."""


@dataclass(frozen=True)
class Preparation:
    """Numbers of pairs read, and of pairs left out by reason.

    Attributes
    ----------
    read
        Pairs in the files.
    empty
        Left out because a side has no word.
    test
        Left out because a side equals a test sentence in its letters and digits.
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
    empty: int
    test: int
    repeated: int
    near_held_out: int
    held_out: int
    training: int


@dataclass(frozen=True)
class ParallelText:
    """Pairs for training, pairs for measurements, and the counts of their selection."""

    training: list[Pair]
    held_out: list[Pair]
    preparation: Preparation


def prepare(folder: Path, texts: str, held_out: int, limit: int | None = None) -> ParallelText:
    """Read and clean the corpora of a data folder.

    Parameters
    ----------
    folder
        Folder with ``deen/parallel/*.en-de.tsv`` (English, tab, German) and ``deen/gold/test.de`` and ``test.en``.
    texts
        ``"free"`` for the corpora in :data:`FREE`, ``"all"`` for every file.
    held_out
        Number of pairs to hold out for measurements.
    limit
        Maximum number of pairs per corpus, from its start.

    Raises
    ------
    InvalidInput
        If a file is missing or malformed, or fewer pairs are left than are to be held out.
    """
    test = keys_of_test(folder)
    pairs: list[Pair] = []
    read = empty = tested = 0
    for path in corpus_files(folder, texts):
        for pair in normalized(list(read_pairs(path, limit)), tokenized=corpus_name(path) in TOKENIZED):
            read += 1
            if not all(pair):
                empty += 1
            elif test.isdisjoint(map(key, pair)):
                pairs.append(pair)
            else:
                tested += 1
    unique = list(dict.fromkeys(pairs))
    training, held = split(unique, held_out)
    near = len(unique) - len(training) - len(held)
    counts = Preparation(read, empty, tested, len(pairs) - len(unique), near, len(held), len(training))
    return ParallelText(training, held, counts)


def corpus_files(folder: Path, texts: str) -> list[Path]:
    """Find the files of the corpora to train on."""
    files = sorted((folder / "deen" / "parallel").glob("*.en-de.tsv"))
    chosen = [path for path in files if texts == "all" or corpus_name(path) in FREE]
    if not chosen:
        raise InvalidInput(
            f"{folder / 'deen' / 'parallel'} holds no corpus to train on; expected tab-separated files such as "
            "tatoeba.en-de.tsv, English first. Tatoeba's pairs are at https://www.manythings.org/anki."
        )
    return chosen


def corpus_name(path: Path) -> str:
    """Name of the corpus in a file."""
    return path.name.removesuffix(".en-de.tsv")


def read_pairs(path: Path, limit: int | None = None) -> Iterator[Pair]:
    """Read the pairs of a tab-separated file, English first."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number == limit:
                return
            columns = line.rstrip("\n").split("\t")
            if len(columns) != 2:
                raise InvalidInput(
                    f"Line {number + 1} of {path} has {len(columns)} columns; expected two, English and German."
                )
            yield columns[1], columns[0]


def normalized(pairs: list[Pair], *, tokenized: bool) -> Iterator[Pair]:
    """Tokenize as Moses does, without its escapes, lowercase, and write single spaces."""
    german, english = MosesTokenizer("de"), MosesTokenizer("en")
    for de, en in pairs:
        if tokenized:
            de, en = (html.unescape(side).replace("@-@", "-") for side in (de, en))
        else:
            de = german.tokenize(de, escape=False, return_str=True)
            en = english.tokenize(en, escape=False, return_str=True)
        yield " ".join(de.lower().split()), " ".join(en.lower().split())


def keys_of_test(folder: Path) -> set[str]:
    """Letters and digits of every test sentence, both languages."""
    keys = set()
    for name in ("test.de", "test.en"):
        path = folder / "deen" / "gold" / name
        if not path.is_file():
            raise InvalidInput(f"{path} is missing; its sentences must be kept out of the training text.")
        keys |= {key(line) for line in path.read_text(encoding="utf-8").splitlines()}
    return keys - {""}


def key(sentence: str) -> str:
    """Reduce a sentence to its case-folded letters and digits, so that spaces, punctuation and ß for ss hide no match."""
    return "".join(filter(str.isalnum, sentence.casefold()))


def split(pairs: list[Pair], held_out: int) -> tuple[list[Pair], list[Pair]]:
    """Hold out random pairs, and drop from the rest every pair that shares a sentence with them.

    Returns
    -------
    tuple
        Pairs to train on, and pairs held out.
    """
    if len(pairs) <= held_out:
        raise InvalidInput(
            f"{len(pairs)} pairs are left and {held_out} are to be held out; hold out fewer or read more."
        )
    held = random.Random(SPLIT_SEED).sample(pairs, held_out)
    german, english = {de for de, _ in held}, {en for _, en in held}
    return [(de, en) for de, en in pairs if de not in german and en not in english], held


def write_text(text: ParallelText, folder: Path) -> None:
    """Write both sets as one file per language, one sentence per line: ``train.de``, ``train.en``, ``dev.de``, …."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pairs in (("train", text.training), ("dev", text.held_out)):
        for place, language in enumerate(("de", "en")):
            lines = "".join(f"{pair[place]}\n" for pair in pairs)
            (folder / f"{name}.{language}").write_text(lines, encoding="utf-8")


def described(preparation: Preparation) -> Iterable[str]:
    """Name and value of every count."""
    return (f"{field.name} {getattr(preparation, field.name)}" for field in fields(preparation))
