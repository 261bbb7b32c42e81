"""Batches of texts of similar length, within a budget of tokens and of pairs of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def budgeted_batches(lengths: Sequence[int], tokens: int, pairs: int, texts: int | None = None) -> Iterator[list[int]]:
    """Numbers of texts, batch by batch, shorter texts first; they depend on the lengths and the budget alone.

    Parameters
    ----------
    lengths
        Tokens of each text.
    tokens, pairs
        Largest number of tokens of a batch, padding included, and of pairs of tokens. A text that exceeds them by itself
        is a batch of its own.
    texts
        Largest number of texts of a batch; None: as many as fit.

    Examples
    --------
    >>> list(budgeted_batches([3, 9, 2, 3], tokens=9, pairs=100))
    [[2, 0, 3], [1]]
    """
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda k: (lengths[k], k)):
        length, size = max(lengths[number], 1), len(batch) + 1
        if batch and (size * length > tokens or size * length * length > pairs or (texts is not None and size > texts)):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
