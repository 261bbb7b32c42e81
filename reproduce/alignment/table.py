"""Word alignment on the 508 annotated German–English sentences: by weight and by norm, our models and the paper's.

``python -m reproduce alignment --data DATA --runs runs/*``, where each run is a folder of
``python -m reproduce train-translation``, with both directions. Each result is measured separately and kept until it is
measured again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from normlens import NormLensError
from normlens.alignment import SYMMETRIZATIONS, Reading
from normlens.alignment.layer_rules import DEFAULT_RULES
from reproduce.alignment.eflomal import joined, lines, rows_of, statistical
from reproduce.alignment.figures import draw
from reproduce.alignment.models import (
    BOTH,
    ONE,
    SETTINGS,
    Gold,
    Opened,
    agreement_on,
    both_directions,
    chosen_reading,
    correlation,
    layer_rules,
    snapshots,
    table,
)
from reproduce.alignment.page import page
from reproduce.alignment.readings import tried
from reproduce.alignment.trained import TrainedDirection, directions_of, text_file
from reproduce.study.kept import tabulate
from reproduce.study.options import add_data, require_data, study_parser

NAME = "alignment"
PARTS = ("models", "curves", "directions", "eflomal", "ways")
RESAMPLES = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the results named on the command line, keep them, and write page and figures.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    options = _options(arguments)
    parts = () if options.redraw else options.parts
    measured = (result for part in parts for result in _measured(part, options))
    return tabulate(NAME, options.output, measured, page, draw)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = study_parser(__doc__)
    add_data(parser)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--runs", nargs="*", type=Path, default=[], help="folders of train-translation")
    options = parser.parse_args(arguments)
    if not options.redraw:
        require_data(parser, options)
    return options


def _measured(part: str, options: argparse.Namespace) -> Any:
    """Names and numbers of all results of a part."""
    gold = Gold.read(Path(options.data))
    finished = directions_of(options.runs)
    if part == "models":
        for one in finished:
            yield f"model {one.name}", _of_model(one, gold)
    elif part == "curves":
        for one in directions_of(options.runs, finished=False):
            yield f"curve {one.name}", _curve(one, gold)
    elif part == "directions":
        for ahead, back in _opposite(finished):
            yield f"directions {ahead.name} {back.name}", _directions(ahead, back, gold)
    elif part == "ways":
        for one in finished:
            if one.direction == "de-en":
                yield f"ways {one.name}", _recipes(one, None, gold)
        for ahead, back in _opposite(finished):
            yield f"ways {ahead.name} {back.name}", _recipes(ahead, back, gold)
    else:
        texts: dict[str, list[TrainedDirection]] = {}
        for one in finished:
            if one.direction == "de-en":
                texts.setdefault(one.settings()["texts"], []).append(one)
        if not texts:
            raise NormLensError(
                "eflomal needs the text of a training whose source is German. Pass its folder with --runs."
            )
        for kind, of_kind in texts.items():
            yield f"eflomal {kind}", _eflomal(of_kind, gold)


def _of_model(one: TrainedDirection, gold: Gold) -> dict[str, Any]:
    opened = Opened(one.model, gold)
    rows = table(opened, heads=True)
    return {
        "training": one.training(),
        "table": rows,
        "rules": layer_rules(opened),
        "correlation": {setting: correlation(rows, setting) for setting in SETTINGS},
    }


def _auto(opened: Opened, reverse: Opened) -> int:
    """The layer that the default rule chooses, for AWI by norm."""
    return int(np.argmax(layer_rules(opened, reverse)["awi"][DEFAULT_RULES["awi"]]))


def _curve(one: TrainedDirection, gold: Gold) -> dict[str, Any]:
    points = []
    for minutes, pairs, folder in snapshots(one.course):
        opened = Opened(folder, gold)
        points.append({"minutes": minutes, "pairs": pairs, "table": table(opened), "rules": layer_rules(opened)})
    return {"settings": one.settings(), "points": points}


def _directions(ahead: TrainedDirection, back: TrainedDirection, gold: Gold) -> dict[str, Any]:
    one, two = Opened(ahead.model, gold), Opened(back.model, gold)
    readings = Reading(_auto(one, two)), Reading(_auto(two, one))
    eflomal = statistical(ahead.run, gold).annotated
    rivals = {how: joined(eflomal, how) for how in SYMMETRIZATIONS}
    held_out = [
        (one.extractor.pair(de.split(), en.split()), two.extractor.pair(en.split(), de.split()))
        for de, en in zip(*(lines(text_file(ahead.run, "held_out", side)) for side in ("de", "en")), strict=True)
    ]
    return {
        "settings": ahead.settings(),
        "layers": [reading.layer for reading in readings],
        "agreement": agreement_on(one, two, held_out, *readings),
        "rules": [layer_rules(one, two), layer_rules(two, one)],
        "table": both_directions(one, two, *readings, rivals, RESAMPLES),
    }


def _eflomal(trained: Sequence[TrainedDirection], gold: Gold) -> dict[str, Any]:
    """Eflomal, which is random, once for each training: on its text, held-out and annotated sentences at the end."""
    aligned = [statistical(one.run, gold) for one in trained]
    return {
        "pairs": aligned[0].pairs,
        "cpu_seconds": [one.cpu_seconds for one in aligned],
        "tables": [rows_of(one, gold, RESAMPLES) for one in aligned],
        "settings": trained[0].settings(),
    }


def _recipes(ahead: TrainedDirection, back: TrainedDirection | None, gold: Gold) -> dict[str, Any]:
    """Every recipe for one model, or for two of opposite directions."""
    models = [Opened(one.model, gold) for one in (ahead, back) if one is not None]
    chosen = [(chosen_reading(model, ONE), chosen_reading(model, BOTH)) for model in models]
    sides = [lines(text_file(ahead.run, "held_out", side)) for side in ("de", "en")]
    words = [(de.split(), en.split()) for de, en in zip(*sides, strict=True)]
    held_out = [[model.extractor.pair(*(w if model.from_german else w[::-1])) for w in words] for model in models]
    return {
        "settings": ahead.settings(),
        "layers": [[reading.layers for reading in readings] for readings in chosen],
        **tried(models, chosen, held_out, statistical(ahead.run, gold), gold, RESAMPLES),
    }


def _opposite(trained: Sequence[TrainedDirection]) -> list[tuple[TrainedDirection, TrainedDirection]]:
    """Both directions of each run that has both."""
    forward = {one.run: one for one in trained if one.direction == "de-en"}
    return [(forward[one.run], one) for one in trained if one.direction == "en-de" and one.run in forward]
