"""What a shard has given, and the record of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from normlens.corpus.merged_numbers import MergedNumbers


@dataclass(frozen=True)
class SkippedRow:
    """A row that couldn't be read or computed.

    Attributes
    ----------
    row
        Its number in the file, from 0.
    reason
        Why.
    """

    row: int
    reason: str


@dataclass(frozen=True)
class ShardResult:
    """What a shard has given.

    Attributes
    ----------
    table
        The rows of results, in the order of the texts.
    numbers
        Statistics by kind of attention.
    texts, tokens, blank, truncated
        Texts that were computed, their tokens, blank rows, and texts that were cut to the model's length.
    skipped
        Rows without results.
    halved
        How often the budget of a batch was halved because memory ran out.
    seconds
        Time of the computation.
    """

    table: pa.Table
    numbers: Mapping[str, MergedNumbers]
    texts: int
    tokens: int
    blank: int
    truncated: int
    skipped: tuple[SkippedRow, ...]
    halved: int
    seconds: float


@dataclass(frozen=True)
class Commit:
    """The record of a finished shard.

    Attributes
    ----------
    shard
        Its number.
    results, statistics
        Names of the files with rows and statistics.
    results_sha256, statistics_sha256
        Their SHA-256.
    rows
        Number of rows of results.
    texts, tokens, blank, truncated, skipped, halved, seconds
        As in `ShardResult`.
    finished
        When, in seconds since 1970.
    """

    shard: int
    results: str
    results_sha256: str
    statistics: str
    statistics_sha256: str
    rows: int
    texts: int
    tokens: int
    blank: int
    truncated: int
    halved: int
    seconds: float
    finished: float
    skipped: tuple[SkippedRow, ...] = field(default=())
