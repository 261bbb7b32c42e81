"""Whether norms find the scope of a negation where weights don't: every head of a model on CD-SCO.

``python -m reproduce negation-scope --data DATA``. Thresholds come from the train split, the head from dev; test is scored
once. Each part, one model, is kept until it is measured again; ``--parts`` names those to measure, and ``--cache`` a folder
that keeps what a model says of each sentence. ``--systems NAME=FILE`` scores what other systems predict for test.
"""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Bool, Float
from transformers import AutoModel, set_seed

import normlens
from normlens import Lens
from reproduce.negation.annotated_cues import FILES, CueTable, read_cues
from reproduce.negation.contrast import auc_interval, relative_difference, strata, within_strata_auc
from reproduce.negation.cue_readings import HEADS, LAYERS, MAPS, CueReadings, read_model
from reproduce.negation.detection import (
    Detector,
    best,
    best_by_place,
    detectors,
    difference,
    estimated,
    in_window,
    predicted_by,
    ruled,
    token_f1,
    window,
)
from reproduce.negation.largest_source import scored_heads
from reproduce.negation.other_systems import scored_system
from reproduce.negation.probes import INPUTS, probed
from reproduce.negation.scope_page import drawn, page
from reproduce.study.kept import tabulate
from reproduce.study.options import add_data, require_data, study_parser

NAME = "negation/scope"
Result = dict[str, Any]
Readings = Mapping[str, CueReadings]
Tables = Mapping[str, CueTable]


def rules(tables: Tables) -> Result:
    """Scores of the rules that need no model, on test."""
    ends = window(tables["train"])
    predicted = ruled(tables["test"]) | {"window": in_window(tables["test"], ends)}
    return {
        "counts": {
            split: {
                "sentences": len(table.sentences),
                "cues": len(table.cues),
                "words": len(table.cue),
                "inside": int(table.inside.sum()),
                "before": int((table.inside & (table.distance < 0)).sum()),
            }
            for split, table in tables.items()
        },
        "window": list(ends),
        "scores": {name: _scored(rows, tables["test"]) for name, rows in predicted.items()},
    }


def measured(readings: Readings, tables: Tables) -> Result:
    """Everything about one model.

    Parameters
    ----------
    readings, tables
        Of "train", "dev" and "test".
    """
    test, values = tables["test"], {split: one.values for split, one in readings.items()}
    both = tables["train"], tables["dev"]
    by_measure = {name: list(detectors(values["train"], values["dev"], both, [name])) for name in values["train"]}
    chosen = {name: best(candidates) for name, candidates in by_measure.items()}
    predicted = {name: predicted_by(one, values["test"], test) for name, one in chosen.items()}
    baselines = ruled(test) | {"window": in_window(test, window(tables["train"]))}
    return {
        "layers": readings["test"].layers,
        "heads": readings["test"].heads,
        "chosen": {
            name: {**_named(one, readings["test"]), **_scored(predicted[name], test)} for name, one in chosen.items()
        },
        "difference": {
            f"{name} − weight": difference(test.counts(predicted[name]), test.counts(predicted["weight"]), test)
            for name in predicted
            if name != "weight"
        }
        | {
            f"{name} − {rule}": difference(test.counts(predicted[name]), test.counts(rows), test)
            for name in ("weight", "norm")
            for rule, rows in baselines.items()
        },
        "every_head": {name: _every_head(by_measure[name], values["test"], test) for name in HEADS},
        "contrast": contrasted(values, tables),
        "probes": _probes(values, tables),
    }


def contrasted(
    values: Mapping[str, Mapping[str, Float[np.ndarray, "row 2 place"]]], tables: Tables
) -> dict[str, Result]:
    """Inside against outside for every measure and direction, matched by distance and side, and by clause as well."""
    result: dict[str, Result] = {}
    train, test = tables["train"], tables["test"]
    for direction, name in enumerate(("from the cue", "to the cue")):
        for control, syntax in (("distance", False), ("distance and clause", True)):
            bands = strata(train, syntax=syntax), strata(test, syntax=syntax)
            best_rows, per_measure = {}, {}
            for measure in values["train"]:
                auc = within_strata_auc(values["train"][measure][:, direction], train.inside, bands[0])
                place = int(np.argmax(auc))
                best_rows[measure] = values["test"][measure][:, direction, place]
                gap = relative_difference(values["train"][measure][:, direction], train, bands[0])
                per_measure[measure] = {
                    "auc": np.round(auc, 4).tolist(),
                    "place": place,
                    "difference": np.round(gap, 4).tolist(),
                }
            on_test = auc_interval(list(best_rows.values()), test, bands[1])
            for measure, column in zip(best_rows, on_test.T, strict=True):
                per_measure[measure]["test_auc"] = column.tolist()
            result[f"{name}, {control}"] = per_measure
    return result


def _every_head(
    candidates: Sequence[Detector], values: Mapping[str, Float[np.ndarray, "row 2 place"]], test: CueTable
) -> list[Result]:
    """Each head at its best direction, scale and threshold on train: token F1 on the three splits."""
    rows = []
    for place, one in sorted(best_by_place(candidates).items()):
        on_test = float(token_f1(test.counts(predicted_by(one, values, test)).sum(axis=0)))
        scores = {"train": one.train_f1, "dev": one.dev_f1, "test": on_test}
        rows.append({"place": place, "direction": one.direction, **{k: round(v, 4) for k, v in scores.items()}})
    return rows


def _probes(values: Mapping[str, Mapping[str, Float[np.ndarray, "row 2 place"]]], tables: Tables) -> Result:
    test = tables["test"]
    rows: dict[str, Bool[np.ndarray, " row"]] = {}
    result: Result = {}
    for name, measures in INPUTS.items():
        rows[name], strength = probed(values, tables, measures)
        result[name] = {"strength": strength, **_scored(rows[name], test)}
    weights = test.counts(rows["position and weights"])
    result["norms − weights"] = difference(test.counts(rows["position and norms"]), weights, test)
    result["both − weights"] = difference(test.counts(rows["position, weights and norms"]), weights, test)
    return result


def _scored(predicted: Bool[np.ndarray, " row"], table: CueTable) -> dict[str, list[float]]:
    return {
        name: [round(float(x), 4) for x in value] for name, value in estimated(table.counts(predicted), table).items()
    }


def _named(detector: Detector, readings: CueReadings) -> Result:
    place = detector.place
    layer, head = divmod(place, readings.heads) if detector.measure in HEADS else (place, None)
    return {**asdict(detector), "layer": layer if detector.measure in (*HEADS, *LAYERS) else None, "head": head}


def random_model(name: str, seed: int) -> Lens:
    """A model of the same architecture and tokenizer whose weights are random."""
    trained = normlens.load(name)
    set_seed(seed)
    model = AutoModel.from_config(trained.model.config, dtype=torch.float32).eval()
    return normlens.load((model, trained.tokenizer))


MODELS: Mapping[str, Callable[[], Lens]] = {
    "minilm-l6": lambda: normlens.load("minilm-l6"),
    "smollm2-135m": lambda: normlens.load("smollm2-135m"),
    "random": lambda: random_model("minilm-l6", 0),
}
"""The models: an encoder, a decoder, and the encoder's architecture with random weights."""

LARGEST = {f"largest source {name}": name for name in ("minilm-l6", "random")}
"""Parts that score heads as published, and the model of each: encoders, as in the paper."""


def measure_model(
    model: str,
    lens: Lens,
    tables: Tables,
    *,
    maps: Sequence[str] = MAPS,
    cache: Path | None = None,
    batch_size: int = 16,
) -> Result:
    """Read a model on all three splits and measure it.

    Parameters
    ----------
    model, lens, tables
        Name of the model, a lens on it, and the tables of "train", "dev" and "test".
    maps, cache, batch_size
        As in :func:`reproduce.negation.cue_readings.read_model`.
    """
    readings = {
        split: read_model(lens, table, maps=maps, cache=cache, batch_size=batch_size) for split, table in tables.items()
    }
    about = {
        "model": model,
        "train_sentences": len(tables["train"].sentences),
        "normlens": normlens.__version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }
    return {**about, **measured(readings, tables)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as set on the command line, or redraw kept results; print the page and keep it."""
    parser = study_parser(__doc__)
    add_data(parser, "cdsco")
    parser.add_argument(
        "--parts", nargs="*", choices=["rules", *MODELS, *LARGEST], default=["rules", *MODELS, *LARGEST]
    )
    parser.add_argument(
        "--systems", nargs="+", type=_named_file, default=[], metavar="NAME=FILE", help="predicted scopes of test"
    )
    parser.add_argument("--train-limit", type=int, help="at most this many sentences of the train split")
    parser.add_argument("--cache", type=Path, help="folder that keeps what a model says of each sentence")
    parser.add_argument("--maps", nargs="*", choices=list(MAPS), default=list(MAPS), help="methods with maps")
    parser.add_argument("--batch-size", type=int, default=16, help="sentences per batch (default: 16)")
    options = parser.parse_args(arguments)

    def parts() -> Any:
        if options.redraw:
            return
        require_data(parser, options)
        tables = {
            split: read_cues(options.data / "cdsco", split, options.train_limit if split == "train" else None)
            for split in FILES
        }
        for title, file in options.systems:
            yield f"system {title}", scored_system(file, tables["test"])
        for part in options.parts:
            print(f"measuring {part}", file=sys.stderr, flush=True)
            yield f"scope {part}", _part(part, tables, options.maps, options.cache, options.batch_size)

    return tabulate(NAME, options.output, parts(), page, drawn)


def _named_file(value: str) -> tuple[str, Path]:
    title, _, file = value.partition("=")
    if not title or not file:
        raise ArgumentTypeError(f"{value!r} is no pair; expected NAME=FILE")
    return title, Path(file)


def _part(part: str, tables: Tables, maps: Sequence[str], cache: Path | None, batch_size: int) -> Result:
    if part == "rules":
        return rules(tables)
    if part in LARGEST:
        return scored_heads(MODELS[LARGEST[part]](), tables, batch_size)
    return measure_model(part, MODELS[part](), tables, maps=maps, cache=cache, batch_size=batch_size)
