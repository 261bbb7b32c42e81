"""Evict: choose the keys and values that each head keeps once a text is read, and measure what that does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from normlens.lens import Lens
from normlens.topk.eviction.budgets import Budget, Kept, checked_budget, checked_share, kept_pairs
from normlens.topk.eviction.evicted_pairs import Eviction, eviction_result
from normlens.topk.eviction.key_scores import KeyScores, ScoreOptions, score_named
from normlens.topk.eviction.masks import Masks, checked_mask, masks_by_group
from normlens.topk.eviction.meter import OutputErrors, output_errors
from normlens.topk.eviction.read_blocks import BlockName, ReadBlock
from normlens.topk.eviction.text_reading import TextReading

Pairs = dict[BlockName, Kept]
"""The pairs that stay in every attention block."""


def evict(
    lens: Lens,
    text: Any,
    *,
    keep: float = 0.5,
    score: str = "displacement",
    budget: Budget = "head",
    queries: int | None = None,
    target_text: Any = None,
    seed: int = 0,
) -> Eviction:
    """Choose the (key, value) pairs that each head keeps once a text is read, and measure the errors without the others.

    Parameters
    ----------
    lens
        A decoder, or an encoder–decoder.
    text
        One input, as for :meth:`normlens.Lens.analyze`.
    keep
        The share of pairs that stay, above 0 and up to 1; a head keeps that share of its sources, rounded down.
    score
        One of `SCORES`.
    budget
        "head": every head keeps equally many pairs; "layer" or "model": the heads of a layer, or of the model, compete, and
        each keeps at least a fifth of an even share (AdaKV). Heads that share keys and values count as one.
    queries
        Number of queries at the end of the text that score pairs and whose outputs are measured. None: all. With a number,
        memory grows with the text's length, not with its square.
    target_text
        For encoder–decoders: the second text, read teacher-forced. Pairs of self- and cross-attention are evicted.
    seed
        The seed of random scores.

    Returns
    -------
    Eviction
        The pairs that stay, and the relative errors of all outputs.

    Raises
    ------
    InvalidInput
        If the model is an encoder, no key would stay, the text has fewer tokens than ``queries``, or there is no such score
        or budget.
    UnsupportedArchitecture
        If the model can't be measured exactly, or the score isn't defined for it.
    """
    options = ScoreOptions(checked_share(keep), seed)
    checked_budget(budget)
    score_named(score)
    reading = TextReading(lens, text, target_text, last=queries)
    pairs = chosen_pairs(reading, scored(reading, [score], options)[score], options.keep, budget)
    [errors] = measured(reading, [pairs])
    return eviction_result(reading, pairs, errors, {"score": score, "keep": options.keep, "budget": budget})


def measure_eviction(
    lens: Lens, text: Any, kept: Masks, *, queries: int | None = None, target_text: Any = None
) -> Eviction:
    """Measure the errors of an eviction that was chosen elsewhere.

    Parameters
    ----------
    lens, text, queries, target_text
        As for `evict`.
    kept
        Boolean, True for pairs that stay: ``(layer, head, source)``, or one array per layer; heads are those of the keys, or
        those of the queries with equal rows in a group. For an encoder–decoder, a dictionary of these for "decoder" and
        "cross".

    Returns
    -------
    Eviction

    Raises
    ------
    InvalidInput
        As `evict`; and if a mask has another shape or dtype, or differs among heads that share keys and values.
    UnsupportedArchitecture
        If the model can't be measured exactly.
    """
    reading = TextReading(lens, text, target_text, last=queries)
    masks = {
        name: mask
        for group, by_layer in masks_by_group(kept, reading.sizes).items()
        for name, mask in zip(reading.blocks[group], by_layer, strict=True)
    }
    pairs: Pairs = {}
    errors: dict[BlockName, OutputErrors] = {}

    def measure(block: ReadBlock) -> None:
        pairs[block.name] = checked_mask(masks[block.name], block)
        [errors[block.name]] = output_errors(block, [pairs[block.name]], reading.module)

    reading.visit(measure)
    return eviction_result(reading, pairs, errors, {"score": "masks of the caller"})


def scored(reading: TextReading, names: Sequence[str], options: ScoreOptions) -> dict[str, dict[BlockName, KeyScores]]:
    """Several scores of every block, in one run of the model.

    Parameters
    ----------
    reading
        A text.
    names
        Names of `SCORES`.
    options
        What the scores depend on.
    """
    functions = {name: score_named(name).compute for name in names}
    scores: dict[str, dict[BlockName, KeyScores]] = {name: {} for name in names}

    def score(block: ReadBlock) -> None:
        for name, compute in functions.items():
            scores[name][block.name] = compute(block, options)

    reading.visit(score)
    return scores


def chosen_pairs(
    reading: TextReading, scores: Mapping[BlockName, KeyScores], keep: float, budget: Budget = "head"
) -> Pairs:
    """The pairs with the largest scores; each group of blocks has a budget of its own.

    Parameters
    ----------
    reading
        A text.
    scores
        One score of every block, from `scored`.
    keep, budget
        As for `evict`.
    """
    pairs: Pairs = {}
    for names in reading.blocks.values():
        pairs.update(zip(names, kept_pairs([scores[name] for name in names], keep, budget), strict=True))
    return pairs


def measured(reading: TextReading, evictions: Sequence[Pairs]) -> list[dict[BlockName, OutputErrors]]:
    """The errors of several evictions, in one run of the model with all pairs."""
    errors: list[dict[BlockName, OutputErrors]] = [{} for _ in evictions]

    def measure(block: ReadBlock) -> None:
        here = output_errors(block, [pairs[block.name] for pairs in evictions], reading.module)
        for by_block, of_block in zip(errors, here, strict=True):
            by_block[block.name] = of_block

    reading.visit(measure)
    return errors
