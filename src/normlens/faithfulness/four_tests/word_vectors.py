"""Word vectors to start from: read from a file, or drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.encoded_texts import END, PADDING

_SCALE = 0.1  # standard deviation of random vectors


def random_vectors(words: int, size: int, seed: int) -> Float[Tensor, "word size"]:
    """Vectors drawn from a normal distribution; that of padding is zero."""
    vectors = _SCALE * torch.randn(words, size, generator=torch.Generator().manual_seed(seed))
    vectors[PADDING] = 0
    return vectors


def read_vectors(path: Path, words: Sequence[str], seed: int) -> tuple[Float[Tensor, "word size"], float]:
    """Read the vectors of a vocabulary from a text file, as word2vec, GloVe and fastText write them.

    Parameters
    ----------
    path
        A word and its numbers per line, separated by spaces; a first line with two integers is skipped.
    words
        The vocabulary, as :class:`Vocabulary` numbers it.
    seed
        Draws the vectors of words that the file lacks, with the standard deviation of those that it holds.

    Returns
    -------
    vectors, coverage
        A row for each word, and the share of the words that the file holds, from 0 to 1.

    Raises
    ------
    InvalidInput
        If the file can't be read, a line has another number of values, or no word is in the file.
    """
    numbers = {word: number for number, word in enumerate(words) if number > END}
    rows: dict[int, Float[np.ndarray, " size"]] = {}
    size: int | None = None
    try:
        with path.open(encoding="utf-8") as file:
            for line, text in enumerate(file, start=1):
                word, *values = text.rstrip("\n").rstrip(" ").split(" ")
                if line == 1 and len(values) == 1:
                    continue
                size = size or len(values)
                if len(values) != size:
                    raise InvalidInput(
                        f"Line {line} of {path} has {len(values)} numbers; expected {size}, as above it."
                    )
                if word in numbers:
                    rows[numbers[word]] = np.array(values, dtype=np.float32)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(
            f"{path} can't be read as word vectors: {error}. Expected a word and numbers per line."
        ) from error
    if not rows or size is None:
        raise InvalidInput(
            f"{path} holds none of the {len(numbers)} words of the training texts. Check its language and case."
        )
    held = np.stack(list(rows.values()))
    if not np.isfinite(held).all():
        raise InvalidInput(f"{path} holds a number that is not finite; expected finite ones. Remove that line.")
    generator = np.random.default_rng(seed)
    vectors = generator.normal(0, held.std(), (len(words), size)).astype(np.float32)
    vectors[list(rows)] = held
    vectors[PADDING] = 0
    return torch.from_numpy(vectors), len(rows) / len(numbers)
