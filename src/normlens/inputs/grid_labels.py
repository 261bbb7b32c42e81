"""Labels of positions that are not tokens of a text: patches by row and column, other positions by number."""

from __future__ import annotations

import math

import numpy as np

from normlens.inputs.tokens import Tokens
from normlens.words import SPECIAL

_MOST_REGISTERS = 16  # upper bound on the tokens before an image's patches: a class token and registers


def label_patches(positions: int, patches: tuple[int, int] | None = None) -> Tokens:
    """Label the positions of an image model: patches by row and column, and the special tokens before them.

    Parameters
    ----------
    positions
        Number of positions.
    patches
        Rows and columns of the image's patches; None for a square grid if the number of positions allows one; (0, 0) for
        no grid.
    """
    rows, columns = patches or (0, 0)
    prefix = positions - rows * columns
    if patches is None:
        counts = (k for k in (1, 0, 2, 5) if positions > k and math.isqrt(positions - k) ** 2 == positions - k)
        prefix = next(counts, 0)
        columns = math.isqrt(positions - prefix)
        columns = columns if columns * columns == positions - prefix else 0
    elif not columns or not 0 <= prefix <= _MOST_REGISTERS:
        prefix = columns = 0
    names = [f"[{'CLS' if k == 0 else f'extra {k}'}]" for k in range(prefix)]
    names += [f"{k // columns},{k % columns}" if columns else str(k) for k in range(positions - prefix)]
    special = np.arange(positions) < prefix
    words = np.where(special, SPECIAL, np.arange(positions) - prefix)
    kinds = np.where(special, "special", "other")
    offsets = np.zeros((positions, 2), dtype=np.int64)
    return Tokens(np.full(positions, -1), "", np.asarray(names), special, offsets, words, kinds)


def number_positions(positions: int) -> Tokens:
    """Label positions by their numbers alone."""
    return label_patches(positions, (0, 0))
