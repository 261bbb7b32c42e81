"""Every method of attribution on the same classifier and sentences: how faithful it is, and what it costs.

``python -m reproduce attribution --task sst --model runs/sst/model --data DATA``, with a model that ``python -m reproduce
train-classifier`` made. Open options of a method are chosen on dev; the table is measured on the test split. Each
part of the result is kept until it is measured again, so that ``--parts`` can measure them one at a time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import normlens
from normlens import Lens, NormLensError
from normlens.faithfulness import Design, LensClassifier, difference, evaluate, summary
from reproduce.attribution.candidates import Candidate, Predictions, all_scores, candidates, supported
from reproduce.attribution.costs import costs
from reproduce.attribution.figures import figures_of
from reproduce.attribution.page import COMPARED, page
from reproduce.attribution.saliency import correlations
from reproduce.data.classified_texts import READERS, ClassifiedTexts, DataSplit, read_classified
from reproduce.study.kept import kept, numbers_of, printed, replace, write
from reproduce.study.options import add_data, study_parser

NAME = "attribution"
FOR_COSTS = 8

Entry = dict[str, Any]


def choose(lens: Lens, texts: ClassifiedTexts, entry: Entry, options: argparse.Namespace) -> Entry:
    """Try every candidate on dev; of each row the one with the highest AOPC under masking is chosen."""
    split = texts.dev.limited(options.dev)
    predictions = predictions_of(lens, split.texts)
    there, refused = supported(lens, split.texts[0], predictions[:1])
    attributions = all_scores(lens, split.texts, predictions, there)
    measured = evaluate(
        lens, split.texts, attributions, labels=split.labels, batch_size=options.batch_size,
        design=Design(by=options.by, erasures=("mask",), baselines=(), by_magnitude=magnitudes(there)),
    )  # fmt: skip
    table = summary(measured, resamples=options.resamples, seed=options.seed)
    aopc = table[table["measure"] == "aopc"].set_index("method")["value"]
    chosen: dict[str, str] = {}
    for candidate in there:
        if candidate.row not in chosen or aopc[candidate.name] > aopc[chosen[candidate.row]]:
            chosen[candidate.row] = candidate.name
    return {"dev": len(split), "candidates": records(table), "chosen": chosen, "refused": refused}


def test(lens: Lens, texts: ClassifiedTexts, entry: Entry, options: argparse.Namespace) -> Entry:
    """Measure the chosen candidates on the test split, by masking and by deletion, together with all baselines."""
    split = measured_split(texts, options).limited(options.test)
    predictions = predictions_of(lens, split.texts)
    chosen = chosen_candidates(entry)
    attributions = {
        candidate.row: array
        for candidate, array in zip(chosen, all_scores(lens, split.texts, predictions, chosen).values(), strict=True)
    }
    signed_away = tuple(candidate.row for candidate in chosen if candidate.magnitude)
    measured = evaluate(
        lens, split.texts, attributions, labels=split.labels, batch_size=options.batch_size,
        design=Design(by=options.by, by_magnitude=signed_away, seed=options.seed),
    )  # fmt: skip
    against = [
        difference(measured, one, row, resamples=options.resamples, seed=options.seed)
        for one in COMPARED
        if one in attributions
        for row in map(str, measured["attribution"].values)
        if row != one
    ]
    return {
        "test": len(split),
        "right": float(np.mean(predictions.argmax(axis=1) == np.array(split.labels))),
        "replacement": measured.attrs["replacement"],
        "steps": measured["step"].values.tolist(),
        "table": records(summary(measured, resamples=options.resamples, seed=options.seed)),
        "against": [row for table in against for row in records(table)],
        "curves": {
            str(row): {
                str(how): measured["drop"].sel(attribution=row, erasure=how).mean("text").round(5).values.tolist()
                for how in measured["erasure"].values
            }
            for row in measured["attribution"].values
        },
    }


def others(lens: Lens, texts: ClassifiedTexts, entry: Entry, options: argparse.Namespace) -> Entry:
    """Measure models of other seeds on the same texts, with the candidates chosen for the first one."""
    results = []
    for model in options.others:
        measured = test(normlens.load(model), texts, entry, options)
        kept = {key: [row for row in measured[key] if row["measure"] == "aopc"] for key in ("table", "against")}
        results.append({"training": training_of(model), "test": measured["test"], "right": measured["right"], **kept})
    return {"others": results} if results else {}


def cost(lens: Lens, texts: ClassifiedTexts, entry: Entry, options: argparse.Namespace) -> Entry:
    """Measure processor time and memory of the chosen candidates on a few texts."""
    split = measured_split(texts, options).limited(FOR_COSTS)
    predictions = predictions_of(lens, split.texts)
    measured = costs(lens, split.texts, predictions, chosen_candidates(entry))
    tokens = [len(LensClassifier(lens).encode(text)) for text in split.texts]
    return {"costs": measured, "cost_texts": len(split), "cost_tokens": sum(tokens)}


def saliency(lens: Lens, texts: ClassifiedTexts, entry: Entry, options: argparse.Namespace) -> Entry:
    """Correlate maps of each kind with gradients."""
    split = measured_split(texts, options).limited(options.test)
    predictions = predictions_of(lens, split.texts)
    return {"saliency": correlations(lens, split.texts, predictions, seed=options.seed, resamples=options.resamples)}


PARTS: dict[str, Callable[[Lens, ClassifiedTexts, Entry, argparse.Namespace], Entry]] = {
    "choose": choose,
    "test": test,
    "others": others,
    "cost": cost,
    "saliency": saliency,
}
"""The parts of the result, in the order of their dependencies."""


def measured_split(texts: ClassifiedTexts, options: argparse.Namespace) -> DataSplit:
    """The test split; for a pilot, dev."""
    return texts.dev if options.pilot else texts.test


def predictions_of(lens: Lens, texts: Sequence[str]) -> Predictions:
    """Probabilities of the classes for each text."""
    classifier = LensClassifier(lens)
    return classifier.probabilities([classifier.encode(text).ids for text in texts])


def magnitudes(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Names of the candidates that rank by absolute value."""
    return tuple(candidate.name for candidate in candidates if candidate.magnitude)


def chosen_candidates(entry: Entry) -> list[Candidate]:
    """The candidates that were chosen on dev.

    Raises
    ------
    NormLensError
        If no candidates were chosen.
    """
    if "chosen" not in entry:
        raise NormLensError("No candidate has been chosen on dev yet. Measure the part 'choose' first.")
    names = set(entry["chosen"].values())
    return [candidate for candidate in candidates() if candidate.name in names]


def records(table: Any) -> list[dict[str, Any]]:
    """Rows of a table for JSON: five digits, None for NaN."""
    return [
        {
            name: (None if np.isnan(cell) else float(f"{cell:.5g}")) if isinstance(cell, float) else cell
            for name, cell in row.items()
        }
        for row in table.to_dict("records")
    ]


def about(lens: Lens, texts: ClassifiedTexts, model: Path, options: argparse.Namespace) -> Entry:
    """Facts about the measurement."""
    return {
        "data": texts.about,
        "classes": texts.classes,
        "model_type": lens.model.config.model_type,
        "training": training_of(model),
        "part": "dev (a pilot)" if options.pilot else "test",
        "by": options.by,
        "seed": options.seed,
        "resamples": options.resamples,
        "threads": torch.get_num_threads(),
        "normlens": normlens.__version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }


def training_of(model: Path) -> Entry:
    """The training of the model, for the table."""
    path = model / "training.json"
    training = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = ("learning_rate", "dev_accuracy", "test_accuracy", "seconds", "cpu_seconds", "hardware", "parameters")
    return {name: training[name] for name in kept if name in training}


def read_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = study_parser(__doc__)
    add_data(parser)
    parser.add_argument("--task", choices=list(READERS), default="sst")
    parser.add_argument("--model", type=Path, help="folder of a classifier that train-classifier made for the task")
    parser.add_argument("--others", type=Path, nargs="+", default=[], help="models that differ only in their seed")
    parser.add_argument(
        "--dev", type=int, default=200, help="number of dev texts to choose candidates on (default: %(default)s)"
    )
    parser.add_argument("--test", type=int, help="number of test texts (default: all)")
    parser.add_argument("--pilot", action="store_true", help="measure on dev instead of test, for a first look")
    parser.add_argument("--by", choices=["word", "token"], default="word", help="the unit that is erased")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--batch-size", type=int, default=64, help="variants per batch (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of bootstrap and random orders (default: 0)")
    parser.add_argument("--resamples", type=int, default=1000, help="resamples of the bootstrap (default: 1000)")
    options = parser.parse_args(arguments)
    if not options.redraw and (options.model is None or options.data is None):
        parser.error("name the model with --model, and the data folder with --data or NORMLENS_DATA")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as set on the command line, print the page and keep it."""
    options = read_arguments(arguments)
    path = numbers_of(NAME, options.output)

    def work() -> str:
        tasks: dict[str, Entry] = kept(path)
        if not options.redraw:
            texts, lens = read_classified(options.task, options.data), normlens.load(options.model)
            entry = {**tasks.get(options.task, {}), **about(lens, texts, options.model, options)}
            for name in (part for part in PARTS if part in options.parts):
                entry |= PARTS[name](lens, texts, entry, options)
                tasks[options.task] = entry
                replace(path, json.dumps(tasks, indent=1, ensure_ascii=False) + "\n")
        if not any("table" in entry for entry in tasks.values()):
            raise NormLensError(f"{path} holds no table. Measure the parts 'choose' and 'test' first.")
        return write(NAME, page(tasks), figures_of(tasks), options.output)

    return printed(work)
