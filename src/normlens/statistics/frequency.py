"""Frequency ranks of tokens: read from a table, or counted in the corpus."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from normlens.errors import InvalidInput
from normlens.files.reading import refuse_unreadable


@dataclass(frozen=True)
class TokenFrequency:
    """Frequency ranks of token ids; 1 is the most frequent, equal counts share the lower rank.

    Attributes
    ----------
    ids
        Token ids in ascending order, ``(type,)``.
    rank
        Rank of each, ``(type,)``.
    source
        Source of the counts, for a report.
    """

    ids: Int[np.ndarray, " type"]
    rank: Int[np.ndarray, " type"]
    source: str

    @classmethod
    def read(cls, path: str | Path) -> TokenFrequency:
        """Read a table with the columns rank, count and token id, separated by whitespace, without a heading.

        Parameters
        ----------
        path
            A text file such as ``bert_uncased_rank_count_id.txt`` of Kobayashi et al. (2020).

        Returns
        -------
        TokenFrequency

        Raises
        ------
        InvalidInput
            If the file can't be read or is not such a table.
        """
        try:
            refuse_unreadable(Path(path))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # an empty file is refused below, with a better message
                table = np.loadtxt(path, dtype=np.int64, ndmin=2)
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"The frequency table {path} can't be read: {error}. Expected lines of three integers: "
                "rank, count, token id."
            ) from error
        if table.shape[0] == 0 or table.shape[1] != 3:
            raise InvalidInput(
                f"The frequency table {path} has {table.shape[0]} lines and {table.shape[1]} columns; expected three: "
                "rank, count, token id."
            )
        order = np.argsort(table[:, 2])
        return cls(table[order, 2], table[order, 0], Path(path).name)

    @classmethod
    def counted(cls, texts: Iterable[ArrayLike]) -> TokenFrequency:
        """Count the tokens of a corpus.

        Parameters
        ----------
        texts
            Token ids of each text, ``(token,)``; read once.

        Returns
        -------
        TokenFrequency

        Raises
        ------
        InvalidInput
            If there are no tokens.
        """
        counts: Counter[int] = Counter()
        for text in texts:
            counts.update(np.asarray(text, dtype=np.int64).ravel().tolist())
        return cls.from_counts(counts)

    @classmethod
    def from_counts(cls, counts: Mapping[int, int]) -> TokenFrequency:
        """Rank tokens by their number of occurrences.

        Parameters
        ----------
        counts
            Occurrences of each token id.

        Returns
        -------
        TokenFrequency

        Raises
        ------
        InvalidInput
            If `counts` is empty.

        Examples
        --------
        >>> TokenFrequency.from_counts({7: 5, 8: 9, 9: 5}).ranks([7, 8, 9, 10]).tolist()
        [2.0, 1.0, 2.0, nan]
        """
        if not counts:
            raise InvalidInput("There are no tokens to count; expected a corpus with at least one. Pass its token ids.")
        ids = np.array(sorted(counts), dtype=np.int64)
        count = np.array([counts[token] for token in ids.tolist()], dtype=np.int64)
        more_frequent = len(count) - np.searchsorted(np.sort(count), count, side="right")
        return cls(ids, more_frequent + 1, "counted in the corpus")

    def ranks(self, ids: ArrayLike) -> Float[np.ndarray, " token"]:
        """Look up the ranks of tokens.

        Parameters
        ----------
        ids
            Token ids, ``(token,)``.

        Returns
        -------
        array of float, ``(token,)``
            NaN for a token that is not in the table.
        """
        tokens = np.asarray(ids, dtype=np.int64)
        index = np.minimum(np.searchsorted(self.ids, tokens), len(self.ids) - 1)
        return np.where(self.ids[index] == tokens, self.rank[index], np.nan)
