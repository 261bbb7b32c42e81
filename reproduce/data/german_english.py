"""German–English corpora of a data folder, as pairs of files: words split as Moses does, lowercased."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

from sacremoses import MosesTokenizer

from normlens.errors import InvalidInput

Pair = tuple[str, str]
"""A German sentence and its English translation."""

FREE = ("tatoeba", "libreoffice_help")
"""Corpora whose licenses allow redistributing a model trained on them: CC BY 2.0 FR and MPL-2.0."""

TOKENIZED = ("opennmt_sample", "europarl_sample")
"""Corpora that come tokenized; they are only lowercased."""


def write_corpora(data: Path, texts: str, folder: Path, limit: int | None = None) -> list[tuple[Path, Path | None]]:
    """Write the corpora of a data folder as files of words, unless they are there.

    Parameters
    ----------
    data
        Folder with ``deen/parallel/*.en-de.tsv`` (English, tab, German).
    texts
        ``"free"`` for the corpora in :data:`FREE`, ``"all"`` for every file.
    folder
        Where the files go.
    limit
        Maximum number of pairs per corpus, from its start.

    Returns
    -------
    list of pairs of paths
        German and English.

    Raises
    ------
    InvalidInput
        If there is no corpus, or one is malformed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[tuple[Path, Path | None]] = []
    for path in corpus_files(data, texts):
        german, english = (folder / f"{corpus_name(path)}.{side}" for side in ("de", "en"))
        if not english.exists():
            pairs = list(normalized(list(read_pairs(path, limit)), tokenized=corpus_name(path) in TOKENIZED))
            for side, file in enumerate((german, english)):
                file.write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")
        written.append((german, english))
    return written


def annotated_files(data: Path) -> list[Path]:
    """The annotated sentences, which must be kept out of the training text."""
    files = [data / "deen" / "gold" / name for name in ("test.de", "test.en")]
    for path in files:
        if not path.is_file():
            raise InvalidInput(f"{path} is missing; its sentences must be kept out of the training text.")
    return files


def corpus_files(data: Path, texts: str) -> list[Path]:
    """Find the files of the corpora to train on."""
    files = sorted((data / "deen" / "parallel").glob("*.en-de.tsv"))
    chosen = [path for path in files if texts == "all" or corpus_name(path) in FREE]
    if not chosen:
        raise InvalidInput(
            f"{data / 'deen' / 'parallel'} holds no corpus to train on; expected tab-separated files such as "
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
