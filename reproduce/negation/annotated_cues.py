"""The annotated cues of CD-SCO as a table: every word that may be in a cue's scope, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from normlens.errors import InvalidInput
from normlens.negation import AnnotatedNegation, AnnotatedSentence, read_annotated, scope_counts, scored_words

FILES = {
    "train": "SEM-2012-SharedTask-CD-SCO-training-09032012.txt",
    "dev": "SEM-2012-SharedTask-CD-SCO-dev-09032012.txt",
    "test": "SEM-2012-SharedTask-CD-SCO-test-merge-GOLD.txt",
}
SOURCE = "CD-SCO is at https://www.clips.uantwerpen.be/sem2012-st-neg/data.html."

EDGES = (-10, -5, -2, -1, 0, 1, 2, 5, 10)
"""Bands of signed distance from the cue, in words, end at these: … −11 and before, −10 to −6, −5 to −3, −2, −1, 1, 2, …"""

_BIT = re.compile(r"\(([^()*]+)|(\*)|(\))")
_CLAUSES = ("S", "SBAR", "SINV", "SQ", "SBARQ")


@dataclass(frozen=True)
class CueTable:
    """The annotated cues of one split.

    Attributes
    ----------
    sentences
        The sentences that have a cue.
    cues
        For each cue, the number of its sentence and the negation.
    cue
        Number of the cue that a row is about, ``(row,)``. A row is a word that may be in its scope; words with an affix as
        the cue have none, because what is left of them always is.
    word
        Number of the word in the sentence.
    inside
        Whether it is in the scope.
    distance
        Its distance from the nearest word of the cue, negative before it.
    same_clause
        Whether it is in the smallest clause of the parse that holds the cue.
    base
        What :func:`normlens.negation.scope_counts` counts for each cue if no row is in the scope, ``(cue, 7)``.
    """

    sentences: list[AnnotatedSentence]
    cues: list[tuple[int, AnnotatedNegation]]
    cue: Int[np.ndarray, " row"]
    word: Int[np.ndarray, " row"]
    inside: Bool[np.ndarray, " row"]
    distance: Int[np.ndarray, " row"]
    same_clause: Bool[np.ndarray, " row"]
    base: Int[np.ndarray, "cue 7"]

    @property
    def sentence(self) -> Int[np.ndarray, " cue"]:
        """Number of each cue's sentence."""
        return np.array([number for number, _ in self.cues], dtype=np.int64)

    @property
    def band(self) -> Int[np.ndarray, " row"]:
        """Number of the band of each row's signed distance."""
        return np.asarray(np.digitize(self.distance, EDGES, right=True))

    def counts(self, predicted: Bool[np.ndarray, "row *rest"]) -> Int[np.ndarray, "cue *rest 7"]:
        """The counts of :func:`normlens.negation.scope_counts` where these rows are predicted to be in the scope."""
        right = _sums(predicted & _beside(self.inside, predicted), self.cue, len(self.cues))
        wrong = _sums(predicted & _beside(~self.inside, predicted), self.cue, len(self.cues))
        base = self.base.reshape(len(self.cues), *(1,) * (predicted.ndim - 1), -1)
        right, wrong, missed = base[..., 0] + right, base[..., 1] + wrong, base[..., 2] - right
        annotated = np.broadcast_to(base[..., 4], right.shape)
        any_word, exact = right + wrong > 0, (right > 0) & (wrong == 0) & (missed == 0)
        return np.stack(
            [right, wrong, missed, exact, annotated, any_word, any_word & (annotated == 0)], axis=-1
        ).astype(np.int64)


def read_cues(folder: Path, split: str, limit: int | None = None) -> CueTable:
    """Read the cues of a split of CD-SCO.

    Parameters
    ----------
    folder
        Folder with the three files of the shared task.
    split
        "train", "dev" or "test".
    limit
        Largest number of sentences with a cue, spread evenly over the split; None for all.

    Raises
    ------
    InvalidInput
        If the file is missing or not in the format.
    """
    path = folder / FILES[split]
    if not path.exists():
        raise InvalidInput(f"There is no {path}. {SOURCE}")
    sentences = [sentence for sentence in read_annotated(path) if sentence.negations]
    kept = len(sentences) if limit is None else min(limit, len(sentences))
    return table_of([sentences[k * len(sentences) // kept] for k in range(kept)])


def table_of(sentences: Sequence[AnnotatedSentence]) -> CueTable:
    """The cues of sentences as a table."""
    cues = [(number, negation) for number, sentence in enumerate(sentences) for negation in sentence.negations]
    rows = [_rows(sentences[number], negation) for number, negation in cues]
    base = [scope_counts(sentences[n], negation, [mark.word for mark in negation.cue]) for n, negation in cues]
    joined = np.concatenate(rows)
    return CueTable(
        list(sentences),
        cues,
        np.repeat(np.arange(len(cues)), [len(one) for one in rows]),
        joined[:, 0],
        joined[:, 1].astype(bool),
        joined[:, 2],
        joined[:, 3].astype(bool),
        np.stack(base),
    )


def cue_spans(sentence: AnnotatedSentence, negation: AnnotatedNegation) -> list[tuple[int, int]]:
    """First character, and the one after the last, of each piece of a cue in the text of its sentence."""
    starts = [0, *accumulate(len(word) + 1 for word in sentence.words)]
    spans = []
    for mark in negation.cue:
        first = starts[mark.word] + _place(mark.text.lower(), sentence.words[mark.word].lower())
        spans.append((first, first + len(mark.text)))
    return spans


def _place(affix: str, word: str) -> int:
    """Where an affix begins: a prefix wins."""
    return 0 if word.startswith(affix) else word.rindex(affix)


def _rows(sentence: AnnotatedSentence, negation: AnnotatedNegation) -> Int[np.ndarray, "row 4"]:
    """Number, inside, distance and clause of each word that may be in the scope and isn't a word of the cue."""
    cue, clause = np.array([mark.word for mark in negation.cue]), _clause(sentence, negation.cue[0].word)
    inside = {mark.word for mark in negation.scope}
    rows = []
    for mark in scored_words(sentence, negation):
        gaps = mark.word - cue
        nearest = int(gaps[np.abs(gaps).argmin()])
        if nearest:
            rows.append((mark.word, mark.word in inside, nearest, mark.word in clause))
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _clause(sentence: AnnotatedSentence, word: int) -> range:
    """The words of the smallest clause of the parse that holds a word; the whole sentence if there is none."""
    opened: list[tuple[str, int]] = []
    smallest = range(len(sentence.words))
    for number, bits in enumerate(sentence.parse):
        for label, _, closes in _BIT.findall(bits):
            if label:
                opened.append((label.split("-")[0], number))
            elif closes and opened:
                name, first = opened.pop()
                held = range(first, number + 1)
                if name in _CLAUSES and word in held and len(held) < len(smallest):
                    smallest = held
    return smallest


def _beside(rows: Bool[np.ndarray, " row"], values: Bool[np.ndarray, "row *rest"]) -> Bool[np.ndarray, "row *rest"]:
    """A column of rows, with as many axes as other values."""
    return rows.reshape(-1, *(1,) * (values.ndim - 1))


def _sums(
    values: Bool[np.ndarray, "row *rest"], cue: Int[np.ndarray, " row"], cues: int
) -> Int[np.ndarray, "cue *rest"]:
    """Sums over the rows of each cue; the rows of a cue are neighbors."""
    ends = np.searchsorted(cue, np.arange(cues + 1))
    total = np.concatenate([np.zeros((1, *values.shape[1:]), np.int64), np.cumsum(values, axis=0, dtype=np.int64)])
    return np.stack([total[end] - total[start] for start, end in pairwise(ends)])
