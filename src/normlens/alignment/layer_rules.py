"""Choose the layer that aligns, without gold data. All rules have one signature, so that they can be compared.

A rule takes the :class:`Evidence` of a few hundred sentence pairs and returns one score per layer; the largest wins. The
rules differ in their sign of alignment: large norms, sharp rows, a monotone map, every source word reached,
two readings that agree, or words that are still linked correctly after their sentence has been moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from normlens.alignment.extractor import Extractor, Pair
from normlens.alignment.readings import Reading
from normlens.alignment.soft import row_links
from normlens.alignment.symmetrization import shares
from normlens.alignment.word_maps import Setting
from normlens.bitext.links import Cell
from normlens.errors import InvalidInput

Scores = NDArray[np.float64]

DEFAULT_RULES: dict[Setting, str] = {"awi": "combined", "awo": "norm"}
"""The rule that ``auto`` uses for each setting; for AWI beside AWO, each layer is chosen by its own rule."""


@dataclass(frozen=True)
class MovedMaps:
    """Maps of two pairs read as one, with their translations in exchanged order.

    Attributes
    ----------
    maps
        ``(layer, target, source + 1)``.
    sources, targets
        Numbers of words of the first sentence on the source side, and on the target side, where the *second* pair's
        translation comes first.
    """

    maps: NDArray[np.float64]
    sources: int
    targets: int


@dataclass(frozen=True)
class Evidence:
    """The data that the rules judge by.

    Attributes
    ----------
    maps
        For each pair, every layer's word map, ``(layer, target, source + 1)``.
    reverse
        The same for the reverse model, ``(layer, source, target + 1)``; None without one.
    moved
        Two pairs read as one, with exchanged translations.
    """

    maps: Sequence[NDArray[np.float64]]
    reverse: Sequence[NDArray[np.float64]] | None
    moved: Sequence[MovedMaps]


@dataclass(frozen=True)
class LayerChoice:
    """A chosen layer, or two layers whose readings are averaged.

    Attributes
    ----------
    reading
        The requested reading, in that layer (or those two).
    rules
        The rule used for each of its components.
    scores
        The rule's score of every layer, for each component; the largest won.
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
        For the model.
    pairs
        A sample of the text to align; two hundred pairs are enough.
    reading
        What to read; its layer is ignored.
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
        raise InvalidInput("There is no sentence pair to choose a layer by; pass the layer's number instead.")
    rules = tuple(rule or DEFAULT_RULES[one.setting] for one in reading.components)
    scores = tuple(
        RULES[by](gather(extractor, pairs, one.by("norm") if by == "norm" else one, reverse))
        for by, one in zip(rules, reading.components, strict=True)
    )
    return LayerChoice(reading.at(*(extractor.layers[int(np.nanargmax(one))] for one in scores)), rules, scores)


def gather(
    extractor: Extractor,
    pairs: Sequence[Pair],
    reading: Reading,
    reverse: tuple[Extractor, Sequence[Pair]] | None = None,
) -> Evidence:
    """Gather the evidence for the rules from a sample of pairs; all layers in one run of the model.

    Parameters
    ----------
    extractor, pairs, reading, reverse
        As in :func:`choose_layer`; a single reading, without another beside it.
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
    """One minus the mean entropy of a row, relative to the largest possible entropy."""
    scores = []
    for maps in evidence.maps:
        rows = shares(maps)
        entropy = -np.sum(rows * np.log(np.where(rows > 0, rows, 1)), axis=-1) / np.log(max(rows.shape[-1], 2))
        scores.append(1 - entropy.mean(axis=-1))
    return np.asarray(np.mean(scores, axis=0))


def monotony(evidence: Evidence) -> Scores:
    """Rank correlation of a target word's position with the mean position of its source words."""
    scores = []
    for maps in evidence.maps:
        rows = shares(maps[:, :, :-1])
        if min(rows.shape[1:]) >= 3:
            positions = rankdata(rows @ np.arange(rows.shape[2]), axis=1)
            ranks = np.arange(rows.shape[1], dtype=np.float64)
            scores.append([_correlation(ranks, layer) for layer in positions])
    return np.asarray(np.mean(scores, axis=0)) if scores else np.zeros(evidence.maps[0].shape[0])


def coverage(evidence: Evidence) -> Scores:
    """Share of source words that at least one target word chooses."""
    return _mean_of(evidence.maps, lambda rows: len({source for source, _ in row_links(rows)}) / (rows.shape[1] - 1))


def self_agreement(evidence: Evidence) -> Scores:
    """Agreement of the links by row (each target word's choice) and by column (each source word's), on the same map."""

    def agreed(rows: NDArray[np.float64]) -> float:
        chosen = {(source, int(rows[:, source].argmax())) for source in range(rows.shape[1] - 1)}
        return _overlap(row_links(rows), chosen)

    return _mean_of(evidence.maps, agreed)


def agreement_of_directions(evidence: Evidence) -> Scores:
    """Agreement with the reverse model, in its layer that agrees best.

    Raises
    ------
    InvalidInput
        Without a reverse model.
    """
    if evidence.reverse is None:
        raise InvalidInput(
            "The rule 'agreement' needs a reverse model. Pass one (--reverse-model in the shell), or choose another rule."
        )
    table = []
    for maps, others in zip(evidence.maps, evidence.reverse, strict=True):
        ahead = [row_links(shares(one)) for one in maps]
        back = [[(source, target) for target, source in row_links(shares(one))] for one in others]
        table.append([[_overlap(one, other) for other in back] for one in ahead])
    return np.asarray(np.mean(table, axis=0).max(axis=1))


def moved_words_linked(evidence: Evidence) -> Scores:
    """Share of words linked within their own pair, when two pairs are read as one with the translations exchanged.

    Source A B, target B' A': a layer that follows positions, or attends to the end of the sentence, fails here; one that
    follows words succeeds.
    """
    scores = []
    for moved in evidence.moved:
        count = moved.maps.shape[1]
        row = []
        for one in shares(moved.maps):
            right = sum((source >= moved.sources) == (target < moved.targets) for source, target in row_links(one))
            row.append(right / count)
        scores.append(row)
    return np.asarray(np.mean(scores, axis=0)) if scores else highest_norm(evidence)


def combined(evidence: Evidence) -> Scores:
    """`self_agreement` times `moved_words_linked`; only the first for a single pair, which can't be moved.

    Neither suffices alone: a layer whose rows and columns agree may follow positions, and in one that follows words they may
    disagree.
    """
    agreed = self_agreement(evidence)
    return agreed * moved_words_linked(evidence) if evidence.moved else agreed


RULES: dict[str, Callable[[Evidence], Scores]] = {
    "combined": combined,
    "norm": highest_norm,
    "entropy": sharpness,
    "monotony": monotony,
    "coverage": coverage,
    "self-agreement": self_agreement,
    "agreement": agreement_of_directions,
    "moved": moved_words_linked,
}
"""Every rule, by name."""


def _maps(extractor: Extractor, pairs: Sequence[Pair], reading: Reading) -> list[NDArray[np.float64]]:
    alignments = extractor.maps(pairs, [reading.at(layer) for layer in extractor.layers])
    return [np.stack([one.values for one in layers]) for layers in alignments]


def _doubled(extractor: Extractor, pairs: Sequence[Pair]) -> list[tuple[Pair, int, int]]:
    """Adjacent pairs joined, with their translations exchanged; those that become too long are left out."""
    doubled = []
    for one, two in zip(pairs[::2], pairs[1::2], strict=False):
        try:
            pair = extractor.pair([*one.source, *two.source], [*two.target, *one.target])
        except InvalidInput:
            continue
        doubled.append((pair, len(one.source), len(two.target)))
    return doubled


def _mean_of(maps: Sequence[NDArray[np.float64]], number: Callable[[NDArray[np.float64]], float]) -> Scores:
    return np.asarray(np.mean([[number(rows) for rows in shares(layers)] for layers in maps], axis=0))


def _overlap(one: Sequence[Cell], other: Sequence[Cell] | set[Cell]) -> float:
    """The Dice coefficient: twice the size of the intersection, divided by the sum of both sizes."""
    total = len(one) + len(other)
    return 2 * len(set(one) & set(other)) / total if total else 0.0


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Pearson correlation; zero if either is constant."""
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) and np.ptp(y) else 0.0
