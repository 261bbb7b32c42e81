"""Why integrated gradients beat one frozen model: one change at a time, on SST's dev sentences.

``python -m reproduce alternatives --model runs/sst-1/model runs/sst-2/model --data DATA``: models that
differ only in their seed are averaged sentence by sentence. Nothing here is chosen or measured on the test split;
`reproduce.attribution.table` does that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

import normlens
from normlens import Lens, NormLensError
from normlens.engine.frozen import operations, rules
from normlens.engine.frozen.directions import Backward
from normlens.engine.frozen.run import frozen_run
from normlens.faithfulness import MEASURES, Design, LensClassifier, difference, evaluate, summary
from reproduce.attribution.biases import logits_by_source
from reproduce.attribution.candidates import LAYER, Candidate, Predictions, scores, targets
from reproduce.attribution.page import aopc_cell
from reproduce.attribution.table import predictions_of, records
from reproduce.data.classified_texts import read_classified
from reproduce.study.kept import numbers_of, printed, replace, write
from reproduce.study.options import add_data, require_data, study_parser
from reproduce.study.page import fill

NAME = "alternatives"
PLAIN, RIVAL = "DecompX", "integrated gradients from [MASK]"
EVERYTHING = ("layer_norm", "softmax", "gelu", "tanh")
ERASURES = ("mask", "delete")
DESIGN = Design(baselines=("random", "leave_one_out"), bins=(0.5,), draws=1)

Scored = list[Float[np.ndarray, " token"]]
Scorer = Callable[[Lens, Sequence[str], Predictions], Scored]


def asked(method: str, **options: Any) -> Scorer:
    """Scores of `Lens.attribute` or of a candidate of the table, for the difference of the logits."""
    return lambda lens, texts, predictions: scores(
        lens, texts, predictions, Candidate("", method, target="difference", options=options)
    )


def with_bias_spread() -> Scorer:
    """DecompX with the bias share distributed over the sources at the end, in proportion to |share|."""

    def scored(lens: Lens, texts: Sequence[str], predictions: Predictions) -> Scored:
        attributions = []
        for text, target in zip(texts, targets(predictions, "difference"), strict=True):
            result = lens.attribute(text, target=target)
            sizes = np.abs(result.values)
            attributions.append(result.values + result.attrs["bias_share"] * sizes / sizes.sum())
        return attributions

    return scored


def with_biases_spread_within() -> Scorer:
    """DecompX from the embedding layer on, each bias distributed where it is added, as in the published code."""

    def scored(lens: Lens, texts: Sequence[str], predictions: Predictions) -> Scored:
        classifier, attributions = LensClassifier(lens), []
        for text, (plus, minus) in zip(texts, targets(predictions, "difference"), strict=True):
            ids = torch.tensor(classifier.encode(text).ids, device=lens.model.device)[None]
            logits = logits_by_source(lens.model, ids, spread=True)
            attributions.append((logits[:, plus] - logits[:, minus]).double().cpu().numpy())
        return attributions

    return scored


def at_one_point(freed: Sequence[str] = (), *, reference: bool = True, of_layer: bool = False) -> Scorer:
    """⟨gradient, x − x′⟩ at the input, with the true derivative of some operations instead of the frozen one.

    Parameters
    ----------
    freed
        Operations that are not frozen.
    reference
        Whether x′ is the vector of the mask token; zero otherwise.
    of_layer
        Whether x is the output of the embedding layer, instead of the word's embedding.
    """

    def scored(lens: Lens, texts: Sequence[str], predictions: Predictions) -> Scored:
        classifier, attributions = LensClassifier(lens), []
        mask = classifier.replacement(None).id
        for text, (plus, minus) in zip(texts, targets(predictions, "difference"), strict=True):
            ids = torch.tensor(classifier.encode(text).ids, device=lens.model.device)[None]
            gradient, x = _gradient(lens, ids, plus, minus, freed, of_layer)
            away = x - _entered(lens, torch.full_like(ids, mask), of_layer) if reference else x
            attributions.append(np.asarray((gradient * away).sum(-1)[0].double().cpu().numpy()))
        return attributions

    return scored


ALTERNATIVES: dict[str, Scorer] = {
    PLAIN: asked("decompx"),
    "from the embedding layer on": asked("decompx", **LAYER),
    "biases spread over the words at the end": with_bias_spread(),
    "from the embedding layer on, biases spread where they are added": with_biases_spread_within(),
    "products all to their first factor": asked("decompx", product="first"),
    "true derivative of the head's tanh": at_one_point(("tanh",), reference=False),
    "relative to [MASK]": at_one_point(),
    "from the embedding layer on, relative to [MASK]": at_one_point(of_layer=True),
    "relative to [MASK], true derivative of GELU": at_one_point(("gelu",)),
    "relative to [MASK], true derivative of softmax": at_one_point(("softmax",)),
    "relative to [MASK], true derivative of LayerNorm": at_one_point(("layer_norm",)),
    "gradient × input": at_one_point(EVERYTHING, reference=False),
    "gradient × (input − [MASK])": at_one_point(EVERYTHING),
    "averaged over 3 frozen models from [MASK]": asked("decompx", baseline="mask", steps=3),
    "averaged over 5 frozen models from [MASK]": asked("decompx", baseline="mask", steps=5),
    "integrated gradients from zero": asked("integrated_gradients", baseline="zero", steps=12, tolerance=inf),
    "integrated gradients from [PAD]": asked("integrated_gradients", baseline="pad", steps=12, tolerance=inf),
    "integrated gradients from [MASK]": asked("integrated_gradients", baseline="mask", steps=12, tolerance=inf),
}
"""The alternatives, by name."""


def _entered(lens: Lens, ids: Tensor, of_layer: bool) -> Tensor:
    """The input of the model: words' embeddings, or the output of the embedding layer, ``(1, token, d)``."""
    module = lens.model.base_model.embeddings if of_layer else lens.model.get_input_embeddings()
    with torch.no_grad():
        return cast(Tensor, cast(Any, module)(ids))


def _gradient(
    lens: Lens, ids: Tensor, plus: int, minus: int, freed: Sequence[str], of_layer: bool
) -> tuple[Tensor, Tensor]:
    """Gradient of the difference of two logits at the input, and the input."""
    body: Any = lens.model.base_model
    path = next(name for name, module in lens.model.named_modules() if module is body.embeddings)
    direction, inputs = Backward(1), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with (
        freeing(freed),
        torch.enable_grad(),
        frozen_run(lens.model, direction, batch=1, sources=path if of_layer else None) as run,
    ):
        value = run.read(inputs, lambda output: output.logits[:, plus] - output.logits[:, minus])
    [gradient] = torch.autograd.grad(value, direction.leaves)
    return gradient, direction.groups[0].value


@contextmanager
def freeing(names: Sequence[str]) -> Iterator[None]:
    """Use the true derivative of some operations inside the context; with softmax, also that of products."""
    freed = set(names)
    table = cast(dict[str, Any], operations.RULES)
    before, share = {name: table[name] for name in freed}, rules.share_of
    try:
        table.update(dict.fromkeys(freed, lambda call: call.run()))
        if "softmax" in names:
            rules.share_of = lambda factor, *_: factor
        yield
    finally:
        table.update(before)
        rules.share_of = share


def measure(lens: Lens, texts: Sequence[str], labels: Sequence[int]) -> xr.Dataset:
    """AOPC of every alternative on every text, by both erasures."""
    predictions = predictions_of(lens, texts)
    attributions = {name: scorer(lens, texts, predictions) for name, scorer in ALTERNATIVES.items()}
    measured = evaluate(lens, texts, attributions, labels=labels, design=DESIGN)
    return measured[list(MEASURES)].reset_coords(drop=True)


def summarized(models: Sequence[xr.Dataset], seed: int, resamples: int) -> dict[str, Any]:
    """Means and paired differences with their intervals, over texts, of the mean of the models for each text."""
    mean = xr.concat(models, "model").mean("model")
    names = [str(name) for name in mean["attribution"].values]
    pairs = [
        *((name, PLAIN) for name in names if name != PLAIN),
        *((name, RIVAL) for name in names if "averaged" in name),
    ]
    tables = [difference(mean, *pair, seed=seed, resamples=resamples) for pair in pairs]
    return {
        "texts": mean.sizes["text"],
        "table": [row for row in records(summary(mean, seed=seed, resamples=resamples)) if row["measure"] == "aopc"],
        "against": [row for table in tables for row in records(table) if row["measure"] == "aopc"],
        "models": [
            {
                how: {name: round(float(means.sel(attribution=name, erasure=how)), 4) for name in names}
                for how in map(str, one["erasure"].values)
            }
            for one in models
            for means in [one["aopc"].mean("text")]
        ],
    }


def page(kept: dict[str, Any]) -> str:
    """The tables in Markdown: means over the models, and each model's differences to DecompX."""
    numbers = {(row["method"], row["erasure"]): row for row in [*kept["table"], *kept["against"]]}
    names = list(dict.fromkeys(row["method"] for row in kept["table"]))
    rows, each = [], []
    for name in sorted(names, key=lambda name: -numbers[name, "mask"]["value"]):
        cells = [aopc_cell(numbers[name, how]) for how in ERASURES]
        cells += [aopc_cell(numbers[f"{name} − {PLAIN}", how]) if name != PLAIN else "–" for how in ERASURES]
        rows.append([name.replace("_", "-"), *cells])
        if name != PLAIN:
            gaps = [model[how][name] - model[how][PLAIN] for how in ERASURES for model in kept["models"]]
            each.append([name.replace("_", "-"), *(f"{round(gap, 3) + 0.0:.3f}" for gap in gaps)])
    beside = [
        {"name": pair, **{how: aopc_cell(numbers[pair, how]) for how in ERASURES}}
        for pair in (f"{name} − {RIVAL}" for name in names)
        if (pair, "mask") in numbers
    ]
    count = len(kept["models"])
    return fill(
        "attribution/alternatives.md.jinja",
        rows=rows,
        each=each,
        texts=kept["texts"],
        count=count,
        beside=beside,
        models=[f"{word}, model {k + 1}" for word in ("masked", "deleted") for k in range(count)],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and keep."""
    parser = study_parser(__doc__)
    add_data(parser)
    parser.add_argument(
        "--model", type=Path, nargs="+", default=[], help="folders of classifiers that train-classifier made for sst"
    )
    parser.add_argument("--dev", type=int, default=60, help="number of dev sentences (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args(arguments)
    path = numbers_of(NAME, options.output)
    if not options.redraw:
        require_data(parser, options)
        if not options.model:
            parser.error("name the models with --model")

    def work() -> str:
        if not options.redraw:
            dev = read_classified("sst", options.data).dev.limited(options.dev)
            measured = [measure(normlens.load(model), dev.texts, dev.labels) for model in options.model]
            summary = summarized(measured, options.seed, options.resamples)
            replace(path, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
        if not path.exists():
            raise NormLensError(f"{path} doesn't exist, so nothing can be redrawn. Run without --redraw first.")
        return write(NAME, page(json.loads(path.read_text(encoding="utf-8"))), {}, options.output)

    return printed(work)
