"""Which layer aligns? Rules that answer without gold data, all of one shape, so that they can be compared.

A rule takes the :class:`Evidence` of a few hundred sentence pairs and gives one number per layer; the largest wins. What
"aligns" looks like differs from rule to rule: large norms, sharp rows, an orderly map, every source word reached, two
readings that agree, or words found again where a sentence has been moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from normlens.alignment.extractor import Extractor, Pair
from normlens.alignment.links import Cell
from normlens.alignment.readings import Reading
from normlens.alignment.soft import row_links
from normlens.alignment.symmetrisation import shares
from normlens.alignment.word_maps import Setting
from normlens.errors import InvalidInput

Scores = NDArray[np.float64]

DEFAULT_RULES: dict[Setting, str] = {"awi": "combined", "awo": "norm"}
"""The rule of ``auto`` by setting; of AWI and AWO beside each other, each layer is chosen by its own."""


@dataclass(frozen=True)
class MovedMaps:
    """Maps of two pairs read as one, in which the translations stand in the other order.

    Attributes
    ----------
    maps
        ``(layer, target, source + 1)``.
    sources, targets
        How many words the first sentence has on the source side, and on the target side, where it is the *second*
        pair's translation that comes first.
    """

    maps: NDArray[np.float64]
    sources: int
    targets: int


@dataclass(frozen=True)
class Evidence:
    """What the rules look at.

    Attributes
    ----------
    maps
        For each pair, every layer's word map, ``(layer, target, source + 1)``.
    reverse
        The same of the model of the other direction, ``(layer, source, target + 1)``; None without one.
    moved
        Pairs of pairs with exchanged translations.
    """

    maps: Sequence[NDArray[np.float64]]
    reverse: Sequence[NDArray[np.float64]] | None
    moved: Sequence[MovedMaps]


@dataclass(frozen=True)
class LayerChoice:
    """A layer that was chosen, or two that are read beside each other.

    Attributes
    ----------
    reading
        What was asked for, in that layer (or those two).
    rules
        By which rule, for each of its parts.
    scores
        What the rule said of every layer, for each part; the largest won.
    """

    reading: Reading
    rules: tuple[str, ...]
    scores: tuple[Scores, ...]

    @property
    def rule(self) -> str:
        """The rule, or both: "combined beside norm"."""
        return " beside ".join(dict.fromkeys(self.rules))


def choose_layer(
    extractor: Extractor,
    pairs: Sequence[Pair],
    reading: Reading,
    rule: str | None = None,
    reverse: tuple[Extractor, Sequence[Pair]] | None = None,
) -> LayerChoice:
    """Choose the layer of a reading without gold data.

    Parameters
    ----------
    extractor
        Of the model.
    pairs
        A sample of what is to be aligned; two hundred are enough.
    reading
        What is read, but for its layer.
    rule
        One of :data:`RULES`; None: the one of :data:`DEFAULT_RULES` for what is read. "norm" looks at norms also where
        weights are read.
    reverse
        The model of the other direction with the same pairs, exchanged; for the rule "agreement".

    Raises
    ------
    InvalidInput
        If there is no such rule, no pair, or no model of the other direction where the rule needs one.
    """
    if rule is not None and rule not in RULES:
        raise InvalidInput(f"There is no rule {rule!r} to choose a layer; expected one of {', '.join(RULES)}.")
    if not pairs:
        raise InvalidInput("There is no sentence pair to choose a layer by; give the layer's number instead.")
    rules = tuple(rule or DEFAULT_RULES[part.setting] for part in reading.parts)
    scores = tuple(
        RULES[by](gather(extractor, pairs, part.by("norm") if by == "norm" else part, reverse))
        for by, part in zip(rules, reading.parts, strict=True)
    )
    return LayerChoice(reading.at(*(extractor.layers[int(np.nanargmax(one))] for one in scores)), rules, scores)


def gather(
    extractor: Extractor,
    pairs: Sequence[Pair],
    reading: Reading,
    reverse: tuple[Extractor, Sequence[Pair]] | None = None,
) -> Evidence:
    """What the rules look at, for a sample of pairs; every layer in one run of the model.

    Parameters
    ----------
    extractor, pairs, reading, reverse
        As in :func:`choose_layer`; one reading, nothing beside it.
    """
    doubled = list(_doubled(extractor, pairs))
    moved = [
        MovedMaps(maps, sources, targets)
        for maps, (_, sources, targets) in zip(
            _maps(extractor, [pair for pair, _, _ in doubled], reading), doubled, strict=True
        )
    ]
    other = None if reverse is None else _maps(reverse[0], reverse[1], reading)
    return Evidence(_maps(extractor, pairs, reading), other, moved)


def highest_norm(evidence: Evidence) -> Scores:
    """Mean norm over all cells: the paper's rule (Kobayashi et al. 2020, section 5)."""
    return np.asarray(np.mean([np.nanmean(maps, axis=(1, 2)) for maps in evidence.maps], axis=0))


def sharpness(evidence: Evidence) -> Scores:
    """One minus the mean entropy of a row, as a part of the largest possible."""
    found = []
    for maps in evidence.maps:
        rows = shares(maps)
        entropy = -np.sum(rows * np.log(np.where(rows > 0, rows, 1)), axis=-1) / np.log(max(rows.shape[-1], 2))
        found.append(1 - entropy.mean(axis=-1))
    return np.asarray(np.mean(found, axis=0))


def monotony(evidence: Evidence) -> Scores:
    """Rank correlation of a target word's place with the mean place of its source words."""
    found = []
    for maps in evidence.maps:
        rows = shares(maps[:, :, :-1])
        if min(rows.shape[1:]) >= 3:
            places = rankdata(rows @ np.arange(rows.shape[2]), axis=1)
            found.append([_correlation(np.arange(rows.shape[1], dtype=np.float64), place) for place in places])
    return np.asarray(np.mean(found, axis=0)) if found else np.zeros(evidence.maps[0].shape[0])


def coverage(evidence: Evidence) -> Scores:
    """Share of the source words that some target word chooses."""
    return _mean_of(evidence.maps, lambda rows: len({source for source, _ in row_links(rows)}) / (rows.shape[1] - 1))


def self_agreement(evidence: Evidence) -> Scores:
    """Agreement of what target words choose with what source words choose, on the same map."""

    def agreed(rows: NDArray[np.float64]) -> float:
        chosen = {(source, int(rows[:, source].argmax())) for source in range(rows.shape[1] - 1)}
        return _overlap(row_links(rows), chosen)

    return _mean_of(evidence.maps, agreed)


def agreement_of_directions(evidence: Evidence) -> Scores:
    """Agreement with the model of the other direction, in the layer of it that agrees best.

    Raises
    ------
    InvalidInput
        If there is no such model.
    """
    if evidence.reverse is None:
        raise InvalidInput(
            "The rule 'agreement' needs the model of the other direction. Give it (--reverse-model in the shell), or "
            "choose another rule."
        )
    table = []
    for maps, others in zip(evidence.maps, evidence.reverse, strict=True):
        ahead = [row_links(shares(one)) for one in maps]
        back = [[(source, target) for target, source in row_links(shares(one))] for one in others]
        table.append([[_overlap(one, other) for other in back] for one in ahead])
    return np.asarray(np.mean(table, axis=0).max(axis=1))


def moved_words_found(evidence: Evidence) -> Scores:
    """Share of words linked into their own sentence, where two pairs are read as one with the translations exchanged.

    Source A B, target B' A': a layer that follows places, or looks at the end of the sentence, is wrong here, and only one
    that follows words is right.
    """
    found = []
    for moved in evidence.moved:
        count = moved.maps.shape[1]
        row = []
        for one in shares(moved.maps):
            right = sum((source >= moved.sources) == (target < moved.targets) for source, target in row_links(one))
            row.append(right / count)
        found.append(row)
    return np.asarray(np.mean(found, axis=0)) if found else highest_norm(evidence)


def combined(evidence: Evidence) -> Scores:
    """`self_agreement` times `moved_words_found`; the first alone for a single pair, which can't be moved.

    A layer that is read the same both ways may follow places, and one that follows words may be read otherwise by columns.
    """
    agreed = self_agreement(evidence)
    return agreed * moved_words_found(evidence) if evidence.moved else agreed


RULES: dict[str, Callable[[Evidence], Scores]] = {
    "combined": combined,
    "norm": highest_norm,
    "entropy": sharpness,
    "monotony": monotony,
    "coverage": coverage,
    "self-agreement": self_agreement,
    "agreement": agreement_of_directions,
    "moved": moved_words_found,
}
"""Every rule, by name."""


def _maps(extractor: Extractor, pairs: Sequence[Pair], reading: Reading) -> list[NDArray[np.float64]]:
    found = extractor.maps(pairs, [reading.at(layer) for layer in extractor.layers])
    return [np.stack([one.values for one in layers]) for layers in found]


def _doubled(extractor: Extractor, pairs: Sequence[Pair]) -> list[tuple[Pair, int, int]]:
    """Neighbouring pairs read as one, translations exchanged; those that grow too long are left out."""
    found = []
    for one, two in zip(pairs[::2], pairs[1::2], strict=False):
        try:
            pair = extractor.pair([*one.source, *two.source], [*two.target, *one.target])
        except InvalidInput:
            continue
        found.append((pair, len(one.source), len(two.target)))
    return found


def _mean_of(maps: Sequence[NDArray[np.float64]], number: Callable[[NDArray[np.float64]], float]) -> Scores:
    return np.asarray(np.mean([[number(rows) for rows in shares(layers)] for layers in maps], axis=0))


def _overlap(one: Sequence[Cell], other: Sequence[Cell] | set[Cell]) -> float:
    """Twice what both have, divided by what they have together (Dice)."""
    total = len(one) + len(other)
    return 2 * len(set(one) & set(other)) / total if total else 0.0


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Pearson's; zero where one of them doesn't vary."""
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) and np.ptp(y) else 0.0
