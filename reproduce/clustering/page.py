"""The page of `reproduce.clustering.table`, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normlens.clustering.model_heads import MAPS
from normlens.loading.catalog import BUNDLED
from reproduce.clustering.heads import ALPHA, GAMMA, SHARES
from reproduce.clustering.planted import NEED_K, SAMPLED
from reproduce.study.page import markdown_table

SOURCE = "Daniely, Linial and Saks 2012, “Clustering is difficult only when it does not matter”, <https://arxiv.org/abs/1205.4891>"

_METHODS = ("search", *NEED_K, "HDBSCAN")


def page(kept: Mapping[str, Any]) -> str:
    """Everything that is kept, a section for each part; docs include the sections by name."""
    sections = {
        "planted": ("Planted clusterings", _planted),
        "noise": ("Noise", _noise),
        "soundness": ("Against all partitions", _soundness),
        "timings": ("Time", _timings),
    }
    parts = [_section(title, name, write(kept[name])) for name, (title, write) in sections.items() if name in kept]
    models = {name: kept[f"heads of {name}"] for name in BUNDLED if f"heads of {name}" in kept}
    if models:
        parts.append(_section("Attention heads", "heads", _heads(models)))
    seconds = sum(measured["seconds"] for measured in kept.values())
    about = f"Definitions: {SOURCE}. Measured with one thread in {seconds:.0f} s."
    return "\n\n".join(["# Good clusterings", about, *parts])


def _section(title: str, name: str, text: str) -> str:
    return f"## {title}\n\n<!-- --8<-- [start:{name}] -->\n{text}\n<!-- --8<-- [end:{name}] -->"


def _planted(measured: Mapping[str, Any]) -> str:
    settings = measured["settings"]
    sizes = " + ".join(map(str, measured["sizes"]))
    rows = [
        [
            f"{s['alpha']:g}",
            *(f"{100 * s['exact'].get(name, 0):.1f} %" for name in _METHODS),
            f"{s['searched']}",
            _status(s),
        ]
        for s in settings
    ]
    told = [f"{name} (told k)" if name in NEED_K else name for name in _METHODS]
    rand = [[f"{s['alpha']:g}", *(f"{s['rand'].get(name, 0):.3f}" for name in _METHODS[1:])] for s in settings]
    sampled = [
        [f"{s['alpha']:g}", *(f"{100 * s['sampled'][str(count)]:.1f} %" for count in SAMPLED), f"{s['bound']:,}"]
        for s in settings
    ]
    return "\n\n".join(
        [
            f"{measured['instances']:,} instances for each α: {sizes} points in {measured['dimensions']} dimensions, "
            "planted so that α* is exactly the α of the row. A method succeeds if it returns exactly the planted partition. "
            "k-means, "
            f"the linkages and spectral clustering are told the true k = {len(measured['sizes'])}; HDBSCAN (scikit-learn's "
            "defaults; what it calls noise counts as a cluster) and the search are not. The search asks for "
            f"γ = {measured['gamma']:g} and succeeds if the planted partition is among its certified ones; for small α it "
            "ran on fewer of the same instances, as the table says.",
            markdown_table(["α", *told, "searched", "the search's certificates"], rows),
            "Mean adjusted Rand index of the others:",
            markdown_table(["α", *told[1:]], rand),
            "How often a sample of m points of each cluster, partitioned rightly, extends to the planted partition by "
            "“nearest in mean distance”, and the m that the proof asks for (δ = .05):",
            markdown_table(["α", *(f"m = {count}" for count in SAMPLED), "the bound"], sampled),
        ]
    )


def _status(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(setting["status"].items()))


def _noise(measured: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{row['kind']}, n = {row['points']}, {row['dimensions']} dimensions",
            f"{row['returned']} of {row['instances']}",
            str(row["refused"]),
            "–" if row["nearest"] is None else f"{row['nearest']:.2f}",
            _status(row),
        ]
        for row in measured["rows"]
    ]
    return f"Asked for α = {measured['alpha']:g}, γ = {measured['gamma']:g}.\n\n" + markdown_table(
        ["noise", "something returned", "of it rejected by the verifier", "largest α* looked at", "certificates"], rows
    )


def _soundness(measured: Mapping[str, Any]) -> str:
    return (
        f"On {measured['agreed']} of {measured['instances']} instances of 4 to 9 points (Gaussian or planted; α from 1.05 "
        "to 4.5, two points per cluster or more) the search returned exactly the good partitions that counting out all "
        f"partitions gives, {measured['good']} in all; it called itself complete on {measured['complete']}."
    )


def _timings(measured: Mapping[str, Any]) -> str:
    rows = [[row["what"], f"{row['seconds']:.1f} s", row["certificate"]] for row in measured["rows"]]
    return markdown_table(["what", "time, one thread", "certificate"], rows)


def _heads(models: Mapping[str, Mapping[str, Any]]) -> str:
    rows, lines = [], []
    for model, measured in models.items():
        for name in MAPS:
            found = measured["maps"][name]
            rows.append(
                [
                    f"{model}, {name}",
                    str(len(measured["names"])),
                    f"{len(found['sizes'])} ({', '.join(map(str, sorted(found['sizes'], reverse=True)))})",
                    f"{found['alpha']:.3f}",
                    f"{found['median']:.3f}",
                    *(f"{100 * found['shares'][str(alpha)]:.0f} %" for alpha in SHARES),
                    found["witness"],
                ]
            )
            lines.append(f"* {model} by {name}: {found['certificate']}")
    shares = [f"heads ≥ {alpha:g}" for alpha in SHARES]
    table = markdown_table(["heads", "n", "clusters (sizes)", "α*", "median ratio", *shares, "witness"], rows)
    first = next(iter(models.values()))
    return "\n\n".join(
        [
            f"The first {first['texts']} bundled sentences; the partition with the largest α* that the search looked at "
            f"(asked for: α = {ALPHA:g}, γ = {GAMMA:g}).",
            table,
            "\n".join(lines),
            "Norm against weight at the same number of clusters (complete linkage, cut anew on every draw of sentences); "
            f"difference norm − weight with 95 % intervals, paired bootstrap over sentences, "
            f"{first['compared']['resamples']} draws:",
            markdown_table(
                [
                    "heads",
                    "clusters",
                    "median ratio, weight",
                    "norm",
                    "difference",
                    "heads ≥ 1.1, weight",
                    "norm",
                    "difference",
                ],
                [row for model, measured in models.items() for row in _differences(model, measured["compared"])],
            ),
        ]
    )


def _differences(model: str, compared: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for place, count in enumerate(compared["clusters"]):
        row = [model, str(count)]
        for name, scale, form in (("median", 1, "{:.3f}"), ("share", 100, "{:.0f}")):
            unit = " %" if name == "share" else ""
            row += [form.format(scale * compared[name][which][place]) + unit for which in ("weight", "norm")]
            value, low, high = (scale * number for number in compared[f"{name} difference"][place])
            signed = form.replace(":", ":+")
            row.append(f"{signed.format(value)} ({signed.format(low)} to {signed.format(high)})")
        rows.append(row)
    return rows
