"""The page of `reproduce.topk.table`, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reproduce.study.page import markdown_table
from reproduce.topk.compared import PAIRS, Difference, of_passages, of_texts, right, sentence
from reproduce.topk.listops import listops
from reproduce.topk.needed import SHARE, WITHIN
from reproduce.topk.quality import CHOICES, DENOMINATORS, values

Found = Mapping[str, Any]

SELECTIONS = [f"{by} {denominator}" for denominator in DENOMINATORS for by in CHOICES]


def page(kept: Found) -> str:
    """Everything that is kept, a section for each part; docs include the sections by name."""
    sections = {
        "predictions": ("Next tokens (SmolLM2)", "predictions", _predictions),
        "long predictions": ("Next tokens of long passages (SmolLM2)", "long_predictions", _long_predictions),
        "embeddings": ("Embeddings (MiniLM)", "embeddings", _embeddings),
        "classifier": ("Classification (MiniLM, SST)", "classifier", _classifier),
        "listops": ("ListOps, trained from scratch", "listops", listops),
    }
    parts = [
        _section(title, name, write(kept[part])) for part, (title, name, write) in sections.items() if part in kept
    ]
    for prefix, title, write in (
        ("layers of ", "One layer at a time", _layers),
        ("needed ", "Sources needed", _needed),
    ):
        models = {part.removeprefix(prefix): kept[part] for part in kept if part.startswith(prefix)}
        if models:
            parts.append(_section(title, prefix.split()[0], write(models)))
    compared = _compared(kept)
    if compared:
        parts.insert(0, _section("By norm or by weight?", "compared", compared))
    return "\n\n".join(["# Top-k attention: how many sources does a target need?", *parts])


def _section(title: str, name: str, text: str) -> str:
    return f"## {title}\n\n<!-- --8<-- [start:{name}] -->\n{text}\n<!-- --8<-- [end:{name}] -->"


def _predictions(found: Found) -> str:
    dense = np.mean([row["dense"]["nll"] for row in found["rows"]])
    perplexity, agreement = {}, {}
    for selection in SELECTIONS:
        for k in found["ks"]:
            if f"{selection} {k}" in found["rows"][0]["cells"]:
                perplexity[selection, k] = math.exp(values(found, f"{selection} {k}", "nll").mean())
                agreement[selection, k] = f"{100 * values(found, f'{selection} {k}', 'agreement').mean():.1f} %"
    shown = {place: _perplexity(value) for place, value in perplexity.items()}
    return "\n\n".join(
        [
            f"{_read(found)} Dense perplexity: {math.exp(dense):.2f}. Perplexity when every head of every layer keeps k "
            "sources:",
            _by_k(found["ks"], shown),
            "How often the most likely next token is still the dense model's:",
            _by_k(found["ks"], agreement),
            _one_percent(found["ks"], perplexity, math.exp(dense)),
        ]
    )


def _long_predictions(found: Found) -> str:
    """As for short ones, and norm − weight of every passage: two are too few for an interval."""
    rows = []
    for (norm, weight), name in PAIRS.items():
        row = [name]
        for k in found["ks"]:
            differences = values(found, f"norm {norm} {k}", "nll") - values(found, f"weight {weight} {k}", "nll")
            row.append(" and ".join(f"{difference:+.3f}" for difference in differences))
        rows.append(row)
    about = "Norm − weight at the same k, nats per token, of each passage by itself (fewer are better):"
    table = markdown_table(["", *(f"k = {k}" for k in found["ks"])], rows)
    return f"{_predictions(found)}\n\n{about}\n\n{table}"


def _perplexity(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _one_percent(ks: Sequence[int], perplexity: Mapping[tuple[str, int], float], dense: float) -> str:
    """For every selection, the k from which the perplexity stays within 1 % of the dense one."""
    lines = []
    for selection in SELECTIONS:
        excess = {k: perplexity[selection, k] / dense - 1 for k in ks if (selection, k) in perplexity}
        enough = [k for k in excess if all(abs(excess[other]) <= 0.01 for other in excess if other >= k)]
        at_64 = f" (k = 64: {100 * excess[64]:+.2f} %)" if 64 in excess else ""
        by, denominator = selection.split()
        lines.append(
            f"* by {by}, {_denominator(denominator)}: "
            + (f"from k = {enough[0]} on" if enough else "at no k that was measured")
            + at_64
        )
    return "Perplexity within 1 % of dense:\n\n" + "\n".join(lines)


def _embeddings(found: Found) -> str:
    cosines = {
        (selection, k): f"{values(found, f'{selection} {k}', 'cosine').mean():.4f}"
        for selection in SELECTIONS
        for k in found["ks"]
        if f"{selection} {k}" in found["rows"][0]["cells"]
    }
    about = "Mean cosine of a passage's mean-pooled embedding with the dense model's:"
    return f"{_read(found)} {about}\n\n{_by_k(found['ks'], cosines)}"


def _classifier(found: Found) -> str:
    shares = {
        (selection, k): f"{100 * right(found, f'{selection} {k}').mean():.1f} %"
        for selection in SELECTIONS
        for k in found["ks"]
        if f"{selection} {k}" in found["right"]
    }
    return (
        f"{found['texts']} sentences of SST's test part, {found['tokens']:.0f} tokens on average; dense accuracy "
        f"{100 * right(found, 'dense').mean():.1f} %. Accuracy with k sources per target, not trained for it:\n\n"
        + _by_k(found["ks"], shares)
    )


def _by_k(ks: Sequence[int], cells: Mapping[tuple[str, int], str]) -> str:
    """One row for each k, one column for each measured selection."""
    selections = [selection for selection in SELECTIONS if any((selection, k) in cells for k in ks)]
    headings = [f"by {selection.split()[0]}, {_denominator(selection.split()[1])}" for selection in selections]
    return markdown_table(
        ["k", *headings], [[str(k), *(cells.get((selection, k), "") for selection in selections)] for k in ks]
    )


def _denominator(name: str) -> str:
    return "full denominator" if name == "full" else name


def _read(found: Found) -> str:
    return f"{found['model']}; {found['passages']} passages of {found['tokens']} tokens ({found['text']})."


def _compared(kept: Found) -> str:
    """The tables and sentences of norm against weight."""
    rows: dict[str, tuple[list[Difference], bool, str]] = {}
    for pair, name in PAIRS.items():
        if "predictions" in kept:
            found = of_passages(kept["predictions"], "nll", pair)
            rows[f"SmolLM2, nats per token, {name}"] = (found, False, "+.3f")
        if "embeddings" in kept:
            found = of_passages(kept["embeddings"], "cosine", pair)
            rows[f"MiniLM, cosine, {name}"] = (found, True, "+.4f")
        if "classifier" in kept and (found := of_texts(kept["classifier"], pair)):
            rows[f"MiniLM on SST, points of accuracy, {name}"] = (found, True, "+.1f")
    if not rows:
        return ""
    ks = sorted({one.k for found, _, _ in rows.values() for one in found})
    table = []
    for what, (found, _, form) in rows.items():
        cells = {one.k: one.written(form) for one in found}
        table.append([what, *(cells.get(k, "") for k in ks)])
    lines = [f"* {sentence(what, found, higher_is_better=up)}" for what, (found, up, _) in rows.items()]
    return "\n\n".join(
        [
            "Norm − weight at the same k, mean over passages (for SST: sentences), 95 % intervals of a paired bootstrap. "
            "Fewer nats are better; more cosine and accuracy are better.",
            markdown_table(["", *(f"k = {k}" for k in ks)], table),
            "\n".join(lines),
        ]
    )


def _layers(models: Mapping[str, Found]) -> str:
    parts = []
    for found in models.values():
        number = "divergence" if "divergence" in next(iter(found["rows"][0]["cells"].values())) else "cosine"
        what = "divergence from dense, in nats" if number == "divergence" else "1 − cosine with dense"
        rows = []
        for layer in range(found["layers"]):
            row = [str(layer)]
            for denominator in DENOMINATORS:
                for by in ("weight", "norm"):
                    mean = values(found, f"{by} {denominator} {found['k']} layer {layer}", number).mean()
                    row.append(f"{mean if number == 'divergence' else 1 - mean:.5f}")
            rows.append(row)
        selections = [f"by {by}, {_denominator(d)}" for d in DENOMINATORS for by in ("weight", "norm")]
        parts.append(
            f"{_read(found)} Only one layer keeps k = {found['k']} sources, the others all; {what}:\n\n"
            + markdown_table(["layer", *selections], rows)
        )
    return "\n\n".join(parts)


_COUNTED = {
    "weight share": f"hold {100 * SHARE:.0f} % of the weight",
    "norm share": f"hold {100 * SHARE:.0f} % of the norm",
    "weight": f"vector within {100 * WITHIN:.0f} %, by weight, full denominator",
    "norm": f"vector within {100 * WITHIN:.0f} %, by norm, full denominator",
    "weight renormalized": f"vector within {100 * WITHIN:.0f} %, by weight, renormalized",
    "norm renormalized": f"vector within {100 * WITHIN:.0f} %, by norm, renormalized",
}


def _needed(models: Mapping[str, Found]) -> str:
    rows, lines = [], []
    for model, found in models.items():
        for name, what in _COUNTED.items():
            counted = found["counts"][name]
            heads = np.array(counted["median"])
            middle, most, nearly_all = counted["quantiles"]
            rows.append(
                [f"{model}: {what}", f"{counted['mean']:.1f}", f"{middle:.0f}", f"{most:.0f}", f"{nearly_all:.0f}",
                 f"{heads.min():.0f} to {heads.max():.0f}"]
            )  # fmt: skip
        lines += [f"* {model}, {_difference_line(name, found['difference'][name])}" for name in found["difference"]]
    first = "; ".join(
        f"{model}: {found['passages']} passages of {found['tokens']} tokens, {found['targets']} targets of each"
        + (f", from position {found['first_target']} on" if found["first_target"] else "")
        for model, found in models.items()
    )
    return "\n\n".join(
        [
            f"How many sources a target needs, counted for each head on the dense model's own states ({first}): the fewest "
            f"that hold {100 * SHARE:.0f} % of Σα, or of Σα‖f(x)‖; and the smallest k from which on the vector of the k "
            f"best stays within {100 * WITHIN:.0f} % of the length of the head's whole vector Σαf(x).",
            markdown_table(["sources needed", "mean", "half of targets", "90 %", "99 %", "medians of the heads"], rows),
            "Norm − weight, mean over all heads and targets with 95 % intervals (bootstrap over passages):\n\n"
            + "\n".join(lines),
        ]
    )


def _difference_line(name: str, difference: Sequence[float]) -> str:
    value, low, high = difference
    kind = {"norm": "vector, full denominator", "norm renormalized": "vector, renormalized", "norm share": "share"}[
        name
    ]
    return f"{kind}: {value:+.2f} sources ({low:+.2f} to {high:+.2f})"
