"""Alignments of a trained translation model on the 508 sentences: every reading, every layer rule, every head."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.stats import spearmanr

import normlens
from normlens.alignment import (
    RULES,
    SYMMETRIZATIONS,
    Extractor,
    LinkSets,
    Pair,
    Reading,
    SoftAlignment,
    choose_layer,
    difference,
    evaluate,
    joint_links,
    read_links,
)
from normlens.alignment.extractor import every_reading
from normlens.alignment.layer_rules import gather
from normlens.errors import InvalidInput

SAMPLE = 200
"""Number of pairs from which `auto` chooses: the first of the text to align, as in the command."""

BALANCES = (0.0, 0.5, 1.0)
"""Powers of a source word's total by which its column is divided."""

ONE, BOTH = Reading(0), Reading(0, beside=Reading(0, setting="awo"))
"""AWI by norm; AWI beside AWO, each in a layer of its own."""

Setting = Literal["awi", "awo"]
SETTINGS: tuple[Setting, ...] = ("awi", "awo")
MEASURES = ("weight", "norm")

Cells = set[tuple[int, int]]


@dataclass(frozen=True)
class Gold:
    """The annotated sentences."""

    german: list[list[str]]
    english: list[list[str]]
    links: list[LinkSets]

    @classmethod
    def read(cls, data: Path) -> Gold:
        """Read the annotated sentences of a data folder, from ``deen/gold``."""
        folder = data / "deen" / "gold"
        if not (folder / "alignment.talp").is_file():
            raise InvalidInput(
                f"{folder / 'alignment.talp'} is missing; expected the 508 annotated sentences of Vilar et al. Name the "
                "folder that holds deen/gold with --data."
            )
        german, english = ([line.split() for line in _lines(folder / f"test.{side}")] for side in ("de", "en"))
        return cls(german, english, list(read_links(folder / "alignment.talp", base=1)))

    def aer(self, predicted: Sequence[Cells], resamples: int = 0) -> dict[str, Any]:
        """AER, precision and recall of links from German to English, in percent."""
        measured = evaluate(self.links, [LinkSets.from_links(links) for links in predicted], resamples=resamples)
        numbers = {name: round(100 * getattr(measured, name), 2) for name in ("aer", "precision", "recall")}
        if resamples:
            numbers["interval"] = [round(100 * x, 1) for x in measured.aer_interval]
        return numbers

    def difference(self, predicted: Sequence[Cells], other: Sequence[Cells]) -> dict[str, Any]:
        """The first links' AER minus the other's, in percent, with its interval over sentences."""
        apart = difference(
            self.links, *([LinkSets.from_links(cells) for cells in links] for links in (predicted, other))
        )
        return {"aer": round(100 * apart.aer, 2), "interval": [round(100 * x, 2) for x in apart.aer_interval]}


class Opened:
    """A trained model and the annotated sentences in its direction.

    Parameters
    ----------
    folder
        With the model's files.
    gold
        The sentences.
    """

    def __init__(self, folder: Path, gold: Gold) -> None:
        self.extractor, self.gold = Extractor(normlens.load(str(folder))), gold
        self.from_german = getattr(self.extractor.lens.tokenizer, "source_lang", None) == "de"
        sides = (gold.german, gold.english) if self.from_german else (gold.english, gold.german)
        self.pairs = [self.extractor.pair(source, target) for source, target in zip(*sides, strict=True)]

    def links(self, soft: SoftAlignment, balance: float = 0.0) -> Cells:
        """Links from German to English of one pair."""
        cells = {(link.source, link.target) for link in soft.links(balance=balance)}
        return cells if self.from_german else {(target, source) for source, target in cells}


def table(opened: Opened, heads: bool = False) -> list[dict[str, Any]]:
    """AER of every reading, with its mean norm (or weight).

    Parameters
    ----------
    opened
        The model.
    heads
        Whether to read each head alone, too.

    Returns
    -------
    list of dict
        Columns layer, measure, setting, head, aer, precision, recall (percent) and mean; for norms of all heads together
        also ``minus_weight``, the difference from the reading by weight.
    """
    readings = every_reading(opened.extractor, heads=heads)
    links: list[list[Cells]] = [[] for _ in readings]
    means = np.zeros(len(readings))
    for alignments in opened.extractor.maps(opened.pairs, readings):
        for k, soft in enumerate(alignments):
            links[k].append(opened.links(soft))
            means[k] += float(np.nanmean(soft.values)) / len(opened.pairs)
    rows: list[dict[str, Any]] = [
        {
            "layer": reading.layer, "measure": reading.measure, "setting": reading.setting, "head": reading.head,
            **opened.gold.aer(links[k]), "mean": round(float(means[k]), 5),
        }
        for k, reading in enumerate(readings)
    ]  # fmt: skip
    by_reading = dict(zip(readings, links, strict=True))
    for row, reading in zip(rows, readings, strict=True):
        if (reading.measure, reading.head) == ("norm", None):
            row["minus_weight"] = opened.gold.difference(by_reading[reading], by_reading[reading.by("weight")])
    return rows


def layer_rules(opened: Opened, reverse: Opened | None = None) -> dict[str, dict[str, list[float]]]:
    """Score of every layer by every rule, by norm, for AWI and AWO; the largest wins."""
    scores: dict[str, dict[str, list[float]]] = {}
    other = None if reverse is None else (reverse.extractor, reverse.pairs[:SAMPLE])
    for setting in SETTINGS:
        evidence = gather(opened.extractor, opened.pairs[:SAMPLE], Reading(0, setting=setting), other)
        rules = {name: rule for name, rule in RULES.items() if name != "agreement" or other is not None}
        scores[setting] = {name: np.round(rule(evidence), 5).tolist() for name, rule in rules.items()}
    return scores


def chosen_reading(opened: Opened, reading: Reading) -> Reading:
    """A reading in its layer, or layers, chosen by `auto`."""
    return choose_layer(opened.extractor, opened.pairs[:SAMPLE], reading).reading


def correlation(rows: Sequence[dict[str, Any]], setting: str) -> float:
    """Spearman's correlation of a head's AER with its mean norm."""
    heads = [row for row in rows if row["head"] is not None and row["measure"] == "norm" and row["setting"] == setting]
    return float(spearmanr([row["aer"] for row in heads], [row["mean"] for row in heads]).statistic)


def both_directions(
    ahead: Opened, back: Opened, reading: Reading, other: Reading, rivals: Mapping[str, Sequence[Cells]], resamples: int
) -> list[dict[str, Any]]:
    """AER of both directions and of every symmetrization.

    Parameters
    ----------
    ahead, back
        From German and from English.
    reading, other
        The reading of each.
    rivals
        Another aligner's links by some of these symmetrizations, for comparison.
    resamples
        Number of bootstrap resamples of sentences.
    """
    one = list(ahead.extractor.soft(ahead.pairs, reading))
    two = list(back.extractor.soft(back.pairs, other))
    rows = []
    for balance in BALANCES:
        combinations: dict[str, Callable[[SoftAlignment, SoftAlignment], Cells]] = {
            "one direction": partial(_ahead, ahead, balance),
            "the other direction": partial(_back, back, balance),
            **{how: partial(_joint, how, balance) for how in SYMMETRIZATIONS},
        }  # fmt: skip
        for how, of in combinations.items():
            links = [of(x, y) for x, y in zip(one, two, strict=True)]
            row = {"how": how, "balance": balance, **ahead.gold.aer(links, resamples)}
            rows.append(row | ({"minus_rival": ahead.gold.difference(links, rivals[how])} if how in rivals else {}))
    return rows


def agreement_on(ahead: Opened, back: Opened, pairs: Sequence[tuple[Pair, Pair]], one: Reading, two: Reading) -> Any:
    """Agreement (Dice) of two directions' links on pairs without annotation, for each balance: the basis of choices."""
    forward = list(ahead.extractor.soft([pair for pair, _ in pairs], one))
    reverse = list(back.extractor.soft([pair for _, pair in pairs], two))
    agreements = {}
    for balance in BALANCES:
        counts = np.zeros(2)
        for x, y in zip(forward, reverse, strict=True):
            left, right = ahead.links(x, balance), back.links(y, balance)
            counts += 2 * len(left & right), len(left) + len(right)
        agreements[str(balance)] = round(float(counts[0] / counts[1]), 4)
    return agreements


def snapshots(run: Path) -> list[tuple[float, int, Path]]:
    """Processor minutes, pairs seen and folder of every snapshot of a training, in order."""
    log = json.loads((run / "log.json").read_text(encoding="utf-8"))
    at = {entry["step"]: entry for entry in log if "dev_loss" in entry}
    folders = sorted((run / "snapshots").glob("step-*"))
    steps = [(int(folder.name.split("-")[1]), folder) for folder in folders]
    return [(at[s]["cpu_seconds"] / 60, at[s]["pairs"], folder) for s, folder in steps if s in at]


def best(rows: Sequence[dict[str, Any]], measure: str, setting: str) -> dict[str, Any]:
    """The layer with the lowest AER, heads together."""
    return min(_layers(rows, measure, setting), key=lambda row: row["aer"])


def layer_mean(rows: Sequence[dict[str, Any]], measure: str, setting: str) -> float:
    """Mean AER of the layers, heads together."""
    return float(np.mean([row["aer"] for row in _layers(rows, measure, setting)]))


def _layers(rows: Sequence[dict[str, Any]], measure: str, setting: str) -> list[dict[str, Any]]:
    return [row for row in rows if (row["measure"], row["setting"], row["head"]) == (measure, setting, None)]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _ahead(model: Opened, balance: float, one: SoftAlignment, _: SoftAlignment) -> Cells:
    return model.links(one, balance)


def _back(model: Opened, balance: float, _: SoftAlignment, other: SoftAlignment) -> Cells:
    return model.links(other, balance)


def _joint(how: str, balance: float, one: SoftAlignment, other: SoftAlignment) -> Cells:
    return {(link.source, link.target) for link in joint_links(one, other, how, balance=balance)}
