"""The words of a text linked with those of its translation, by weight and by norm, from one layer's cross-attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from normlens.alignment import Aligner, Extractor, Line, Reading, evaluate, with_layers
from normlens.alignment.aligner import GUIDED_LAYER, Alignment
from normlens.alignment.defaults import DEFAULT_MODEL, DEFAULT_REVERSE_MODEL
from normlens.alignment.readings import Measure
from normlens.bitext.formats import check_ranges, parse_links
from normlens.bitext.links import LinkSets
from normlens.errors import InvalidInput
from normlens.figures.explorer_page.binary_message import Message, exact
from normlens.figures.style import readable

if TYPE_CHECKING:
    from normlens.view.exploration import Exploration

MEASURES: tuple[Measure, ...] = ("weight", "norm")
MOST_WORDS = 200
"""Words of either text."""


def aligned(exploration: Exploration, layer: int | None, gold: str) -> Message:
    """The links between the words of a run's two texts.

    Parameters
    ----------
    exploration
        The run of an encoder–decoder.
    layer
        The layer of cross-attention. None: the layer that was trained to align, in a bundled model; in others, the layer
        that :func:`normlens.align` would choose.
    gold
        Links that an annotator made, as :func:`normlens.bitext.formats.parse_links` reads them, words counted from 0; may be
        empty.

    Returns
    -------
    Message
        The words, the links of each measure, the layer and all layers, the gold links and each measure's error rate; and
        each measure's shares, ``(target word, source word + 1)``, the end of the sentence in the last column.

    Raises
    ------
    InvalidInput
        If the model reads one text, a text has too many words, there is no such layer, or gold isn't links of these words.
    """
    example, lens = exploration.example, exploration.model.lens
    if example.source is None or example.target is None:
        raise InvalidInput(f"{lens.name} reads one text, so there is nothing to align. Choose a translation model.")
    line = Line(1, example.text, example.target.text)
    words = max(len(line.source.split()), len(line.target.split()))
    if words > MOST_WORDS:
        raise InvalidInput(f"The text has {words:,} words; alignments are drawn for {MOST_WORDS} at most. Shorten it.")
    annotated = _annotated(gold, line)
    extractor = Extractor(lens)
    chosen = layer
    if chosen is None:
        chosen = GUIDED_LAYER if lens.name in (DEFAULT_MODEL, DEFAULT_REVERSE_MODEL) else _best(extractor, line)
    found = {name: next(Aligner(extractor, Reading(chosen, name)).align([line])) for name in MEASURES}
    arrays: dict[str, Any] = {}
    for name, one in found.items():
        if one.soft is None:
            raise InvalidInput(f"These texts can't be aligned: {one.skipped}")
        arrays[name] = exact(np.nan_to_num(one.soft.shares()).astype(np.float64))
    facts = {
        "run": exploration.name,
        "layer": chosen,
        "layers": extractor.layers,
        "source": [readable(word) for word in found["norm"].source],
        "target": [readable(word) for word in found["norm"].target],
        "links": {name: [[link.source, link.target] for link in one.links] for name, one in found.items()},
        "gold": None if annotated is None else _compared(annotated, found),
    }
    return exploration.keep_look(f"align/{chosen}", Message(facts, arrays))


def _annotated(gold: str, line: Line) -> LinkSets | None:
    """The gold links of the two texts; None if there are none."""
    if not gold.strip():
        return None
    links = parse_links(gold, where="the gold links")
    check_ranges([(links, len(line.source.split()), len(line.target.split()))], "the gold links")
    return links


def _compared(gold: LinkSets, found: Mapping[Measure, Alignment]) -> dict[str, Any]:
    """The gold links, and how far each measure's links are from them."""
    rates: dict[str, Any] = {}
    for name, one in found.items():
        rated = evaluate([gold], [LinkSets.from_links((x.source, x.target) for x in one.links)], resamples=0)
        numbers = {"aer": rated.aer, "precision": rated.precision, "recall": rated.recall}
        rates[name] = {key: number if math.isfinite(number) else None for key, number in numbers.items()}
    return {
        "sure": sorted(map(list, gold.sure)),
        "possible": sorted(map(list, gold.possible - gold.sure)),
        "rates": rates,
    }


def _best(extractor: Extractor, line: Line) -> int:
    choices, _ = with_layers([line], extractor, Reading(0))
    return choices[0].reading.layer
