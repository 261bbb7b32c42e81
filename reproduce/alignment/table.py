"""Word alignment on the 508 annotated German–English sentences: by weight and by norm, our models and the paper's.

``python -m reproduce alignment --data DATA --runs runs/*``, where each run is a folder of
``python -m reproduce train-translation``. Each result is measured separately and kept until it is measured again.
"""

from __future__ import annotations

import argparse
import json
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
    finished = [run for run in options.runs if (run / "model").is_dir()]
    if part == "models":
        for run in finished:
            yield f"model {run.name}", _of_model(run, gold)
    elif part == "curves":
        for run in options.runs:
            yield f"curve {run.name}", _curve(run, gold)
    elif part == "directions":
        for ahead, back in _opposite(finished):
            yield f"directions {ahead.name} {back.name}", _directions(ahead, back, gold)
    elif part == "ways":
        for run in finished:
            if _settings(run)["direction"] == "de-en":
                yield f"ways {run.name}", _recipes(run, None, gold)
        for ahead, back in _opposite(finished):
            yield f"ways {ahead.name} {back.name}", _recipes(ahead, back, gold)
    else:
        texts: dict[str, list[Path]] = {}
        for run in options.runs:
            if (settings := _settings(run))["direction"] == "de-en":
                texts.setdefault(settings["texts"], []).append(run)
        if not texts:
            raise NormLensError(
                "eflomal needs the text of a training whose source is German. Pass its folder with --runs."
            )
        for kind, runs in texts.items():
            yield f"eflomal {kind}", _eflomal(runs, gold)


def _of_model(run: Path, gold: Gold) -> dict[str, Any]:
    opened = Opened(run / "model", gold)
    rows = table(opened, heads=True)
    return {
        "training": json.loads((run / "model" / "training.json").read_text(encoding="utf-8")),
        "table": rows,
        "rules": layer_rules(opened),
        "correlation": {setting: correlation(rows, setting) for setting in SETTINGS},
    }


def _auto(opened: Opened, reverse: Opened) -> int:
    """The layer that the default rule chooses, for AWI by norm."""
    return int(np.argmax(layer_rules(opened, reverse)["awi"][DEFAULT_RULES["awi"]]))


def _curve(run: Path, gold: Gold) -> dict[str, Any]:
    points = []
    for minutes, pairs, folder in snapshots(run):
        opened = Opened(folder, gold)
        points.append({"minutes": minutes, "pairs": pairs, "table": table(opened), "rules": layer_rules(opened)})
    return {"settings": _settings(run), "points": points}


def _directions(ahead: Path, back: Path, gold: Gold) -> dict[str, Any]:
    one, two = Opened(ahead / "model", gold), Opened(back / "model", gold)
    readings = Reading(_auto(one, two)), Reading(_auto(two, one))
    eflomal = statistical(ahead, gold).annotated
    rivals = {how: joined(eflomal, how) for how in SYMMETRIZATIONS}
    held_out = [
        (one.extractor.pair(de.split(), en.split()), two.extractor.pair(en.split(), de.split()))
        for de, en in zip(*(lines(ahead / "text" / f"dev.{side}") for side in ("de", "en")), strict=True)
    ]
    return {
        "settings": _settings(ahead),
        "layers": [reading.layer for reading in readings],
        "agreement": agreement_on(one, two, held_out, *readings),
        "rules": [layer_rules(one, two), layer_rules(two, one)],
        "table": both_directions(one, two, *readings, rivals, RESAMPLES),
    }


def _eflomal(runs: Sequence[Path], gold: Gold) -> dict[str, Any]:
    """Eflomal, which is random, once for each training: on its text, held-out and annotated sentences at the end."""
    aligned = [statistical(run, gold) for run in runs]
    return {
        "pairs": aligned[0].pairs,
        "cpu_seconds": [one.cpu_seconds for one in aligned],
        "tables": [rows_of(one, gold, RESAMPLES) for one in aligned],
        "settings": _settings(runs[0]),
    }


def _recipes(ahead: Path, back: Path | None, gold: Gold) -> dict[str, Any]:
    """Every recipe for one model, or for two of opposite directions."""
    models = [Opened(run / "model", gold) for run in (ahead, back) if run is not None]
    chosen = [(chosen_reading(model, ONE), chosen_reading(model, BOTH)) for model in models]
    sides = [lines(ahead / "text" / f"dev.{side}") for side in ("de", "en")]
    words = [(de.split(), en.split()) for de, en in zip(*sides, strict=True)]
    held_out = [[model.extractor.pair(*(w if model.from_german else w[::-1])) for w in words] for model in models]
    return {
        "settings": _settings(ahead),
        "layers": [[reading.layers for reading in readings] for readings in chosen],
        **tried(models, chosen, held_out, statistical(ahead, gold), gold, RESAMPLES),
    }


def _settings(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "settings.json").read_text(encoding="utf-8")))


def _opposite(runs: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Runs from German paired with those from English with otherwise equal settings."""
    settings = {run: {name: value for name, value in _settings(run).items() if value is not None} for run in runs}
    same = [
        (ahead, back)
        for ahead in runs
        for back in runs
        if settings[ahead]["direction"] == "de-en"
        and settings[back]["direction"] == "en-de"
        and settings[ahead] | {"direction": ""} == settings[back] | {"direction": ""}
    ]
    return same
