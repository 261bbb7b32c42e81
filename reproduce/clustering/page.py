"""The page of `reproduce.clustering.table`: the numbers that ``page.md.jinja`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normlens.loading.catalog import BUNDLED
from reproduce.clustering.heads import ALPHA, GAMMA, MEASURES, SHARES
from reproduce.clustering.planted import NEED_K, SAMPLED
from reproduce.study.page import fill

SOURCE = "Daniely, Linial and Saks 2012, “Clustering is difficult only when it does not matter”, <https://arxiv.org/abs/1205.4891>"

_METHODS = ("search", *NEED_K, "HDBSCAN")


def page(kept: Mapping[str, Any]) -> str:
    """All kept results, in sections that docs include by name."""
    models = {name: kept[f"heads of {name}"] for name in BUNDLED if f"heads of {name}" in kept}
    return fill(
        "clustering/page.md.jinja",
        source=SOURCE,
        seconds=f"{sum(measured['seconds'] for measured in kept.values()):.0f}",
        planted=_planted(kept["planted"]) if "planted" in kept else {},
        noise=_noise(kept["noise"]) if "noise" in kept else {},
        soundness=kept.get("soundness", {}),
        timings=_timings(kept["timings"]) if "timings" in kept else [],
        heads=_heads(models) if models else {},
    )


def _planted(measured: Mapping[str, Any]) -> dict[str, Any]:
    settings = measured["settings"]
    return {
        "instances": f"{measured['instances']:,}",
        "sizes": " + ".join(map(str, measured["sizes"])),
        "k": len(measured["sizes"]),
        "dimensions": measured["dimensions"],
        "gamma": f"{measured['gamma']:g}",
        "methods": [f"{name} (true k)" if name in NEED_K else name for name in _METHODS],
        "counts": [f"m = {count}" for count in SAMPLED],
        "exact": [
            [
                f"{s['alpha']:g}",
                *(f"{100 * s['exact'].get(name, 0):.1f} %" for name in _METHODS),
                f"{s['searched']}",
                _status(s),
            ]
            for s in settings
        ],
        "rand": [[f"{s['alpha']:g}", *(f"{s['rand'].get(name, 0):.3f}" for name in _METHODS[1:])] for s in settings],
        "sampled": [
            [f"{s['alpha']:g}", *(f"{100 * s['sampled'][str(count)]:.1f} %" for count in SAMPLED), f"{s['bound']:,}"]
            for s in settings
        ],
    }


def _status(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(setting["status"].items()))


def _noise(measured: Mapping[str, Any]) -> dict[str, Any]:
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
    return {"alpha": f"{measured['alpha']:g}", "gamma": f"{measured['gamma']:g}", "rows": rows}


def _timings(measured: Mapping[str, Any]) -> list[list[str]]:
    return [[row["what"], f"{row['seconds']:.1f} s", row["certificate"]] for row in measured["rows"]]


def _heads(models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows, certificates = [], []
    for model, measured in models.items():
        for name in MEASURES:
            clustering = measured["maps"][name]
            sizes = sorted(clustering["sizes"], reverse=True)
            rows.append(
                [
                    f"{model}, {name}",
                    str(len(measured["names"])),
                    f"{len(sizes)} ({', '.join(map(str, sizes))})",
                    f"{clustering['alpha']:.3f}",
                    f"{clustering['median']:.3f}",
                    *(f"{100 * clustering['shares'][str(alpha)]:.0f} %" for alpha in SHARES),
                    clustering["witness"],
                ]
            )
            certificates.append(f"* {model} by {name}: {clustering['certificate']}")
    first = next(iter(models.values()))
    return {
        "texts": first["texts"],
        "alpha": f"{ALPHA:g}",
        "gamma": f"{GAMMA:g}",
        "shares": [f"heads ≥ {alpha:g}" for alpha in SHARES],
        "rows": rows,
        "certificates": certificates,
        "resamples": first["compared"]["resamples"],
        "differences": [row for model, measured in models.items() for row in _differences(model, measured["compared"])],
    }


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
