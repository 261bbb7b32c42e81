"""The page of `reproduce.topk.table`: the numbers that ``page.md.jinja`` shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reproduce.study.page import fill
from reproduce.topk import choices
from reproduce.topk.compared import PAIRS, Difference, of_passages, of_texts, right, sentence
from reproduce.topk.listops import listops
from reproduce.topk.needed import SHARE, WITHIN
from reproduce.topk.quality import CHOICES, DENOMINATORS, values

Result = Mapping[str, Any]
Shown = dict[str, Any]

SELECTIONS = [f"{by} {denominator}" for denominator in DENOMINATORS for by in CHOICES]


def page(kept: Result) -> str:
    """All kept results, in sections that docs include by name."""
    return fill(
        "topk/page.md.jinja",
        compared=_compared(kept),
        short=_predictions(kept["predictions"]) if "predictions" in kept else {},
        long=_long_predictions(kept["long predictions"]) if "long predictions" in kept else {},
        embeddings=_embeddings(kept["embeddings"]) if "embeddings" in kept else {},
        classifier=_classifier(kept["classifier"]) if "classifier" in kept else {},
        listops=listops(kept["listops"]) if "listops" in kept else None,
        layers=[_layers(result) for result in _of_models(kept, "layers of ").values()],
        choices=[choices.shown(result) for result in _of_models(kept, "choices of ").values()],
        needed=_needed(_of_models(kept, "needed ")),
    )


def _of_models(kept: Result, prefix: str) -> dict[str, Result]:
    """The results of one kind by their models."""
    return {name.removeprefix(prefix): kept[name] for name in kept if name.startswith(prefix)}


def _predictions(result: Result) -> Shown:
    dense = math.exp(np.mean([row["dense"]["nll"] for row in result["rows"]]))
    perplexity, agreement = {}, {}
    for selection in SELECTIONS:
        for k in result["ks"]:
            if f"{selection} {k}" in result["rows"][0]["cells"]:
                perplexity[selection, k] = math.exp(values(result, f"{selection} {k}", "nll").mean())
                agreement[selection, k] = f"{100 * values(result, f'{selection} {k}', 'agreement').mean():.1f} %"
    shown = {place: f"{value:.2f}" if value < 100 else f"{value:,.0f}" for place, value in perplexity.items()}
    return {
        **result,
        "dense": f"{dense:.2f}",
        "perplexity": _by_k(result["ks"], shown),
        "agreement": _by_k(result["ks"], agreement),
        "one_percent": [_one_percent(selection, result["ks"], perplexity, dense) for selection in SELECTIONS],
    }


def _long_predictions(result: Result) -> Shown:
    """As for short ones, and norm − weight of every passage: two are too few for an interval."""
    rows = []
    for (norm, weight), name in PAIRS.items():
        row = [name]
        for k in result["ks"]:
            differences = values(result, f"norm {norm} {k}", "nll") - values(result, f"weight {weight} {k}", "nll")
            row.append(" and ".join(f"{difference:+.3f}" for difference in differences))
        rows.append(row)
    return {**_predictions(result), "differences": rows, "ks": [f"k = {k}" for k in result["ks"]]}


def _one_percent(selection: str, ks: Sequence[int], perplexity: Mapping[tuple[str, int], float], dense: float) -> Shown:
    """The k from which the perplexity stays within 1 % of the dense one, or None."""
    excess = {k: perplexity[selection, k] / dense - 1 for k in ks if (selection, k) in perplexity}
    enough = [k for k in excess if all(abs(excess[other]) <= 0.01 for other in excess if other >= k)]
    return {
        "selection": _selection(selection),
        "enough": enough[0] if enough else None,
        "at_64": f"{100 * excess[64]:+.2f} %" if 64 in excess else "",
    }


def _embeddings(result: Result) -> Shown:
    cosines = {
        (selection, k): f"{values(result, f'{selection} {k}', 'cosine').mean():.4f}"
        for selection in SELECTIONS
        for k in result["ks"]
        if f"{selection} {k}" in result["rows"][0]["cells"]
    }
    return {**result, "cosines": _by_k(result["ks"], cosines)}


def _classifier(result: Result) -> Shown:
    accuracies = {
        (selection, k): f"{100 * right(result, f'{selection} {k}').mean():.1f} %"
        for selection in SELECTIONS
        for k in result["ks"]
        if f"{selection} {k}" in result["right"]
    }
    return {
        "texts": result["texts"],
        "tokens": f"{result['tokens']:.0f}",
        "dense": f"{100 * right(result, 'dense').mean():.1f} %",
        "accuracies": _by_k(result["ks"], accuracies),
    }


def _by_k(ks: Sequence[int], cells: Mapping[tuple[str, int], str]) -> Shown:
    """One row for each k, one column for each measured selection."""
    selections = [selection for selection in SELECTIONS if any((selection, k) in cells for k in ks)]
    return {
        "headings": ["k", *(f"by {_selection(selection)}" for selection in selections)],
        "rows": [[str(k), *(cells.get((selection, k), "") for selection in selections)] for k in ks],
    }


def _selection(name: str) -> str:
    """The ranking of sources, and the denominator."""
    by, denominator = name.split()
    return f"{by}, {'full denominator' if denominator == 'full' else denominator}"


def _compared(kept: Result) -> Shown:
    """The table and the sentences of norm against weight."""
    rows: dict[str, tuple[list[Difference], bool, str]] = {}
    for pair, name in PAIRS.items():
        if "predictions" in kept:
            differences = of_passages(kept["predictions"], "nll", pair)
            rows[f"SmolLM2, nats per token, {name}"] = (differences, False, "+.3f")
        if "embeddings" in kept:
            differences = of_passages(kept["embeddings"], "cosine", pair)
            rows[f"MiniLM, cosine, {name}"] = (differences, True, "+.4f")
        if "classifier" in kept and (differences := of_texts(kept["classifier"], pair)):
            rows[f"MiniLM on SST, points of accuracy, {name}"] = (differences, True, "+.1f")
    ks = sorted({one.k for differences, _, _ in rows.values() for one in differences})
    table = []
    for compared, (differences, _, form) in rows.items():
        cells = {one.k: one.written(form) for one in differences}
        table.append([compared, *(cells.get(k, "") for k in ks)])
    return {
        "ks": [f"k = {k}" for k in ks],
        "rows": table,
        "sentences": [
            f"* {sentence(name, differences, higher_is_better=up)}" for name, (differences, up, _) in rows.items()
        ],
    }


def _layers(result: Result) -> Shown:
    by_divergence = "divergence" in next(iter(result["rows"][0]["cells"].values()))
    number = "divergence" if by_divergence else "cosine"
    selections = [f"{by} {denominator}" for denominator in DENOMINATORS for by in ("weight", "norm")]
    rows = []
    for layer in range(result["layers"]):
        means = [values(result, f"{name} {result['k']} layer {layer}", number).mean() for name in selections]
        rows.append([str(layer), *(f"{mean if by_divergence else 1 - mean:.5f}" for mean in means)])
    return {
        **result,
        "number": "divergence from dense, in nats" if by_divergence else "1 − cosine with dense",
        "selections": [f"by {_selection(name)}" for name in selections],
        "rows": rows,
    }


_COUNTED = {
    "weight share": f"hold {100 * SHARE:.0f} % of the weight",
    "norm share": f"hold {100 * SHARE:.0f} % of the norm",
    "weight": f"vector within {100 * WITHIN:.0f} %, by weight, full denominator",
    "norm": f"vector within {100 * WITHIN:.0f} %, by norm, full denominator",
    "weight renormalized": f"vector within {100 * WITHIN:.0f} %, by weight, renormalized",
    "norm renormalized": f"vector within {100 * WITHIN:.0f} %, by norm, renormalized",
}


def _needed(models: Mapping[str, Result]) -> Shown:
    rows, differences = [], []
    for model, result in models.items():
        for name, counted in _COUNTED.items():
            rows.append([f"{model}: {counted}", *_counts(result["counts"][name])])
        differences += [
            f"* {model}, {_difference_line(name, result['difference'][name])}" for name in result["difference"]
        ]
    if not rows:
        return {}
    texts = "; ".join(
        f"{model}: {result['passages']} passages of {result['tokens']} tokens, {result['targets']} targets of each"
        + (f", from position {result['first_target']} on" if result["first_target"] else "")
        for model, result in models.items()
    )
    return {
        "models": texts,
        "share": f"{100 * SHARE:.0f} %",
        "within": f"{100 * WITHIN:.0f} %",
        "rows": rows,
        "differences": differences,
    }


def _counts(count: Result) -> list[str]:
    heads = np.array(count["median"])
    quantiles = [f"{quantile:.0f}" for quantile in count["quantiles"]]
    return [f"{count['mean']:.1f}", *quantiles, f"{heads.min():.0f} to {heads.max():.0f}"]


def _difference_line(name: str, difference: Sequence[float]) -> str:
    value, low, high = difference
    kind = {"norm": "vector, full denominator", "norm renormalized": "vector, renormalized", "norm share": "share"}[
        name
    ]
    return f"{kind}: {value:+.2f} sources ({low:+.2f} to {high:+.2f})"
