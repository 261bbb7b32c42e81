"""The page and the figure of the displacement study; the page's text is ``displacement.md.jinja``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from normlens.figures.style import FAINT, drawing_style, new_figure
from reproduce.negation.adjectives import MODIFIERS
from reproduce.study.page import fill

Result = Mapping[str, Any]
COLORS = {"not": "#D55E00", "not not": "#AA3377", "very": "#0072B2", "hardly": "#009E73", "now": "#8C8C8C"}
TITLES = {"minilm-l6": "MiniLM", "smollm2-135m": "SmolLM2-135M"}
_PANELS = {
    "value": "along value (2: the other pole)",
    "domain_kept": "domain kept",
    "in_antonym": "share along the antonym",
}


def layer_of_value(numbers: Result) -> int:
    """The layer where value orders antonyms of other domains best without a modifier; not 0, which has no context."""
    polarity = np.array(numbers["polarity"][1:])
    return int(len(polarity) - polarity[::-1].argmax())


def page(kept: Mapping[str, Result]) -> str:
    """All kept results, in sections that docs include by name."""
    models = {name: kept[name] for name in TITLES if name in kept}
    return fill(
        "negation/displacement.md.jinja",
        polarity=[
            [TITLES[name], str(layer_of_value(of)), f"{of['polarity'][layer_of_value(of)]:.3f}"]
            for name, of in models.items()
        ],
        table=[row for name, of in models.items() for row in _table(name, of)],
        gradable=[row for name, of in models.items() for row in _gradable(name, of)],
        natural=[row for name, of in models.items() for row in _sentences(name, of, "with a cue")],
        taking=[row for name, of in models.items() for row in _sentences(name, of, "taking a cue")],
        sources=_sources(next(iter(models.values()))),
        versions=next(iter(models.values()))["versions"],
    )


def _table(name: str, of: Result) -> list[list[str]]:
    layer = layer_of_value(of)
    names = (
        "to_antonym",
        "value",
        "domain_kept",
        "in_antonym",
        "in_other_antonym",
        "in_domain",
        "in_other_domain",
        "size",
    )
    return [
        [TITLES[name], modifier, *(_cell(of["modifiers"][modifier][quantity], layer) for quantity in names)]
        for modifier in MODIFIERS
    ]


def _gradable(name: str, of: Result) -> list[list[str]]:
    layer = layer_of_value(of)
    return [
        [
            TITLES[name],
            modifier,
            *(
                _cell(of["modifiers"][modifier][f"to_antonym, {group}"], layer)
                if f"to_antonym, {group}" in of["modifiers"][modifier]
                else "–"
                for group in ("gradable", "others")
            ),
        ]
        for modifier in MODIFIERS
    ]


def _sentences(name: str, of: Result, kind: str) -> list[list[str]]:
    """Displacements in real sentences; of cues in too few domains only the counts."""
    layer = layer_of_value(of)
    names = ("to_antonym", "value", "domain_kept", "in_antonym", "in_other_antonym")
    return [
        [
            TITLES[name],
            cue,
            *(str(count) for count in (sum(cell["sentences"].values()), cell["words"], cell["domains"])),
            *(_cell(cell[quantity], layer) if quantity in cell else "–" for quantity in names),
        ]
        for cue, cell in of["sentences"][kind].items()
    ]


def _sources(of: Result) -> list[list[str]]:
    """How many sentences each source gives."""
    cells = [
        (f"{cue}, {how}", cell)
        for kind, how in (("with a cue", "in the sentence"), ("taking a cue", "put there"))
        for cue, cell in of["sentences"][kind].items()
        if how == "in the sentence" or cue == "not"
    ]
    names = list(cells[0][1]["sentences"])
    return [["source", *names], *([title, *(str(cell["sentences"][name]) for name in names)] for title, cell in cells)]


def _cell(estimates: Sequence[Sequence[float]], layer: int) -> str:
    value, low, high = (f"{one[layer]:.2f}".replace("-", "−") for one in estimates)
    return f"{value} ({low} to {high})"


def drawn(kept: Mapping[str, Result]) -> dict[str, Figure]:
    """Displacements by layer, a row for each model."""
    models = {name: kept[name] for name in TITLES if name in kept}
    with drawing_style():
        figure = new_figure(9.0, 2.4 * len(models) + 0.6)
        grid = figure.subplots(len(models), len(_PANELS), squeeze=False)
        for row, (name, of) in zip(grid, models.items(), strict=True):
            for axes, (quantity, title) in zip(row, _PANELS.items(), strict=True):
                _draw(axes, of, quantity)
                axes.set_title(f"{TITLES[name]}: {title}", fontsize=8)
                axes.set_xlabel("layer (0: embedding)")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(MODIFIERS))
    return {"layers": figure}


def _draw(axes: Axes, of: Result, quantity: str) -> None:
    for modifier in MODIFIERS:
        value, low, high = (np.array(one) for one in of["modifiers"][modifier][quantity])
        layers = np.arange(len(value))
        axes.fill_between(layers, low, high, color=COLORS[modifier], alpha=0.15, linewidth=0)
        axes.plot(layers, value, color=COLORS[modifier], linewidth=1.4, label=modifier)
        if quantity == "in_antonym":
            axes.plot(
                layers, of["modifiers"][modifier]["in_other_antonym"][0], ":", color=COLORS[modifier], linewidth=1
            )
    if quantity == "domain_kept":
        axes.set_ylim(0.5, 1.5)  # early layers of a decoder may have next to no coordinate, and any quotient
    axes.axhline(1.0 if quantity == "domain_kept" else 0.0, color=FAINT, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
