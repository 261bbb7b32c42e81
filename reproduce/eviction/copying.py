"""The measurement of one passage: every score, from all queries and from the last ones, at every share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from normlens import Lens
from normlens.topk.eviction import Continuation, TextReading
from normlens.topk.eviction.choosing import Pairs, chosen_pairs, measured, scored
from normlens.topk.eviction.key_scores import ScoreOptions
from reproduce.eviction.passages import Passage

SHARES = (0.75, 0.5, 0.25)
"""Shares of pairs that stay."""

QUERIES: dict[str, int | None] = {"all": None, "last": 64}
"""The queries that score pairs: of the whole text, or of its end."""

BY_QUERIES = ("weight", "vatp", "criticalkv", "kvzip+", "norm", "displacement", "joint")
"""Scores that depend on the queries."""

ALONE = ("snapkv", "streaming", "random")
"""Scores with queries of their own, or none."""


def settings() -> list[tuple[str, str]]:
    """Queries and score of every way to choose pairs."""
    return [(queries, score) for queries in QUERIES for score in BY_QUERIES] + [("own", score) for score in ALONE]


def measured_passage(lens: Lens, passage: Passage, shares: Sequence[float] = SHARES) -> dict[str, Any]:
    """Loss rise, agreement and errors by "queries score share".

    Errors are those of the last 64 queries of the text.
    """
    text = {"input_ids": passage.ids[None]}
    readings = {name: TextReading(lens, text, last=last) for name, last in QUERIES.items()}
    evictions = _chosen(readings, shares)
    errors = measured(readings["last"], list(evictions.values()))
    continuation = Continuation(readings["last"], passage.following)
    counted = np.array(passage.counted[1:])
    cells: dict[str, Any] = {}
    dense = float(continuation.token_losses()[0, counted].mean())
    for (name, pairs), by_block in zip(evictions.items(), errors, strict=True):
        losses = continuation.token_losses([pairs])[1, counted]
        cells[name] = {
            "rise": float(losses.mean()) - dense,
            "layer_error": float(np.mean([float(x.layer.mean()) for x in by_block.values()])),
            "head_error": float(np.mean([float(x.head.mean()) for x in by_block.values()])),
        }
    return {"loss": dense, "cells": cells}


def _chosen(readings: dict[str, TextReading], shares: Sequence[float]) -> dict[str, Pairs]:
    """The pairs that stay, by "queries score share"."""
    evictions: dict[str, Pairs] = {}
    for queries, reading in readings.items():
        names = BY_QUERIES if queries == "all" else (*BY_QUERIES, *ALONE)
        others = scored(reading, [name for name in names if name != "criticalkv"], ScoreOptions())
        for share in shares:
            scores = others | scored(reading, ["criticalkv"], ScoreOptions(keep=share))
            for name, by_block in scores.items():
                label = "own" if name in ALONE else queries
                evictions[f"{label} {name} {share:g}"] = chosen_pairs(reading, by_block, share)
    return evictions
