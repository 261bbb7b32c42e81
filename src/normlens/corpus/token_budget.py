"""Batches of texts of similar length, within a budget of tokens and of pairs of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def budgeted_batches(lengths: Sequence[int], tokens: int, pairs: int) -> Iterator[list[int]]:
    """Numbers of texts, batch by batch, shorter texts first; they depend on the lengths and the budget alone.

    Parameters
    ----------
    lengths
        Tokens of each text.
    tokens, pairs
        Largest number of tokens of a batch, padding included, and of pairs of tokens. A text that exceeds them by itself
        is a batch of its own.

    Examples
    --------
    >>> list(budgeted_batches([3, 9, 2, 3], tokens=9, pairs=100))
    [[2, 0, 3], [1]]
    """
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda k: (lengths[k], k)):
        length = max(lengths[number], 1)
        if batch and ((len(batch) + 1) * length > tokens or (len(batch) + 1) * length * length > pairs):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
