"""The words of a text linked with those of its translation, by weight and by norm, from one layer's cross-attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from normlens.alignment import Aligner, Extractor, Line, Reading, with_layers
from normlens.alignment.aligner import GUIDED_LAYER
from normlens.alignment.defaults import DEFAULT_MODEL, DEFAULT_REVERSE_MODEL
from normlens.alignment.readings import Measure
from normlens.errors import InvalidInput
from normlens.figures.explorer_page.binary_message import Message, exact
from normlens.figures.style import readable

if TYPE_CHECKING:
    from normlens.view.exploration import Exploration

MEASURES: tuple[Measure, ...] = ("weight", "norm")
MOST_WORDS = 200
"""Words of either text."""


def aligned(exploration: Exploration, layer: int | None) -> Message:
    """The links between the words of a run's two texts.

    Parameters
    ----------
    exploration
        The run of an encoder–decoder.
    layer
        The layer of cross-attention. None: the layer that was trained to align, in a bundled model; in others, the layer
        that :func:`normlens.align` would choose.

    Returns
    -------
    Message
        The words, the links of each measure, the layer and all layers; and each measure's shares,
        ``(target word, source word + 1)``, the end of the sentence in the last column.

    Raises
    ------
    InvalidInput
        If the model reads one text, a text has too many words, or there is no such layer.
    """
    example, lens = exploration.example, exploration.model.lens
    if example.source is None or example.target is None:
        raise InvalidInput(f"{lens.name} reads one text, so there is nothing to align. Choose a translation model.")
    line = Line(1, example.text, example.target.text)
    words = max(len(line.source.split()), len(line.target.split()))
    if words > MOST_WORDS:
        raise InvalidInput(f"The text has {words:,} words; alignments are drawn for {MOST_WORDS} at most. Shorten it.")
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
    }
    return exploration.keep_look(f"align/{chosen}", Message(facts, arrays))


def _best(extractor: Extractor, line: Line) -> int:
    choices, _ = with_layers([line], extractor, Reading(0))
    return choices[0].reading.layer
