"""The sentences for the findings: the bundled sample, a file, or English PUD with its parts of speech."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Bool

from normlens.errors import InvalidInput
from normlens.loading import sentences

TREEBANK = Path("ud_pud") / "en_pud-ud-test.conllu"
"""Path of English PUD in a data folder."""

Spans = list[tuple[int, int]]


@dataclass(frozen=True)
class Corpus:
    """Sentences and their annotation.

    Attributes
    ----------
    name
        Name of the corpus in tables.
    texts
        One sentence each.
    punctuation
        First character and character after the last of every word that the treebank tags PUNCT, by sentence; None
        without tags.
    """

    name: str
    texts: list[str]
    punctuation: list[Spans] | None = None

    def tagged_punctuation(self, place: int, data: xr.Dataset) -> Bool[np.ndarray, " source"] | None:
        """Mask of the sources of a sentence that lie inside a word tagged PUNCT; None without tags.

        Parameters
        ----------
        place
            Number of the sentence.
        data
            One group of its analysis.
        """
        if self.punctuation is None:
            return None
        start, end = data["source_start"].values, data["source_end"].values
        inside = np.zeros(len(start), dtype=bool)
        for first, last in self.punctuation[place]:
            inside |= (start >= first) & (end <= last) & (start < end)
        return inside


def read_corpus(file: Path | None = None, folder: Path | None = None, limit: int | None = None) -> Corpus:
    """Read the sentences.

    Parameters
    ----------
    file
        One sentence per line, or CoNLL-U where the name ends in ``.conllu``.
    folder
        A data folder with English PUD; used if no file is passed.
    limit
        Maximum number of sentences, spread evenly over the corpus.

    Raises
    ------
    InvalidInput
        If a file is missing, isn't text or has no sentence.
    """
    path = file or (folder and folder / TREEBANK)
    if path is None:
        return _limited(Corpus("the bundled sample of English PUD", sentences()), limit)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{path} can't be read ({error}). Expected one sentence per line, or a treebank in CoNLL-U; English PUD is at "
            "https://github.com/UniversalDependencies/UD_English-PUD."
        ) from error
    if path.suffix == ".conllu":
        tagged = list(_treebank(text))
        corpus = Corpus(path.stem, [words for words, _ in tagged], [spans for _, spans in tagged])
    else:
        corpus = Corpus(path.name, [line.strip() for line in text.splitlines() if line.strip()])
    if not corpus.texts:
        raise InvalidInput(f"{path} holds no sentence; expected at least one. Choose another file.")
    return _limited(corpus, limit)


def _limited(corpus: Corpus, limit: int | None) -> Corpus:
    total = len(corpus.texts)
    if limit is None or limit >= total:
        return corpus
    if limit < 1:
        raise InvalidInput(f"The limit must be at least 1 sentence, got {limit}.")
    kept = [k * total // limit for k in range(limit)]
    spans = None if corpus.punctuation is None else [corpus.punctuation[k] for k in kept]
    return Corpus(corpus.name, [corpus.texts[k] for k in kept], spans)


def _treebank(text: str) -> Iterator[tuple[str, Spans]]:
    """Each sentence of a CoNLL-U file with the spans of its punctuation."""
    for block in text.split("\n\n"):
        lines = block.splitlines()
        sentence = next((line.removeprefix("# text = ") for line in lines if line.startswith("# text = ")), None)
        if sentence is not None:
            yield sentence, _spans(sentence, [line.split("\t") for line in lines if line and not line.startswith("#")])


def _spans(sentence: str, rows: list[list[str]]) -> Spans:
    """Find each written word of a sentence, in order; keep those tagged PUNCT. A range (``2-3``) is written as one."""
    spans, place = [], 0
    remaining = iter(rows)
    for number, form, _, tag, *_ in remaining:
        if "." in number:
            continue
        if "-" in number:
            first, last = map(int, number.split("-"))
            list(islice(remaining, last - first + 1))
        start = sentence.index(form, place)
        place = start + len(form)
        if tag == "PUNCT":
            spans.append((start, place))
    return spans
