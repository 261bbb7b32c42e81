"""The page of `reproduce.topk.table`: the numbers that ``page.md.jinja`` shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reproduce.study.page import fill
from reproduce.topk.compared import PAIRS, Difference, of_passages, of_texts, right, sentence
from reproduce.topk.listops import listops
from reproduce.topk.needed import SHARE, WITHIN
from reproduce.topk.quality import CHOICES, DENOMINATORS, values

Found = Mapping[str, Any]
Shown = dict[str, Any]

SELECTIONS = [f"{by} {denominator}" for denominator in DENOMINATORS for by in CHOICES]


def page(kept: Found) -> str:
    """All kept results, in sections that docs include by name."""
    return fill(
        "topk/page.md.jinja",
        compared=_compared(kept),
        short=_predictions(kept["predictions"]) if "predictions" in kept else {},
        long=_long_predictions(kept["long predictions"]) if "long predictions" in kept else {},
        embeddings=_embeddings(kept["embeddings"]) if "embeddings" in kept else {},
        classifier=_classifier(kept["classifier"]) if "classifier" in kept else {},
        listops=listops(kept["listops"]) if "listops" in kept else None,
        layers=[_layers(found) for found in _of_models(kept, "layers of ").values()],
        needed=_needed(_of_models(kept, "needed ")),
    )


def _of_models(kept: Found, prefix: str) -> dict[str, Found]:
    """The parts of a kind by their models."""
    return {part.removeprefix(prefix): kept[part] for part in kept if part.startswith(prefix)}


def _predictions(found: Found) -> Shown:
    dense = math.exp(np.mean([row["dense"]["nll"] for row in found["rows"]]))
    perplexity, agreement = {}, {}
    for selection in SELECTIONS:
        for k in found["ks"]:
            if f"{selection} {k}" in found["rows"][0]["cells"]:
                perplexity[selection, k] = math.exp(values(found, f"{selection} {k}", "nll").mean())
                agreement[selection, k] = f"{100 * values(found, f'{selection} {k}', 'agreement').mean():.1f} %"
    shown = {place: f"{value:.2f}" if value < 100 else f"{value:,.0f}" for place, value in perplexity.items()}
    return {
        **found,
        "dense": f"{dense:.2f}",
        "perplexity": _by_k(found["ks"], shown),
        "agreement": _by_k(found["ks"], agreement),
        "one_percent": [_one_percent(selection, found["ks"], perplexity, dense) for selection in SELECTIONS],
    }


def _long_predictions(found: Found) -> Shown:
    """As for short ones, and norm − weight of every passage: two are too few for an interval."""
    rows = []
    for (norm, weight), name in PAIRS.items():
        row = [name]
        for k in found["ks"]:
            differences = values(found, f"norm {norm} {k}", "nll") - values(found, f"weight {weight} {k}", "nll")
            row.append(" and ".join(f"{difference:+.3f}" for difference in differences))
        rows.append(row)
    return {**_predictions(found), "differences": rows, "ks": [f"k = {k}" for k in found["ks"]]}


def _one_percent(selection: str, ks: Sequence[int], perplexity: Mapping[tuple[str, int], float], dense: float) -> Shown:
    """The k from which the perplexity stays within 1 % of the dense one, or None."""
    excess = {k: perplexity[selection, k] / dense - 1 for k in ks if (selection, k) in perplexity}
    enough = [k for k in excess if all(abs(excess[other]) <= 0.01 for other in excess if other >= k)]
    return {
        "selection": _selection(selection),
        "enough": enough[0] if enough else None,
        "at_64": f"{100 * excess[64]:+.2f} %" if 64 in excess else "",
    }


def _embeddings(found: Found) -> Shown:
    cosines = {
        (selection, k): f"{values(found, f'{selection} {k}', 'cosine').mean():.4f}"
        for selection in SELECTIONS
        for k in found["ks"]
        if f"{selection} {k}" in found["rows"][0]["cells"]
    }
    return {**found, "cosines": _by_k(found["ks"], cosines)}


def _classifier(found: Found) -> Shown:
    accuracies = {
        (selection, k): f"{100 * right(found, f'{selection} {k}').mean():.1f} %"
        for selection in SELECTIONS
        for k in found["ks"]
        if f"{selection} {k}" in found["right"]
    }
    return {
        "texts": found["texts"],
        "tokens": f"{found['tokens']:.0f}",
        "dense": f"{100 * right(found, 'dense').mean():.1f} %",
        "accuracies": _by_k(found["ks"], accuracies),
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


def _compared(kept: Found) -> Shown:
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
        "sentences": [f"* {sentence(name, found, higher_is_better=up)}" for name, (found, up, _) in rows.items()],
    }


def _layers(found: Found) -> Shown:
    by_divergence = "divergence" in next(iter(found["rows"][0]["cells"].values()))
    number = "divergence" if by_divergence else "cosine"
    selections = [f"{by} {denominator}" for denominator in DENOMINATORS for by in ("weight", "norm")]
    rows = []
    for layer in range(found["layers"]):
        means = [values(found, f"{name} {found['k']} layer {layer}", number).mean() for name in selections]
        rows.append([str(layer), *(f"{mean if by_divergence else 1 - mean:.5f}" for mean in means)])
    return {
        **found,
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


def _needed(models: Mapping[str, Found]) -> Shown:
    rows, differences = [], []
    for model, found in models.items():
        for name, counted in _COUNTED.items():
            rows.append([f"{model}: {counted}", *_counts(found["counts"][name])])
        differences += [
            f"* {model}, {_difference_line(name, found['difference'][name])}" for name in found["difference"]
        ]
    if not rows:
        return {}
    texts = "; ".join(
        f"{model}: {found['passages']} passages of {found['tokens']} tokens, {found['targets']} targets of each"
        + (f", from position {found['first_target']} on" if found["first_target"] else "")
        for model, found in models.items()
    )
    return {
        "models": texts,
        "share": f"{100 * SHARE:.0f} %",
        "within": f"{100 * WITHIN:.0f} %",
        "rows": rows,
        "differences": differences,
    }


def _counts(count: Found) -> list[str]:
    heads = np.array(count["median"])
    quantiles = [f"{quantile:.0f}" for quantile in count["quantiles"]]
    return [f"{count['mean']:.1f}", *quantiles, f"{heads.min():.0f} to {heads.max():.0f}"]


def _difference_line(name: str, difference: Sequence[float]) -> str:
    value, low, high = difference
    kind = {"norm": "vector, full denominator", "norm renormalized": "vector, renormalized", "norm share": "share"}[
        name
    ]
    return f"{kind}: {value:+.2f} sources ({low:+.2f} to {high:+.2f})"
