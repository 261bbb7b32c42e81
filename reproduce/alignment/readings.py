"""Recipes for links from one or two models: published ones are tried, and one is chosen without annotated links.

Scopes, layers and settings are mixed, columns balanced, directions symmetrized. The choice is the recipe closest to
eflomal's links of held-out pairs; AER on the annotated sentences is reported for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from normlens.alignment import SYMMETRIZATIONS, Pair, Reading, SoftAlignment, averaged, evaluate, joint_links, two_way
from normlens.engine.tracing.scopes import ATTENTION_SCOPES
from normlens.errors import InvalidInput
from reproduce.alignment.eflomal import Statistical, as_gold, joined
from reproduce.alignment.models import BALANCES, Cells, Gold, Opened

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Smallest scores of a link for the agreement of two soft alignments."""

TEACHER = "grow-diag"
"""Symmetrization of eflomal's two directions for the held-out pairs."""


@dataclass(frozen=True)
class Recipe:
    """A recipe for links: the reading, the balance of columns, the symmetrization of directions."""

    reading: str
    balance: float
    how: str
    threshold: float = 0.0


def mixtures(opened: Opened, one: Reading, both: Reading) -> dict[str, tuple[Reading, ...]]:
    """Readings by name; the shares of readings in one tuple are averaged.

    Parameters
    ----------
    opened
        The model.
    one
        AWI by norm, in the chosen layer.
    both
        AWI and AWO, in the layers chosen together.
    """
    layers = opened.extractor.layers
    near = [layer for layer in layers if abs(layer - one.layer) <= 1]
    readings = {"weight": (one.by("weight"),), "norm": (one,)}
    for scope in ATTENTION_SCOPES[1:]:
        reading = replace(one, scope=scope)
        try:
            opened.extractor.check([reading])
        except InvalidInput:
            continue
        readings[f"norm, scope {scope}"] = (reading,)
    return readings | {
        "norm, layers around": tuple(Reading(layer) for layer in near),
        "norm, all layers": tuple(Reading(layer) for layer in layers),
        "weight, AWI and AWO": (both.by("weight"),),
        "norm, AWI and AWO": (both,),
    }


def soft_of(
    opened: Opened, pairs: Sequence[Pair], mixed: Mapping[str, Sequence[Reading]]
) -> dict[str, list[SoftAlignment]]:
    """Soft alignments of all pairs by each mixture of readings, in one run of the model."""
    readings = list(dict.fromkeys(reading for several in mixed.values() for reading in several))
    alignments: dict[str, list[SoftAlignment]] = {name: [] for name in mixed}
    for maps in opened.extractor.maps(pairs, readings):
        by = dict(zip(readings, maps, strict=True))
        for name, several in mixed.items():
            alignments[name].append(averaged([by[reading] for reading in several]))
    return alignments


def readings_tried(names: Sequence[str]) -> list[Recipe]:
    """Every reading, balanced or not, in one direction and symmetrized as eflomal's links are."""
    return [Recipe(name, balance, how) for name in names for balance in BALANCES for how in ("one direction", TEACHER)]


def joinings_tried(best: Recipe, together: bool) -> list[Recipe]:
    """Every other symmetrization of one reading.

    Parameters
    ----------
    best
        The reading.
    together
        Whether there are two models, whose soft alignments can be combined by agreement.
    """
    recipes = [replace(best, how=how) for how in SYMMETRIZATIONS if how != TEACHER]
    if together:
        recipes += [replace(best, how="agreement", threshold=threshold) for threshold in THRESHOLDS]
    return recipes


def links_of(model: Opened, soft: Sequence[Sequence[SoftAlignment]], recipe: Recipe) -> list[Cells]:
    """Links from German to English by one recipe.

    Parameters
    ----------
    model
        From German.
    soft
        Its soft alignments and those of the other direction; without the latter, the former are read in both directions.
    recipe
        The recipe.
    """
    if recipe.how == "one direction":
        return [model.links(one, recipe.balance) for one in soft[0]]
    reverse = soft[1] if len(soft) == 2 else [two_way(one) for one in soft[0]]
    return [
        {(link.source, link.target) for link in joint_links(one, other, recipe.how, recipe.threshold, recipe.balance)}
        for one, other in zip(soft[0], reverse, strict=True)
    ]


def tried(
    models: Sequence[Opened],
    chosen: Sequence[tuple[Reading, Reading]],
    held_out: Sequence[Sequence[Pair]],
    teacher: Statistical,
    gold: Gold,
    resamples: int,
) -> dict[str, Any]:
    """Try every recipe on held-out and on annotated pairs.

    Parameters
    ----------
    models
        The model from German and, if there is one, the one from English.
    chosen
        For each of the models, AWI by norm in the chosen layer, and AWI beside AWO.
    held_out
        For each of the models, the pairs without annotation.
    teacher
        Eflomal's links for these.
    gold
        Annotated sentences.
    resamples
        Of the bootstrap of the chosen recipe.

    Returns
    -------
    dict
        ``ways``, each with its distance from eflomal's links (an AER, in percent) and its AER; ``chosen``, and how far it
        is from eflomal.
    """
    mixed = [mixtures(model, *two) for model, two in zip(models, chosen, strict=True)]
    near = as_gold(joined(teacher.held_out, TEACHER))
    unseen = [soft_of(model, pairs, m) for model, pairs, m in zip(models, held_out, mixed, strict=True)]
    seen = [soft_of(model, model.pairs, m) for model, m in zip(models, mixed, strict=True)]

    def links(recipe: Recipe, soft: Sequence[Mapping[str, Sequence[SoftAlignment]]]) -> list[Cells]:
        return links_of(models[0], [alignments[recipe.reading] for alignments in soft], recipe)

    def measured(recipes: Sequence[Recipe]) -> list[dict[str, Any]]:
        return [
            {
                **asdict(recipe),
                "distance": round(100 * evaluate(near, as_gold(links(recipe, unseen)), resamples=0).aer, 2),
                **gold.aer(links(recipe, seen)),
            }
            for recipe in recipes
        ]

    rows = measured(readings_tried([name for name in mixed[0] if name in mixed[-1]]))
    rows += measured(joinings_tried(_nearest(rows), together=len(models) == 2))
    best = _nearest(rows)
    predicted = links(best, seen)
    rival = gold.difference(predicted, joined(teacher.annotated, TEACHER))
    return {"ways": rows, "chosen": {**asdict(best), **gold.aer(predicted, resamples), "minus_rival": rival}}


def _nearest(rows: Sequence[Mapping[str, Any]]) -> Recipe:
    best = min(rows, key=lambda row: float(row["distance"]))
    return Recipe(**{field.name: best[field.name] for field in fields(Recipe)})
